/** Times of day that jump by hours in every process: nobody is lost by it, and no bit changes. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { makePlace } from "./run-paceline.js";

/** Loaded before the program: the time of day is another one three times a second. */
const jumping = `
  import { performance } from "node:perf_hooks";
  const Real = Date;
  const hours = [0, 5, -9, 14, -23, 2];
  const shiftMs = () => hours[Math.floor(performance.now() / 333) % hours.length] * 3600000;
  globalThis.Date = class Date extends Real {
    constructor(...given) {
      if (given.length === 0) super(Real.now() + shiftMs());
      else super(...given);
    }
    static now() {
      return Real.now() + shiftMs();
    }
  };
`;

test("a run whose processes' times of day jump ends as one whose do not", async (context) => {
  const place = await makePlace(context, { train: 480 });
  const made = await place.call(["certs", "init", "--out", place.path("certs")]);
  assert.equal(made.exitCode, 0, made.err);
  await writeFile(place.path("token"), "0123456789abcdef\n", { mode: 0o600 });
  await writeFile(place.path("jumping.mjs"), jumping);
  const words = [
    ...["train", "--model", "mlp", "--data", "mnist", "--batch-size", "8", "--epochs", "4"],
    ...["-w", "2", "-s", "2", "--replicas", "2", "--transport", "tcp", "--lease", "1s"],
    ...["--checkpoint-every", "1e", "--tls", "certs", "--token-file", "token"],
  ];
  const still = await place.run([...words, "--name", "still"]);
  assert.equal(still.exitCode, 0, still.err);
  const preload = { NODE_OPTIONS: `--import ${pathToFileURL(place.path("jumping.mjs")).href}` };
  // A server that dies is made good by connections that are new, under every time of day.
  const fault = ["--inject", "kill:server=1,at=60"];
  const jumped = await place.run([...words, ...fault, "--name", "jumped"], preload);
  assert.equal(jumped.exitCode, 0, jumped.err);
  const days = new Set((await place.events("jumped")).map(({ time }) => `${time}`.slice(0, 13)));
  assert.ok(days.size > 2, `their hours differ: ${[...days].join(" ")}`);
  const lost = (await place.events("jumped")).filter(({ kind }) => kind === "lost");
  assert.equal(lost.length, 1, JSON.stringify(lost));
  assert.equal(await place.weights("jumped"), await place.weights("still"));
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { makePlace } from "./run-paceline.js";

/**
 * Step 6 of 20, in the middle of the first epoch: written by Paceline 0.1 before an epoch's cuts
 * were called plans and before ids held a term, on the reference engine, whose bits no processor
 * changes.
 */
const golden = join(
  dirname(fileURLToPath(import.meta.url)),
  "..",
  "test",
  "golden",
  "checkpoint-0.1",
);
/** SHA-256 of the weights in which the run that wrote it ended. */
const ended = "b767e88acdb0e3df23afc49fc2bacb4dee8e7a44c096c32354f048d044f9ecf4";

test("a checkpoint of 0.1 resumes to the bits of the run that wrote it", async (context) => {
  const place = await makePlace(context, { train: 160, test: 80, seed: 5 });
  for (const servers of ["1", "2"]) {
    const name = `on-${servers}`;
    const command = place.start([
      ...["train", "--resume", golden, "--name", name, "-w", "2", "-s", servers],
      ...["--model", "logistic", "--data", "mnist-parity", "--engine", "reference"],
      ...["--chunk-values", "300", "--batch-size", "8", "--epochs", "2", "--threads", "1"],
      ...["--optimizer", "momentum", "--lr", "0.05", "--lr-schedule", "cosine"],
    ]);
    const { exitCode } = await command.end();
    assert.equal(exitCode, 0, command.told());
    assert.match(command.told(), /whether mnist-parity here is the same is not checked/);
    const path = place.path("runs", name, "checkpoints", "step-20", "model.safetensors");
    const weights = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    assert.equal(weights, ended, `${servers} servers`);
  }
});

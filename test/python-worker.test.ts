/**
 * A worker written in Python from docs/protocol.md and the proto files alone trains beside one of
 * Paceline's own. It needs Python with grpc, protobuf and numpy; without them nobody can play it.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readCheckpoint } from "../dist/store/checkpoint/checkpoint.js";
import { makePlace } from "./run-paceline.js";

const python = "/usr/bin/python3";
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const script = join(root, "test", "python", "numpy_worker.py");
const steps = 80;

/** Why no Python worker can be run here; null where one can. */
function whatIsMissing(): string | null {
  try {
    execFileSync(python, ["-c", "import grpc, google.protobuf, numpy"], { stdio: "pipe" });
    return null;
  } catch {
    return `${python} lacks grpc or numpy: apt-get install python3-grpcio python3-numpy`;
  }
}

/** What the Python worker said in the end. */
function playWorker(descriptors: string, address: string): Promise<string> {
  const words = ["-B", script, descriptors, address];
  const child = spawn(python, words, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let problem = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (problem += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(said);
      else reject(new Error(`the Python worker ended with ${code}: ${problem}`));
    });
  });
}

test("a Python worker trains 80 BSP steps beside one of Paceline's own", async (context) => {
  const reason = whatIsMissing();
  if (reason !== null) return context.skip(reason);
  const place = await makePlace(context, { train: steps * 16, test: 100 });
  const descriptors = place.path("descriptors.binpb");
  const buf = join(root, "node_modules", ".bin", "buf");
  execFileSync(buf, ["build", join(root, "proto"), "-o", descriptors]);
  const work = [
    ...["--model", "mlp", "--data", "mnist", "-b", "8", "-e", "1", "--seed", "5"],
    ...["-w", "2", "-s", "2", "--feed", "central", "--checkpoint-every", "30it"],
  ];
  const coordinator = place.start(["coordinator", "--port", "0", ...work, "--name", "mixed"]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const reach = ["--coordinator", address!, "--port", "0"];
  const own = ["server", "server"].map((role) => place.start([role, ...reach]));
  own.push(place.start(["worker", "--coordinator", address!]));
  const said = await playWorker(descriptors, address!);
  for (const command of [coordinator, ...own]) {
    assert.equal((await command.end()).exitCode, 0, command.told());
  }
  // Outcome 0 answers the pulls of each chunk, at the start and for the evaluation, outcome 1 is
  // "applied": one for each push of a chunk.
  const { outcomes, ...rest } = JSON.parse(said);
  assert.equal(rest.steps, steps);
  assert.deepEqual(outcomes, { 0: 4, 1: 2 * steps });
  const { paceline } = await place.result("mixed");
  assert.equal(paceline.epochs[0]!.examples, steps * 16);
  assert.equal(paceline.skippedExamples, 0);

  // The same run by Paceline's own workers alone: the same but for the rounding of another engine.
  const alone = await place.run(["train", ...work, "--name", "alone"]);
  assert.equal(alone.exitCode, 0, alone.err);
  const last = ["checkpoints", `step-${steps}`];
  const [mixed, other] = await Promise.all(
    ["mixed", "alone"].map((run) => readCheckpoint(place.path("runs", run, ...last))),
  );
  const apart = mixed!.weights.map((value, index) => Math.abs(value - other!.weights[index]!));
  assert.ok(Math.max(...apart) < 1e-4, `the weights are ${Math.max(...apart)} apart`);
  assert.deepEqual(await place.leftovers(), []);
});

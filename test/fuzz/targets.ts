/** What is called by strangers: a run of real processes, and a coordinator that waits for jobs. */
import assert from "node:assert/strict";
import { isAlive, type Place, type RunningCommand } from "../run-paceline.js";
import type { Addresses } from "./callers.js";

const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8", "--epochs", "1000000"],
  ...["--eval-every", "none", "--chunk-values", "200"],
];

/**
 * The answer of a process that has met what it did not expect: the statuses UNKNOWN and INTERNAL,
 * as answers have no other numbers; or of one that listens no more.
 */
export const failure = /(^| )(2|13) |TypeError|is not a function|ECONNREFUSED/;

/** The processes. */
export interface Targets {
  /** A run that goes on until it is stopped. */
  readonly run: RunningCommand;
  readonly name: string;
  /** A coordinator that serves. */
  readonly idle: RunningCommand;
}

/** Starts a run of two workers and two servers, with copies. */
export function startRun(place: Place, name: string, words: readonly string[]): RunningCommand {
  const size = ["-w", "2", "-s", "2", "--replicas", "2", "--lease", "20s"];
  return place.start(["train", ...work, ...size, ...words, "--transport", "tcp", "--name", name]);
}

/** Starts them; the run trains. */
export async function startTargets(place: Place): Promise<Targets> {
  const run = startRun(place, "beset", []);
  const idle = place.start(["coordinator", "--serve", "--port", "0", "--run-dir", "jobs"]);
  await place.step("beset", 5);
  return { run, name: "beset", idle };
}

/** Where they listen. */
export async function addressesOf(place: Place, { name, idle }: Targets): Promise<Addresses> {
  const [, waiting = ""] = await idle.waitFor(/coordinator listens on (\S+:\d+)/);
  const coordinator = await place.member(name, "coordinator", 0);
  const server = await place.member(name, "server", 1);
  return { coordinator: coordinator.address, server: server.address, idle: waiting };
}

/** The run is stopped, with the bits of the same steps in one process; the other serves on. */
export async function endsInTheSameBits(place: Place, targets: Targets): Promise<void> {
  const { run, name, idle } = targets;
  assert.equal(run.isOver, false, run.told());
  await sameBits(place, run, name);
  assert.equal(idle.isOver, false, idle.told());
  const [, address = ""] = await idle.waitFor(/coordinator listens on (\S+:\d+)/);
  assert.equal(((await place.snapshotAt(address)) as { phase: string }).phase, "idle");
  idle.kill("SIGTERM");
  assert.equal((await idle.end()).exitCode, 143, idle.told());
}

/** Stops a run and has its steps taken in one process: nobody was lost, and no bit is another. */
export async function sameBits(place: Place, run: RunningCommand, name: string): Promise<void> {
  const members = await place.members(name);
  assert.ok(members.every(({ pid }) => isAlive(pid)));
  run.kill("SIGINT");
  assert.equal((await run.end()).exitCode, 130, run.told());
  assert.doesNotMatch(run.err, / lost|started again/);
  const step = (await place.checkpoints(name)).at(-1)!.replace("step-", "");
  const oracle = ["baseline", ...work, "--as-workers", "2", "--max-steps", step];
  const whole = await place.start([...oracle, "--name", `${name}-whole`]).end(600_000);
  assert.equal(whole.exitCode, 0, whole.err);
  assert.equal(await place.weights(name), await place.weights(`${name}-whole`));
}

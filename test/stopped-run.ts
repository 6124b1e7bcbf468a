/** A run of real processes that is stopped and goes on, in whatever way it keeps pace. */
import assert from "node:assert/strict";
import type { Place } from "./run-paceline.js";

/**
 * Starts an endless run, stops it behind some steps, resumes it, and stops it again when it trains.
 * @param words of `paceline train`, without a name.
 * @param between what is done before the first stop.
 */
export async function stopsAndGoesOn(
  place: Place,
  words: readonly string[],
  between: () => Promise<void> = async () => {},
): Promise<void> {
  const command = place.start(["train", ...words, "--epochs", "100000", "--name", "stopped"]);
  await place.step("stopped", 30);
  await between();
  command.kill("SIGINT");
  assert.equal((await command.end()).exitCode, 130, command.told());
  const resumed = place.start(["resume", "runs/stopped"]);
  await resumed.waitFor(/training starts/);
  resumed.kill("SIGINT");
  assert.equal((await resumed.end()).exitCode, 130, resumed.told());
}

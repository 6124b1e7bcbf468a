/**
 * A run of real processes that somebody switches from one way to keep pace to another, again and
 * again, while servers are killed: each example must have been used once.
 */
import assert from "node:assert/strict";
import { type makePlace, until } from "./run-paceline.js";

/** What is trained, and how small the steps are. */
export const work = [
  "--model",
  "mlp",
  "--data",
  "mnist",
  "--batch-size",
  "8",
  "--eval-every",
  "none",
];

/**
 * Trains bsp with 3 workers, 3 servers and 2 replicas, and asks for these modes one after the
 * other, the next when the one before is on. Then the run is interrupted.
 * @param killed which server is killed right after the switch of this number was asked for; null
 *   for none. Each chunk has its copies again before the next kill.
 */
export async function trainSwitching(
  place: Awaited<ReturnType<typeof makePlace>>,
  modes: readonly string[],
  killed: (switches: number) => number | null,
): Promise<void> {
  const cluster = ["-w", "3", "-s", "3", "--replicas", "2", "--feed", "leased"];
  const length = ["--epochs", "1000000", "--chunk-values", "10000", "--max-restarts", "100"];
  const command = place.start(["train", ...work, ...cluster, ...length, "--name", "switched"]);
  const told = (start: string, times: number) =>
    until(`${times} times ${start}`, async () => {
      const events = await place.events("switched");
      return events.filter(({ text }) => text.startsWith(start)).length >= times;
    });
  const { address } = await place.member("switched", "coordinator", 0);
  await told("redundant", 1);
  const order = (...words: readonly string[]) =>
    place.call(["admin", "switch", ...words, "--coordinator", address]);
  const same = await order("bsp");
  assert.equal(same.exitCode, 1);
  assert.match(same.err, /the run keeps pace by bsp already/);
  assert.match((await order("bps")).err, /needs a mode, bsp, ssp/);
  const pids = new Map<number, number>();
  const kills = new Map<number, number>();
  let killsBefore = 0;
  for (const [index, mode] of modes.entries()) {
    const asked = await order(mode);
    assert.equal(asked.exitCode, 0, asked.err);
    assert.match(asked.out, new RegExp(`to ${mode}\\n$`));
    const server = killed(index);
    if (server !== null) {
      await told("redundant", 1 + killsBefore++);
      const { pid } = await place.member("switched", "server", server, pids.get(server) ?? -1);
      process.kill(pid, "SIGKILL");
      pids.set(server, pid);
      const times = (kills.get(server) ?? 0) + 1;
      kills.set(server, times);
      await told(`server-${server} (pid`, times);
    }
    await told("switch from", index + 1);
  }
  command.kill("SIGINT");
  const { err } = await command.end();
  assert.doesNotMatch(err, /goes back|refused|not used/);
  const events = await place.events("switched");
  const entered = events.flatMap(({ text }) => /^switch from \w+ to (\w+)/.exec(text)?.[1] ?? []);
  assert.deepEqual(entered, modes);
  const { paceline } = await place.result("switched");
  assert.deepEqual(
    paceline.phases.map(({ mode }) => mode),
    ["bsp", ...modes],
  );
  assert.ok(paceline.epochs.length > 0, "some epochs ended");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [120, 0]);
  }
  assert.deepEqual(await place.leftovers(), []);
}

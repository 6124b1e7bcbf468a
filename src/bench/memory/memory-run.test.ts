import assert from "node:assert/strict";
import { test } from "node:test";
import { type MemoryLimits, mebibyte } from "./memory-limits.js";
import { judgeMembers } from "./memory-run.js";
import type { WatchedMember } from "./watched-run.js";

const limits: MemoryLimits = {
  server: 350 * mebibyte,
  serverCheckpoint: 430 * mebibyte,
  serverValues: 330 * mebibyte,
  worker: 220 * mebibyte,
  serverPassing: 0,
  workerPassing: 0,
  coordinator: 210 * mebibyte,
};

function member(
  role: WatchedMember["role"],
  id: number,
  peaks: { readonly stepping: number; readonly peak: number },
  last = peaks.peak,
): WatchedMember {
  const tenths = Array.from({ length: 10 }, (_, index) => (index < 9 ? peaks.stepping : last));
  const values = role === "server" ? 150 : 0;
  return {
    ...{ role, id, steppingBytes: peaks.stepping * mebibyte, peakBytes: peaks.peak * mebibyte },
    tenths: tenths.map((reading) => reading * mebibyte),
    valuesBytes: values * mebibyte,
    otherTenths: tenths.map((reading) => (reading - values) * mebibyte),
  };
}

const within = { stepping: 200, peak: 204 };
const coordinator = member("coordinator", 0, within);

test("processes within their limits hold, each with the limit beside it", () => {
  const members = [
    coordinator,
    member("server", 0, { stepping: 345, peak: 350 }),
    member("worker", 0, within),
    member("worker", 1, { stepping: 205, peak: 206 }),
  ];
  const judged = judgeMembers("m", members, limits);
  assert.ok(judged.every(({ holds }) => holds));
  assert.deepEqual(
    judged.map(({ row: { name, value, peerValue } }) => [name, value, peerValue]),
    [
      ["m/server", 345, 350],
      ["m/server-checkpoint", 350, 430],
      ["m/server-values", 150, 330],
      ["m/worker", 206, 220],
      ["m/coordinator", 204, 210],
      ["m/server-later", 200, 195 + 8e6 / mebibyte],
      ["m/worker-later", 204, 200 + 8e6 / mebibyte],
    ],
  );
  assert.equal(judged[0]?.verdict, "m/server: holds: 345.0 MiB of at most 350.0 MiB");
});

test("the process that takes most, or grows most, is the one that counts", () => {
  const members = [
    coordinator,
    member("server", 0, { stepping: 351, peak: 431 }),
    member("worker", 0, within),
    member("worker", 1, { stepping: 190, peak: 221 }),
  ];
  const judged = judgeMembers("m", members, limits);
  assert.deepEqual(
    judged.map(({ holds }) => holds),
    [false, false, true, false, true, false, false],
  );
  assert.match(judged[3]!.verdict, /^m\/worker: DOES NOT HOLD: 221\.0 MiB of at most 220\.0 MiB$/);
  assert.match(judged[6]!.verdict, /^m\/worker: NOT flat: /);
});

test("a server's values may come to lie in more memory, and nothing else of it", () => {
  const server = member("server", 0, within);
  const later = { ...server, tenths: server.tenths.map((bytes, at) => bytes + at * 10e6) };
  const judged = judgeMembers("m", [coordinator, later, member("worker", 0, within)], limits);
  assert.ok(judged.every(({ holds }) => holds));
  const full = { ...later, valuesBytes: 331 * mebibyte };
  const [, , values] = judgeMembers("m", [coordinator, full, member("worker", 0, within)], limits);
  assert.match(values!.verdict, /^m\/server-values: DOES NOT HOLD: 331\.0 MiB of at most 330\.0/);
  const leaking = { ...server, otherTenths: later.tenths };
  const grown = judgeMembers("m", [coordinator, leaking, member("worker", 0, within)], limits);
  assert.match(grown[5]!.verdict, /^m\/server: NOT flat: /);
});

test("what a worker holds for moments at a checkpoint is no growth", () => {
  const [server, worker] = [member("server", 0, within), member("worker", 0, within, 218)];
  const judge = (workerPassing: number) =>
    judgeMembers("m", [coordinator, server, worker], { ...limits, workerPassing })[6]!;
  assert.match(judge(0).verdict, /^m\/worker: NOT flat: /);
  const { row, holds } = judge(48 * mebibyte);
  assert.deepEqual([holds, row.peerValue], [true, 200 + 48 + 8e6 / mebibyte]);
});

test("a process that was not there all the time is no measurement", () => {
  const server = member("server", 0, within);
  const holes = [1, 2];
  holes[9] = 3;
  for (const otherTenths of [[1, 2, 3], holes]) {
    const gone = () => judgeMembers("m", [{ ...server, otherTenths }], limits);
    assert.throws(gone, /m\/server was not there in every tenth/);
  }
});

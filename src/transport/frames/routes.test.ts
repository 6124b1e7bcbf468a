import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../../errors.js";
import type { TransportChoice, ViewServer } from "../../protocol/view.js";
import { routeTo, withPatience } from "./routes.js";

const here = { machine: "box 1", canReach: (path: string) => path === "/run/s" };
const frames = { tcp: "10.0.0.1:80", unix: "/run/s", machine: "box 1" };
const address = "10.0.0.1:80";

const cases: readonly (readonly [
  what: string,
  choice: TransportChoice,
  frames: ViewServer["frames"],
  address: string,
  reason: RegExp,
])[] = [
  ["a server here", "auto", frames, "unix:/run/s", /on this computer/],
  ["a server elsewhere", "auto", { ...frames, machine: "box 2" }, "tcp:10.0.0.1:80", /another/],
  ["a socket out of reach", "auto", { ...frames, unix: "/x" }, "tcp:10.0.0.1:80", /\/x can't be/],
  ["a server without a socket", "auto", { ...frames, unix: "" }, "tcp:10.0.0.1:80", /has no Unix/],
  ["a server with gRPC only", "auto", null, address, /takes no frames/],
  ["gRPC by name", "grpc", frames, address, /gRPC/],
  ["TCP by name", "tcp", frames, "tcp:10.0.0.1:80", /as asked for/],
  ["the socket by name", "unix", frames, "unix:/run/s", /on this computer/],
];
for (const [what, choice, offered, wanted, reason] of cases) {
  test(`${what} under ${choice} is reached at ${wanted}`, () => {
    const route = routeTo({ index: 3, incarnation: 1, address, frames: offered }, choice, here);
    assert.equal(route.address, wanted);
    assert.match(route.reason, reason);
  });
}

const refused: readonly (readonly [TransportChoice, ViewServer["frames"], RegExp])[] = [
  ["unix", { ...frames, machine: "box 2" }, /another computer.*server 3.*--transport tcp or auto/],
  ["unix", { ...frames, unix: "/x" }, /\/x can't be reached from here/],
  ["unix", null, /has no Unix socket/],
  ["tcp", null, /takes no frames.*--transport grpc or auto/],
];
for (const [choice, offered, message] of refused) {
  test(`${choice} by name is refused, not replaced: ${message}`, () => {
    const server = { index: 3, incarnation: 1, address, frames: offered };
    assert.throws(() => routeTo(server, choice, here), { code: "usage", message });
  });
}

test("who never had a way is ended at once, who had one after a while without", () => {
  const missing = new Set<number>([1]);
  const ended: number[] = [];
  let nowMs = 1000;
  const server = (index: number) => ({ index, incarnation: 1, address: `s${index}`, frames: null });
  const route = withPatience(
    ({ index, address: own }) => {
      if (missing.has(index)) throw new PacelineError("usage", `no way to ${index}`);
      return own;
    },
    { patienceMs: 50, nowMs: () => nowMs, end: () => void ended.push(nowMs) },
  );
  const fails = (index: number) => assert.throws(() => route(server(index)), { code: "usage" });
  fails(1);
  assert.deepEqual(ended, [1000]);

  assert.equal(route(server(0)), "s0");
  missing.add(0);
  for (const atMs of [2000, 2049]) {
    nowMs = atMs;
    fails(0);
  }
  missing.delete(0);
  assert.equal(route(server(0)), "s0");
  missing.add(0);
  for (const atMs of [2060, 2109, 2110]) {
    nowMs = atMs;
    fails(0);
  }
  assert.deepEqual(ended, [1000, 2110]);
});

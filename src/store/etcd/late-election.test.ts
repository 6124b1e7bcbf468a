/** An election whose outcome is told too late, by an etcd and a clock of the test's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EtcdCalls } from "./etcd-client.js";
import { campaign, type LeaseClock } from "./leadership.js";

/** Where nothing waits: each timer goes off as soon as it is set, at its time. */
class HastyClock implements LeaseClock {
  #nowMs = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  pass(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  after(delayMs: number, action: () => void): { cancel(): void } {
    const timer = setImmediate(() => {
      this.#nowMs += delayMs;
      action();
    });
    return { cancel: () => clearImmediate(timer) };
  }
}

test("a lead that is over when its winner hears of it is none, and is laid down", async () => {
  const clock = new HastyClock();
  const revoked: bigint[] = [];
  let leases = 0n;
  const client = {
    grantLease: async () => {
      // The first takes longer than the lease lasts.
      clock.pass(leases === 0n ? 2400 : 10);
      return { id: ++leases, seconds: 2 };
    },
    transact: async () => ({ succeeded: true, header: { revision: leases }, responses: [] }),
    revokeLease: async (id: bigint) => void revoked.push(id),
    keepAlive: () => ({
      send: () => {},
      turn: () => {},
      close: () => {},
      answers: (async function* () {})(),
    }),
  } as unknown as EtcdCalls;
  const away: string[] = [];
  const lead = await campaign(
    { client, prefix: "test", clock, leaseMs: 2000 },
    { address: "a:8000", host: "a", pid: 1 },
    {
      onLeader: () => {},
      onAway: ({ message }) => away.push(message),
      signal: new AbortController().signal,
    },
  );
  assert.equal(lead?.reason, null);
  assert.deepEqual(revoked, [1n]);
  assert.deepEqual(away, ["etcd has not answered for 2.4 s, and the lease is over"]);
  await lead?.resign();
  assert.deepEqual(revoked, [1n, 2n]);
});

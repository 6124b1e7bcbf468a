/** Who is lost by silence, over drawn heartbeats of a cluster and its coordinator's ticks. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { protocolVersion } from "../../protocol/messages.js";
import { Random } from "../../random.js";
import { type Member, Roster } from "./roster.js";

const times = { heartbeatIntervalMs: 250, leaseMs: 3000, closedGraceMs: 2500 };
const tickMs = 100;

/** A time in which the coordinator does nothing: what comes is heard at its end, after a tick. */
interface Freeze {
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Times at which each member's heartbeats arrive, of workers whose ranks are their places. */
type Arrivals = readonly (readonly number[])[];

/** Runs a coordinator's roster until `untilMs`; by rank when each lost worker was found dead. */
function lossesIn(arrivals: Arrivals, untilMs: number, freezes: readonly Freeze[] = []) {
  const roster = new Roster({ ...times, rankGraceMs: 4000, startTimeoutMs: 10_000 }, 1);
  const members = arrivals.map((_, rank): Member => {
    const place = { pid: 7, host: `h${rank}`, address: "a", frames: null, attempt: "" };
    const request = { protocol: protocolVersion, role: "worker" as const, rank, ...place };
    const limits = { server: 0, worker: arrivals.length };
    const { member } = roster.register({ ...request, incarnation: null }, limits, 0);
    assert.ok(member !== null);
    roster.opened(member, 0);
    return member;
  });
  const heardMs = (atMs: number) =>
    freezes.find(({ fromMs, untilMs: end }) => fromMs <= atMs && atMs < end)?.untilMs ?? atMs;
  const events: { readonly atMs: number; readonly rank: number | null }[] = [];
  for (let atMs = tickMs; atMs <= untilMs; atMs += tickMs) {
    if (heardMs(atMs) === atMs) events.push({ atMs, rank: null });
  }
  for (const { untilMs: atMs } of freezes) events.push({ atMs, rank: null });
  arrivals.forEach((list, rank) => {
    for (const atMs of list) {
      if (heardMs(atMs) <= untilMs) events.push({ atMs: heardMs(atMs), rank });
    }
  });
  const order = ({ atMs, rank }: (typeof events)[number]) => atMs + (rank === null ? 0 : 1e-6);
  events.sort((left, right) => order(left) - order(right));
  const losses = new Map<number, { readonly atMs: number; readonly reason: string }>();
  for (const { atMs, rank } of events) {
    const member = rank === null ? undefined : members[rank];
    if (member !== undefined) member.detector.heard(atMs, true);
    for (const { member: lost, reason } of roster.dead(atMs)) {
      losses.set(lost.rank, { atMs, reason });
      roster.remove(lost, atMs);
    }
  }
  return losses;
}

/** Heartbeats that are sent `intervalMs` after the last one, and each `delayMs()` late. */
function heartbeats(
  fromMs: number,
  untilMs: number,
  delayMs: () => number,
  intervalMs = times.heartbeatIntervalMs,
): number[] {
  const arrivals: number[] = [];
  for (let atMs = fromMs; ; ) {
    atMs += intervalMs + delayMs();
    if (atMs > untilMs) return arrivals;
    arrivals.push(atMs);
  }
}

/** Delays of a loaded machine: Pareto's, with this least value, tail exponent and limit. */
function heavyTailed(random: Random, leastMs: number, exponent: number, mostMs: number) {
  return () => Math.min(mostMs, leastMs * (1 - random.float()) ** (-1 / exponent));
}

const seed = fc.nat();
const some = fc.integer({ min: 1, max: 32 });

describe("a worker that falls silent", () => {
  test("is lost within 2 s where heartbeats were regular, and nobody else is", () => {
    const scene = { seed, workers: some, quietMs: fc.integer({ min: 11_000, max: 60_000 }) };
    const check = ({ seed: name, workers, quietMs }: Record<keyof typeof scene, number>) => {
      const random = new Random("regular", name);
      const untilMs = quietMs + 4000;
      const arrivals = Array.from({ length: workers }, (_, rank) =>
        heartbeats(random.float() * 250, rank === 0 ? quietMs : untilMs, () => random.float() * 60),
      );
      const losses = lossesIn(arrivals, untilMs);
      assert.deepEqual([...losses.keys()], [0]);
      const silentMs = losses.get(0)!.atMs - arrivals[0]!.at(-1)!;
      assert.ok(silentMs >= 1500 && silentMs <= 2000, `${silentMs} ms`);
    };
    fc.assert(fc.property(fc.record(scene), check), { seed: 3, numRuns: 40 });
  });

  test("is lost after its lease where others are late, or it was itself a short while ago", () => {
    const regular = heartbeats(0, 24_000, () => 0);
    const silent = heartbeats(0, 20_000, () => 0);
    const late = (list: number[]) => list.filter((atMs) => atMs < 18_000 || atMs > 18_600);
    const foundAt = (...arrivals: Arrivals) => lossesIn(arrivals, 24_000).get(0)?.atMs;
    assert.equal(foundAt(silent, regular, regular), 21_500);
    assert.equal(foundAt(silent, regular, late(regular)), 23_000);
    assert.ok(foundAt(late(silent), regular, regular)! >= 23_000);
  });

  test("is lost after its lease where half of the others are silent with it", () => {
    const regular = heartbeats(0, 24_000, () => 0);
    const silent = heartbeats(0, 20_000, () => 0);
    const found = (arrivals: Arrivals) =>
      [...lossesIn(arrivals, 24_000)].map(([rank, { atMs }]) => [rank, atMs]);
    assert.deepEqual(found([silent, silent, regular, regular, regular]), [
      [0, 21_500],
      [1, 21_500],
    ]);
    assert.deepEqual(found([silent, silent, regular]), [
      [0, 23_000],
      [1, 23_000],
    ]);
  });

  test("is found anew in half the lease once its heartbeats came in time for ten seconds", () => {
    const early = heartbeats(0, 5000, () => 0);
    const pausedThen = (untilMs: number) => [...early, ...heartbeats(5550, untilMs, () => 0)];
    const silentAfter = (untilMs: number) => {
      const list = pausedThen(untilMs);
      return lossesIn([list], untilMs + 6000).get(0)!.atMs - list.at(-1)!;
    };
    assert.ok(silentAfter(15_000) >= 3000);
    assert.ok(silentAfter(16_200) < 2000);
  });
});

describe("under load nobody is lost by a silence below the lease", () => {
  const loaded = {
    seed,
    leastMs: fc.integer({ min: 60, max: 300 }),
    exponent: fc.constantFrom(0.8, 1, 1.2),
  };
  type Loaded = Record<keyof typeof loaded, number>;

  test("where 32 workers are delayed from the start, each up to near its lease", () => {
    const check = ({ seed: name, leastMs, exponent }: Loaded) => {
      const delayMs = heavyTailed(new Random("load", name), leastMs / 3, exponent, 2600);
      const arrivals = Array.from({ length: 32 }, () => heartbeats(0, 40_000, delayMs));
      assert.deepEqual([...lossesIn(arrivals, 37_000)], []);
    };
    fc.assert(fc.property(fc.record(loaded), check), { seed: 5, numRuns: 25 });
  });

  test("where the load begins at once after a quiet while, and where it ends", () => {
    const check = ({ seed: name, leastMs, exponent }: Loaded) => {
      const delayMs = heavyTailed(new Random("sudden", name), leastMs, exponent, 2600);
      const arrivals = Array.from({ length: 32 }, (_, rank) => {
        const quiet = heartbeats(rank * 7, 20_000, () => 0);
        const busy = heartbeats(quiet.at(-1)!, 40_000, delayMs);
        return [...quiet, ...busy, ...heartbeats(busy.at(-1)!, 60_000, () => 0)];
      });
      assert.deepEqual([...lossesIn(arrivals, 59_000)], []);
    };
    fc.assert(fc.property(fc.record(loaded), check), { seed: 7, numRuns: 25 });
  });

  test("where a heartbeat's interval becomes another, or swings", () => {
    const steps = fc.array(fc.integer({ min: 510, max: 2800 }), { minLength: 1, maxLength: 6 });
    const check = (intervals: readonly number[]) => {
      const list = heartbeats(0, 12_000, () => 0);
      // The first that is longer is below half the lease: a longer one can't be told from silence.
      for (const intervalMs of [450, 1200, ...intervals]) {
        const atMs = list.at(-1)!;
        list.push(...heartbeats(atMs, atMs + 12_000, () => 0, intervalMs));
      }
      assert.deepEqual([...lossesIn([list], list.at(-1)!)], []);
    };
    fc.assert(fc.property(steps, check), { seed: 9, numRuns: 60 });
  });
});

describe("what the coordinator slept through", () => {
  test("costs nobody its place, however often and long it stands still", () => {
    const scene = {
      seed,
      workers: some,
      freezes: fc.array(
        fc.record({
          afterMs: fc.integer({ min: 0, max: 12_000 }),
          lastsMs: fc.integer({ min: 120, max: 10_000 }),
        }),
        { minLength: 1, maxLength: 8 },
      ),
    };
    fc.assert(
      fc.property(fc.record(scene), ({ seed: name, workers, freezes: drawn }) => {
        const random = new Random("asleep", name);
        let atMs = 12_000;
        const freezes = drawn.map(({ afterMs, lastsMs }) => {
          const fromMs = atMs + afterMs;
          atMs = fromMs + lastsMs;
          return { fromMs, untilMs: atMs };
        });
        const arrivals = Array.from({ length: workers }, () =>
          heartbeats(random.float() * 250, atMs + 5000, () => random.float() * 60),
        );
        assert.deepEqual([...lossesIn(arrivals, atMs + 4000, freezes)], []);
      }),
      { seed: 13, numRuns: 40 },
    );
  });

  test("a freeze of 10 s: all live on, and one that died in it is found after its lease", () => {
    const freezes = [{ fromMs: 20_000, untilMs: 30_000 }];
    const regular = heartbeats(0, 40_000, () => 0);
    const silent = heartbeats(0, 22_000, () => 0);
    const losses = lossesIn([silent, regular, regular], 38_000, freezes);
    assert.deepEqual([...losses.keys()], [0]);
    assert.ok(losses.get(0)!.atMs >= 32_900 && losses.get(0)!.atMs <= 33_100);
  });
});

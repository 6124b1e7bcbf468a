/**
 * Groups: workers whose steps take about as long step together, and groups go their own ways (STAR,
 * Zhang and Shen 2025, arXiv 2512.09685, groups workers for each update). Within a group an update
 * is that of BSP, the fold of one gradient of each of its workers; groups' updates are applied in
 * the order in which they are whole, as in ASP. Each has the share of the rate that its m workers
 * are of the run's N:
 *
 *   x <- x - lr * (m / N) * sum(n_i * g_i(x_i)) / sum(n_i)   over the workers i of the group
 *
 * x_i: the weights that the group's update before led to, or later ones.
 *
 * Workers are sorted by their step times. With `groups` auto a group has those who take at most
 * 1.5 times as long as its fastest; a number cuts where the next takes longer by the largest
 * factors. Who is not measured yet is alone. A group waits for its workers for as long as a step of
 * its slowest usually takes, from the first gradient on: who rests, or has become so much slower,
 * holds up nobody for longer, and is in a later update.
 *
 * Who is in an update is decided by one chunk for all (core/server/worker-groups.ts).
 *
 * Invariant: no worker waits for one of another group, and each push is in one update.
 */
import { aspPace } from "./asp.js";
import type { GroupProgress, Mode, Pace, SealDecision, StepTime } from "./pace.js";
import { granted } from "./pace.js";
import { problemOfCount, unknownParameter } from "./parameters.js";

/** As many groups as step times suggest. */
export const autoGroups = "auto";

/** Within a group of `auto` nobody's step takes so many times as long as that of its fastest. */
const likeFactor = 1.5;
/** The shortest time for which a group waits for its workers. */
const waitMsMin = 20;

/** Groups of workers of like speed, each in lockstep. */
export const group: Mode = {
  name: "group",
  aliases: [],
  summary: "lockstep among workers of like speed, asynchronous between such groups",
  settings: ["groups"],
  protocolOf: ({ groups }) => ({ mode: "group", groups }),
  problem: (protocol) =>
    unknownParameter(protocol, ["groups"]) ??
    (protocol.groups === autoGroups ? null : problemOfCount(protocol, "groups")) ??
    (protocol.groups === 0 ? "groups is 0, it must be at least 1" : null),
  paceOf: ({ groups }) => groupPace(typeof groups === "number" ? groups : autoGroups),
};

/** The pace of so many groups, or of as many as step times suggest. */
export function groupPace(groups: number | typeof autoGroups): Pace {
  return {
    ...aspPace({ rule: "none", scale: 0, floor: 0, max: 0 }),
    globalStep: "update",
    hasDecider: true,
    isTimed: true,
    onPush: () => ({ kind: "hold" }),
    groups: {
      divide: (times) => (groups === autoGroups ? alike(times) : cutInto(groups, times)),
      maySeal,
    },
  };
}

function maySeal({ size, here, sinceMs, stepMs }: GroupProgress, nowMs: number): SealDecision {
  if (here >= size) return granted;
  const againMs = sinceMs + Math.max(waitMsMin, stepMs);
  if (nowMs >= againMs) return granted;
  const left = `${(againMs - nowMs).toFixed(1)} ms`;
  const reason = `${here} of ${size} workers of a group are there, others have ${left}`;
  return { allowed: false, reason, againMs };
}

/** Those who take about as long as the fastest that is in no group yet are the next group. */
function alike(times: readonly StepTime[]): number[][] {
  const found: { readonly mostMs: number; readonly lives: number[] }[] = [];
  for (const { incarnation, tookMs } of fastestFirst(times)) {
    const last = found.at(-1);
    if (last !== undefined && tookMs <= last.mostMs) last.lives.push(incarnation);
    else found.push({ mostMs: tookMs * likeFactor, lives: [incarnation] });
  }
  return found.map(({ lives }) => lives);
}

/** Cuts where the next worker takes longer by the largest factors. */
function cutInto(count: number, times: readonly StepTime[]): number[][] {
  const sorted = fastestFirst(times);
  const factors = sorted.slice(1).map(({ tookMs }, place) => ({
    place: place + 1,
    factor: tookMs / Math.max(sorted[place]!.tookMs, 1e-3),
  }));
  const largest = factors.toSorted((one, other) => other.factor - one.factor).slice(0, count - 1);
  const cuts = [0, ...largest.map(({ place }) => place).sort((one, other) => one - other)];
  return cuts.map((from, index) => {
    return sorted.slice(from, cuts[index + 1]).map(({ incarnation }) => incarnation);
  });
}

function fastestFirst(times: readonly StepTime[]): StepTime[] {
  return times.toSorted((one, other) => one.tookMs - other.tookMs);
}

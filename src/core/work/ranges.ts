/**
 * Ranges of positions: how they are cut, and what becomes of one whose worker is lost.
 *
 * Invariant: a range that is cut is used up by its parts, in their order.
 */
import type { Range } from "../../protocol/messages.js";
import type { EpochPlan, Share } from "./epoch-plan.js";

/** The assignment that is out comes back after this step; how many of its examples it used. */
export function endAfter(share: Share, lastStep: number, batchSize: number): number {
  if (share.assignment === null) return 0;
  const { start, end, firstStep } = share.assignment;
  const taken = Math.max(0, lastStep + 1 - firstStep);
  share.next = Math.min(end, start + taken * batchSize);
  share.nextStep = firstStep + taken;
  share.assignment = null;
  return share.next - start;
}

/** The share of a rank that takes the steps of an epoch without examples. */
export function emptyShare(rank: number, nextStep: number, end: number): Share {
  const nothing = { start: end, end, next: end, limit: end, dropped: 0, assignment: null };
  return { rank, ...nothing, nextStep };
}

/**
 * A plan that ends before this step goes on for what these ranks have left of it, where who is late
 * takes fewer steps; later plans move back.
 */
export function extendPlans(
  plans: readonly EpochPlan[],
  step: number,
  ranks: readonly number[],
  batchSize: number,
): void {
  const stepsLeft = ({ shares }: EpochPlan) => {
    const own = shares.filter(({ rank }) => ranks.includes(rank));
    return Math.max(0, ...own.map(({ next, limit }) => Math.ceil((limit - next) / batchSize)));
  };
  const index = plans.findIndex((plan) => plan.lastStep === step && stepsLeft(plan) > 0);
  const plan = plans[index];
  if (plan === undefined) return;
  const more = stepsLeft(plan);
  plan.lastStep += more;
  for (const later of plans.slice(index + 1)) {
    later.lastStep += more;
    for (const share of later.shares) share.nextStep += more;
  }
}

/**
 * Plans `count` positions into contiguous ranges whose lengths differ by at most one, the longer
 * first.
 */
export function equalRanges(count: number, parts: number): Range[] {
  const ranges: Range[] = [];
  let start = 0;
  for (let part = 0; part < parts; part++) {
    const end = start + Math.floor(count / parts) + (part < count % parts ? 1 : 0);
    ranges.push({ start, end });
    start = end;
  }
  return ranges;
}

/** A copy that shares nothing. */
export function structuredCopy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

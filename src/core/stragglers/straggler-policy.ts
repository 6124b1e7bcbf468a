/**
 * What follows when a worker straggles. A policy looks at a picture of the run and says what is to
 * be done, with the sentence that led to it; it does nothing itself, and is asked again and again.
 *
 * The policies are Sync-Switch's (Li et al., ICDCS 2021). Greedy leaves the synchronous part of a
 * plan while anybody straggles and comes back to it until its share is done. Elastic has those that
 * straggle stand aside, does the synchronous part without them, and takes them back when workers
 * no more wait for each other.
 *
 * Invariant: elastic never leaves fewer workers than the run must have.
 */
import type { StragglerPolicyName } from "../../protocol/run-spec.js";
import type { FoundStraggler } from "./straggler-detector.js";

/** What a policy looks at. */
export interface StragglerPicture {
  /** True while workers wait for each other at each step, so that one straggler holds all up. */
  readonly inStep: boolean;
  /** True once the synchronous share of the plan is done; false where the run is that share. */
  readonly isShareMet: boolean;
  /** Those that take part and straggle. */
  readonly stragglers: readonly FoundStraggler[];
  /** Ranks that take part. */
  readonly active: readonly number[];
  /** How many must take part. */
  readonly least: number;
  /** Ranks that stand aside. */
  readonly aside: readonly number[];
}

/** What is to be done. */
export type StragglerDecision =
  | { readonly kind: "switch"; readonly to: "asp" | "bsp"; readonly reason: string }
  | {
      readonly kind: "set aside" | "restore";
      readonly ranks: readonly number[];
      readonly reason: string;
    };

/** A policy. */
export interface StragglerPolicy {
  /** True where it leaves a phase for a while, and comes back to it. */
  readonly leavesPhases?: boolean;
  decide(picture: StragglerPicture): StragglerDecision | null;
}

const none: StragglerPolicy = { decide: () => null };

const greedy: StragglerPolicy = {
  leavesPhases: true,
  decide({ inStep, isShareMet, stragglers }) {
    if (isShareMet) return null;
    if (inStep && stragglers.length > 0) {
      const reason = `greedy leaves the synchronous part: ${reasonsOf(stragglers)}`;
      return { kind: "switch", to: "asp", reason };
    }
    if (inStep || stragglers.length > 0) return null;
    const reason =
      "greedy returns to the synchronous part, of which a share is left: none straggles";
    return { kind: "switch", to: "bsp", reason };
  },
};

const elastic: StragglerPolicy = {
  decide({ inStep, stragglers, active, least, aside }) {
    if (aside.length > 0 && !inStep) {
      const reason = `elastic takes ${namesOf(aside)} back: workers wait for each other no more`;
      return { kind: "restore", ranks: aside, reason };
    }
    if (aside.length > 0 && active.length < least) {
      const left = `workers left: ${active.length}, and ${least} must be`;
      return {
        kind: "restore",
        ranks: aside,
        reason: `elastic takes ${namesOf(aside)} back: ${left}`,
      };
    }
    if (!inStep) return null;
    const slowestFirst = [...stragglers].sort((left, right) => left.throughput - right.throughput);
    const dispensable = slowestFirst.slice(0, Math.max(0, active.length - least));
    if (dispensable.length === 0) return null;
    const ranks = dispensable.map(({ rank }) => rank).sort((left, right) => left - right);
    const reason = `elastic sets ${namesOf(ranks)} aside: ${reasonsOf(dispensable)}`;
    return { kind: "set aside", ranks, reason };
  },
};

/** The policies by name. */
export const stragglerPolicies: Readonly<Record<StragglerPolicyName, StragglerPolicy>> = {
  none,
  greedy,
  elastic,
};

function reasonsOf(stragglers: readonly FoundStraggler[]): string {
  return stragglers.map(({ reason }) => reason).join("; ");
}

function namesOf(ranks: readonly number[]): string {
  return ranks.map((rank) => `worker-${rank}`).join(", ");
}

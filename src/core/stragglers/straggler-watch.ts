/**
 * The stragglers of one run: what is heard of its members goes to the detector, and what the policy
 * decides comes back, once. It remembers who stands aside: such a worker is a member, prepared for
 * the run, and takes no part in it until the policy takes it back.
 *
 * Invariant: a rank that stands aside may not take part, whichever process has it; one that takes
 * part all the same, as the run has begun again, stands aside no more.
 */
import { type ClusterReading, StragglerDetector } from "./straggler-detector.js";
import type { StragglerDecision, StragglerPicture, StragglerPolicy } from "./straggler-policy.js";

/** What comes of a look. */
export interface StragglerVerdict {
  /** Who has begun to straggle, or does no more; in sentences. */
  readonly news: readonly string[];
  readonly decision: StragglerDecision | null;
}

/** What is seen of the run besides. */
export type RunSeen = Pick<StragglerPicture, "inStep" | "isShareMet" | "active" | "least">;

/** The watch over one run. */
export class StragglerWatch {
  readonly #policy: StragglerPolicy;
  readonly #detector = new StragglerDetector();
  readonly #aside = new Map<number, string>();

  constructor(policy: StragglerPolicy) {
    this.#policy = policy;
  }

  /** Why the worker of this rank takes no part; null where it may. */
  whyAside(rank: number): string | null {
    return this.#aside.get(rank) ?? null;
  }

  /** Looks at what has been heard; what is decided holds at once. */
  look(reading: ClusterReading, run: RunSeen, nowMs: number): StragglerVerdict {
    // After a roll-back, or with another coordinator, everybody who is ready takes part.
    for (const rank of run.active) this.#aside.delete(rank);
    const news = this.#detector.observe(reading, nowMs).map(({ reason }) => reason);
    const stragglers = this.#detector.present.filter(({ rank }) => run.active.includes(rank));
    const aside = [...this.#aside.keys()].sort((left, right) => left - right);
    const decision = this.#policy.decide({ ...run, stragglers, aside });
    if (decision?.kind === "set aside") {
      for (const rank of decision.ranks) this.#aside.set(rank, decision.reason);
    } else if (decision?.kind === "restore") this.#aside.clear();
    return { news, decision };
  }
}

/**
 * The faults of one run, drawn from a seed: which server, what befalls it and at which step. They
 * come by turns of equal length, each in the first half of its own, so that copies are made again
 * before the next.
 */
import type { SuddenFault } from "../../protocol/injected-fault.js";
import { Random } from "../../random.js";

/** What faults are drawn from. */
export interface StrikePlan {
  readonly servers: number;
  readonly strikes: number;
  /** Steps from one turn to the next. */
  readonly every: number;
  readonly seed: number;
}

/** Of a pause and a cut: shorter than a lease, and so long that the server is given up. */
const lengthsMs = [1000, 6000] as const;

/** The faults, in the order of their steps. */
export function drawStrikes({ servers, strikes, every, seed }: StrikePlan): SuddenFault[] {
  const random = new Random("failover", seed);
  return Array.from({ length: strikes }, (_, turn) => {
    const at = (turn + 1) * every + random.below(Math.ceil(every / 2));
    const kind = (["kill", "pause", "cut"] as const)[random.below(3)]!;
    const forMs = kind === "kill" ? null : lengthsMs[random.below(lengthsMs.length)]!;
    return { kind, role: "server", rank: random.below(servers), at, forMs };
  });
}

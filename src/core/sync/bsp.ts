/**
 * BSP, bulk synchronous (Valiant 1990): a step's contributions are held until every worker of the
 * view has made its own, then they are sealed and folded as one update; step k may start when step
 * k - 1 is sealed.
 *
 * Invariant: a step is sealed once, and no contribution is waited for by a worker who is not in
 * the view, or whose first step comes later.
 */
import type { View, ViewWorker } from "../../protocol/view.js";
import { WorkInRounds } from "../work/work-in-rounds.js";
import { WorkInStep } from "../work/work-in-step.js";
import { type ChunkProgress, granted, type Mode, type Pace } from "./pace.js";
import { unknownParameter } from "./parameters.js";

/** Synchronous: every step is the gradients of all workers. */
export const bsp: Mode = {
  name: "bsp",
  aliases: ["sync"],
  summary: "lockstep",
  settings: [],
  protocolOf: () => ({ mode: "bsp" }),
  problem: (protocol) => unknownParameter(protocol, []),
  paceOf: () => bspPace,
};

/** The pace of BSP, which has no parameters; a variant of it may be made by other answers. */
export const bspPace: Pace = {
  globalStep: "step",
  hasBarriers: true,
  meetsAtBoundaries: true,
  judges: false,
  hasDecider: false,
  late: null,
  groups: null,
  isTimed: false,
  localSteps: null,
  mayStart: (view, progress, step) => {
    if (progress.sealedStep >= step - 1) return granted;
    const next = progress.sealedStep + 1;
    const missing = missingFrom(view, progress).map((worker) => worker.rank);
    const whom = missing.length === 0 ? "an earlier step" : `worker ${missing.join(", ")}`;
    return { allowed: false, reason: `waiting for ${whom}: sealed ${next} of ${step} steps` };
  },
  onPush: (_view, { index, sealedStep }, { step }) => {
    if (step <= sealedStep) {
      return { kind: "drop", reason: `step ${step} was sealed without it` };
    }
    const open = sealedStep + 1;
    if (step === open) return { kind: "hold" };
    return {
      kind: "refuse",
      reason: `step ${step} is not open on chunk ${index}: step ${open} is`,
    };
  },
  // With no worker in the view, what is held is sealed and then nothing more.
  maySeal: (view, progress) => {
    if (view.workers.length === 0 && !progress.holdsAny) {
      return { allowed: false, reason: "no worker takes part and nothing is held" };
    }
    const missing = missingFrom(view, progress).map((worker) => worker.rank);
    if (missing.length === 0) return granted;
    const step = progress.sealedStep + 1;
    return { allowed: false, reason: `step ${step} lacks worker ${missing.join(", ")}` };
  },
  laterStart: ({ fromStep }, { sealedStep }) => (fromStep <= sealedStep ? sealedStep + 1 : null),
  dealRanges: (floor, cursor) => new WorkInStep(floor, cursor),
  dealBatches: (floor, pool) => new WorkInRounds(floor, pool),
};

/** The workers of the view whose contribution to the open step is not held. */
function missingFrom(view: View, progress: ChunkProgress): ViewWorker[] {
  const step = progress.sealedStep + 1;
  return view.workers.filter((worker) => worker.fromStep <= step && !progress.holds(worker));
}

/**
 * K-of-N, synchronous SGD with backup workers (Chen et al. 2016, "Revisiting distributed
 * synchronous SGD"): of the N workers of the view B are backups, and a step is sealed once
 * K = N - B contributions are there. What comes later for that step is dropped, and its worker goes
 * on with the newest weights:
 *
 *   x(k + 1) = x(k) - lr * sum(n_i * g_i(x(k))) / sum(n_i)   over the first K that came
 *
 * Who is first is decided by one chunk for all (core/server/step-decisions.ts). As N follows the
 * workers that are there, K does: it is N - B, and at least 1. A contribution without examples
 * counts, but a step with nothing but such is sealed only when all are in.
 *
 * Invariant: at most B workers of the view are not waited for. With B = 0 the pace is BSP's.
 */
import { bspPace } from "./bsp.js";
import { granted, type Mode, type Pace } from "./pace.js";
import { countOf, problemOfCount, unknownParameter } from "./parameters.js";

/** Synchronous, with the first K of N workers. */
export const kOfN: Mode = {
  name: "k-of-n",
  aliases: ["backup-workers"],
  summary: "lockstep with backup workers",
  settings: ["backupWorkers"],
  protocolOf: ({ backupWorkers }) => ({ mode: "k-of-n", backupWorkers }),
  problem: (protocol) =>
    unknownParameter(protocol, ["backupWorkers"]) ?? problemOfCount(protocol, "backupWorkers"),
  paceOf: (protocol) => {
    const backups = countOf(protocol, "backupWorkers");
    return backups === 0 ? bspPace : quorumPace(backups);
  },
};

function quorumPace(backups: number): Pace {
  return {
    ...bspPace,
    hasDecider: true,
    mayStart: (_view, { sealedStep, index }, step) => {
      if (sealedStep >= step - 1) return granted;
      const open = sealedStep + 1;
      const reason = `waiting for step ${open} to be sealed on chunk ${index}, to start ${step}`;
      return { allowed: false, reason };
    },
    maySeal: (view, progress) => {
      const step = progress.sealedStep + 1;
      const due = view.workers.filter(({ fromStep }) => fromStep <= step);
      const missing = due.filter((worker) => !progress.holds(worker));
      if (view.workers.length === 0 && !progress.holdsAny) {
        return { allowed: false, reason: "no worker takes part and nothing is held" };
      }
      if (missing.length === 0) return granted;
      const wanted = Math.max(1, due.length - backups);
      const here = due.length - missing.length;
      if (here >= wanted && progress.holdsExamples) return granted;
      const count = `${here} of ${due.length} workers are in step ${step}`;
      const reason = here < wanted ? `${count}, ${wanted} are needed` : `${count} without examples`;
      return { allowed: false, reason };
    },
  };
}

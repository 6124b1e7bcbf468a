/**
 * Learning rate as a function of work: the examples applied so far, as a share p of the run's
 * whole work. Following work instead of raw steps keeps a schedule's meaning when the pace
 * changes, since a BSP step consumes every worker's batch and an ASP step one (Sync-Switch, arXiv
 * 2104.08364, section 4).
 *
 * Invariant: pure; the same work gives the same rate in every process. Past the whole work the
 * rate stays at its end value. Results are f64; the caller that applies one rounds it to f32 once.
 */
import { assert } from "../assert.js";
import type { ScheduleSpec } from "./schedule-spec.js";

/**
 * Share of the work in which onecycle rises where the spec's warm-up is 0 (PyTorch's pct_start).
 */
export const onecycleRiseShare = 0.3;
/** onecycle starts at its peak divided by this (PyTorch's div_factor). */
export const onecycleStartDivisor = 25;
/** onecycle ends at its start divided by this (PyTorch's final_div_factor). */
export const onecycleEndDivisor = 1e4;

/**
 * The rate to apply to an update made when `examplesApplied` examples have been applied before
 * it.
 *
 * - constant: lr.
 * - step: lr * gamma^k, k = milestones at or before p (He et al. 2016, section 4.2).
 * - cosine: lr * (1 + cos(pi * q)) / 2, q = p rescaled to the part after the warm-up (Loshchilov
 *   and Hutter 2017, equation 5, one period, minimum 0).
 * - onecycle: cosine from lr / 25 up to lr at the share `warmup` (0.3 where that is 0), then
 *   cosine down to lr / 250,000 (Smith and Topin 2018, in PyTorch's form).
 *
 * The first three are multiplied by p / warmup during the warm-up (Goyal et al. 2017, section
 * 2.2, starting from 0). A run whose whole work is 0 is at its end.
 */
export function learningRate(spec: ScheduleSpec, examplesApplied: number): number {
  assert(examplesApplied >= 0, "work is not negative", { examplesApplied });
  const share = examplesApplied >= spec.totalExamples ? 1 : examplesApplied / spec.totalExamples;
  const ramp = share < spec.warmup ? share / spec.warmup : 1;
  return rates[spec.name](spec, share, ramp);
}

/** @param ramp what of the rate the warm-up has let through: 1 when it is over. */
type Rate = (spec: ScheduleSpec, share: number, ramp: number) => number;

const rates: Readonly<Record<ScheduleSpec["name"], Rate>> = {
  constant: ({ lr }, _share, ramp) => lr * ramp,
  step({ lr, gamma, milestones }, share, ramp) {
    const passed = milestones.filter((milestone) => share >= milestone).length;
    return lr * gamma ** passed * ramp;
  },
  cosine: ({ lr, warmup }, share, ramp) =>
    ramp < 1 ? lr * ramp : anneal(lr, 0, shareWithin(share, warmup, 1)),
  onecycle({ lr, warmup }, share) {
    const rise = warmup > 0 ? warmup : onecycleRiseShare;
    const start = lr / onecycleStartDivisor;
    if (share < rise) return anneal(start, lr, share / rise);
    return anneal(lr, start / onecycleEndDivisor, shareWithin(share, rise, 1));
  },
};

/** Half a cosine from `from` (at = 0) to `to` (at = 1). */
function anneal(from: number, to: number, at: number): number {
  return to + ((from - to) * (1 + Math.cos(Math.PI * at))) / 2;
}

/** Where a share lies between two others, in [0, 1]; an empty interval has been passed. */
function shareWithin(share: number, from: number, to: number): number {
  return to > from ? (share - from) / (to - from) : 1;
}

/**
 * Which learning-rate schedule a run follows and its constants; schedule.ts says what rate each
 * gives. A schedule follows work, after Sync-Switch's rule, so its times are shares of the work.
 *
 * Invariant: every name of the list has a rate in schedule.ts.
 */
import { list, oneOf, real, type SpecOf, share, whole } from "./spec-field.js";
import { option } from "./spec-option.js";

/** The schedules. */
export const schedules = ["constant", "step", "cosine", "onecycle"] as const;

/** The most milestones. */
const milestonesMax = 1024;
const place = { group: "training", scope: "training" } as const;
const onlyStep = { key: "lrSchedule", values: ["step"] } as const;

/** The schedule of a run. */
export const scheduleFields = {
  /** The base learning rate; the peak for onecycle. */
  lr: option("lr", real("[0, 1000000]"), {
    placeholder: "rate",
    default: 0.1,
    sentence: "learning rate; with onecycle, the peak rate",
    ...place,
  }),
  name: option("lrSchedule", oneOf(schedules), {
    default: "constant",
    sentence: "learning rate schedule",
    ...place,
  }),
  /** Share of the whole work during which the rate rises linearly from 0. */
  warmup: option("lrWarmup", share, {
    default: 0,
    unit: "share of the work",
    sentence: "warm-up: share of the work during which the rate rises from 0",
    ...place,
  }),
  /** For `step`: shares of the whole work at which the rate is multiplied by `gamma`. */
  milestones: option("lrMilestones", list(share, milestonesMax), {
    default: [0.5, 0.75],
    unit: "shares of the work",
    sentence: "points at which the rate is multiplied by --lr-gamma",
    onlyWith: onlyStep,
    ...place,
  }),
  gamma: option("lrGamma", real("[0, 1]"), {
    placeholder: "factor",
    default: 0.1,
    sentence: "factor applied at each milestone",
    onlyWith: onlyStep,
    ...place,
  }),
  /** The whole work of the run in examples. */
  totalExamples: whole(),
};

/** Learning rate as a function of work (examples applied). */
export interface ScheduleSpec extends SpecOf<typeof scheduleFields> {}

/**
 * How often something is done: every so many global steps, epochs, or seconds of training.
 *
 * Invariant: a cadence that was read counts from 1.
 */
import { oneOf, record, type SpecOf, whole } from "../spec-field.js";

const cadenceFields = { unit: oneOf(["step", "epoch"]), count: whole(1) };

/** A cadence in global steps or epochs, e.g. 5it or 1e. */
export interface Cadence extends SpecOf<typeof cadenceFields> {}

/** The field of one. */
export const cadence = record<Cadence>(cadenceFields);
const timedFields = { unit: oneOf(["step", "epoch", "second"]), count: whole(1) };

/** A cadence that may be one in seconds of training as well, e.g. 600 seconds. */
export interface TimedCadence extends SpecOf<typeof timedFields> {}

/** The field of one. */
export const timedCadence = record<TimedCadence>(timedFields);

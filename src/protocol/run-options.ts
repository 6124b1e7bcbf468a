/**
 * The options that fill fields of a run's spec, by their keys: what the tables of the spec and of
 * its records say of them, as one type. Programs give them as settings, people as options.
 *
 * Invariant: a field that gets an option in its table is here without being written again.
 */
import type { compressionSpecFields } from "./compression.js";
import type { inputFields } from "./input-spec.js";
import type { runFields } from "./run-spec.js";
import type { scheduleFields } from "./schedule-spec.js";
import type { OptionsOf } from "./spec-option.js";
import type { updateRuleFields } from "./update-rules.js";

/** Examples of a small run (`--fast`) where nothing else is said; a data set may have fewer. */
export const fastLimits = { train: 2048, test: 512 } as const;

/** What fills fields of a run's spec. */
export interface RunOptions
  extends OptionsOf<typeof runFields>,
    OptionsOf<typeof inputFields>,
    OptionsOf<typeof scheduleFields>,
    OptionsOf<typeof updateRuleFields>,
    OptionsOf<typeof compressionSpecFields> {}

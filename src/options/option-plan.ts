/**
 * Values of options that say a plan of protocols, and what of a run changes from phase to phase.
 *
 * Invariant: a value that was read prints as a text that reads as the same value.
 */
import { modeNamed } from "../core/sync/modes.js";
import { intervalOf } from "../protocol/interval.js";
import type { TimedCadence } from "../protocol/plan/cadence.js";
import type { PhaseHparams } from "../protocol/plan/phase-hparams.js";
import { phasesMax } from "../protocol/plan/plan.js";
import { type PlanWords, parsePlan, planText } from "../protocol/plan/plan-text.js";
import type { Reading } from "../protocol/spec-field.js";
import { realWithin, timedCadence, type ValueType } from "./option-values.js";

/** A plan such as bsp:6.25%,asp. */
export const planValue: ValueType<PlanWords> = {
  placeholder: "phases",
  wanted:
    "modes in their order, each but the last with its share of the work, its epochs or a plateau " +
    "of the test loss, such as bsp:6.25%,asp or bsp:2e,ssp:50%,asp or bsp:plateau(3,0.01),asp",
  parse: (text) => parsePlan(text, modeNamed),
  print: planText,
  schema: { type: "string", minLength: 1 },
};

/** Sync-Switch's order of protocols, a digit for each phase. */
export const switchOrder: ValueType<string> = {
  placeholder: "digits",
  wanted: "a digit for each phase, 1 for bsp and 0 for asp, such as 10 or 101",
  parse(text) {
    if (!/^[01]{2,1000}$/.test(text)) return { problem: "is not two or more of 0 and 1" };
    if (/00|11/.test(text)) return { problem: "goes from a protocol to itself" };
    return { value: text };
  },
  print: (value) => value,
  schema: { type: ["string", "integer"] },
};

const hparamNames = {
  lr: { type: realWithin(intervalOf("(0, 1000]")), others: ["learning_rate"] },
  momentum: { type: realWithin(intervalOf("[0, 1)")), others: [] },
} as const;

/** What phases have of their own, as Sync-Switch writes it: a part for each phase. */
export const hparams: ValueType<readonly PhaseHparams[]> = {
  placeholder: "name=value,...;...",
  wanted:
    "a part for each phase of the plan, with semicolons between, each of lr=number and " +
    "momentum=number with commas, or of nothing, such as lr=0.8;lr=0.1,momentum=0.5",
  parse(text) {
    if (text.trim() === "") return { value: [] };
    const phases: PhaseHparams[] = [];
    for (const part of text.split(";")) {
      const read = hparamsOf(part);
      if ("problem" in read) return read;
      phases.push(read.value);
    }
    if (phases.length <= phasesMax) return { value: phases };
    return { problem: `has ${phases.length} phases, more than ${phasesMax}` };
  },
  print: (phases) => phases.map(hparamsText).join(";"),
  schema: { type: "string" },
};

function hparamsOf(part: string): Reading<PhaseHparams> {
  const read: { lr: number | null; momentum: number | null } = { lr: null, momentum: null };
  for (const pair of part.split(",").filter((one) => one.trim() !== "")) {
    const [word = "", value = ""] = pair.trim().split(/=(.*)/s);
    const name = hparamNamed(word.trim());
    if (name === null) {
      return { problem: `has ${JSON.stringify(pair.trim())}, which is neither lr nor momentum` };
    }
    if (read[name] !== null) return { problem: `says ${name} twice in ${JSON.stringify(part)}` };
    const number = hparamNames[name].type.parse(value.trim());
    if ("problem" in number) return { problem: `has ${pair.trim()}, which ${number.problem}` };
    read[name] = number.value;
  }
  return { value: read };
}

function hparamNamed(word: string): keyof PhaseHparams | null {
  const names = Object.keys(hparamNames) as (keyof PhaseHparams)[];
  const isIt = (name: keyof PhaseHparams) =>
    name === word || (hparamNames[name].others as readonly string[]).includes(word);
  return names.find(isIt) ?? null;
}

function hparamsText({ lr, momentum }: PhaseHparams): string {
  const parts = [
    lr === null ? [] : [`lr=${lr}`],
    momentum === null ? [] : [`momentum=${momentum}`],
  ];
  return parts.flat().join(",");
}

/** A cadence of checkpoints; a plain number is of global steps. */
export const ckptFrequency: ValueType<TimedCadence> = {
  ...timedCadence,
  wanted: `${timedCadence.wanted}; a number alone is of steps`,
  parse: (text) => timedCadence.parse(/^\d+$/.test(text) ? `${text}it` : text),
  schema: { anyOf: [timedCadence.schema, { type: "integer", minimum: 1 }] },
};

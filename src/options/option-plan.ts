/** Values of options that say a plan of protocols. */
import { modeNamed } from "../core/sync/modes.js";
import { type PlanWords, parsePlan, planText } from "../protocol/plan/plan-text.js";
import type { ValueType } from "./option-values.js";

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

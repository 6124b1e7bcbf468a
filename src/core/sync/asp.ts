/**
 * ASP, asynchronous: every push is applied on arrival and nobody waits for anybody. What a stale
 * push counts for is the staleness rule's to say (protocol/staleness.ts).
 *
 * Invariants: a push without examples is never judged stale, as it moves nothing; a push is judged
 * once, on the chunk that leads it, and applied in whole or not at all.
 */
import type { Protocol, StalenessRule } from "../../protocol/run-spec.js";
import { real, whole } from "../../protocol/spec-field.js";
import { judgeStaleness, stalenessRanges } from "../../protocol/staleness.js";
import { WorkAtWill } from "../work/work-at-will.js";
import { WorkFirstCome } from "../work/work-first-come.js";
import { granted, type Mode, neverHeld, type Pace } from "./pace.js";
import { unknownParameter } from "./parameters.js";

const numbers = {
  scale: real(stalenessRanges.scale),
  floor: real(stalenessRanges.floor),
  max: whole(0, 1_000_000),
};
const rules: readonly unknown[] = ["none", "scale", "reject", "scale+reject"];

/** Asynchronous: every push is applied on arrival. */
export const asp: Mode = {
  name: "asp",
  aliases: ["async"],
  summary: "asynchronous",
  settings: ["stalenessRule", "stalenessScale", "stalenessFloor", "stalenessMax"],
  protocolOf: ({ stalenessRule: rule, stalenessScale: scale, stalenessFloor, stalenessMax }) => {
    const staleness = { rule, scale, floor: stalenessFloor, max: stalenessMax };
    return { mode: "asp", staleness };
  },
  problem: (protocol) => unknownParameter(protocol, ["staleness"]) ?? problemOfRule(protocol),
  paceOf: ({ staleness }) => aspPace(staleness as StalenessRule),
};

/** What is wrong with the staleness rule of a protocol from elsewhere; null when nothing is. */
export function problemOfRule({ staleness }: Protocol): string | null {
  if (typeof staleness !== "object") return "staleness is no rule";
  const { rule, scale, floor, max } = staleness;
  if (!rules.includes(rule)) return `staleness.rule is ${rule}: ${rules.join(", ")} are known`;
  for (const [name, field] of Object.entries(numbers)) {
    const reading = field.read({ scale, floor, max }[name], `staleness.${name}`);
    if ("problem" in reading) return reading.problem;
  }
  return null;
}

/** The pace of ASP under a staleness rule. */
export function aspPace(rule: StalenessRule): Pace {
  return {
    globalStep: "push",
    hasBarriers: false,
    meetsAtBoundaries: false,
    judges: rule.rule !== "none",
    hasDecider: false,
    late: null,
    groups: null,
    isTimed: false,
    localSteps: null,
    mayStart: () => granted,
    onPush: (_view, _progress, { examples, staleness }) => {
      if (examples === 0) return { kind: "apply", scale: 1, reason: "" };
      const { accept, scale, reason } = judgeStaleness(rule, staleness);
      return accept ? { kind: "apply", scale, reason } : { kind: "reject", reason };
    },
    maySeal: () => neverHeld,
    laterStart: () => null,
    dealRanges: (floor, cursor) => new WorkAtWill(floor, cursor),
    dealBatches: (floor, pool) => new WorkFirstCome(floor, pool),
  };
}

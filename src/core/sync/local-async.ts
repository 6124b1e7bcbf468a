/**
 * Local SGD without rounds: a step is H batches that a worker takes on weights of its own, and its
 * difference is applied on arrival, as ASP applies a gradient (Liu et al. 2024, "Asynchronous
 * local-SGD training for language modeling"). The staleness rule weighs a difference by the updates
 * that others made since the worker began the step.
 *
 * Invariant: all that a pace decides is ASP's; only how many batches a step takes differs.
 */
import { asp, problemOfRule } from "./asp.js";
import { localParameters, problemOfLocal } from "./local.js";
import type { Mode } from "./pace.js";
import { countOf, unknownParameter } from "./parameters.js";

/** Asynchronous local SGD. */
export const localAsync: Mode = {
  ...asp,
  name: "local-async",
  aliases: [],
  summary: "local steps, then an exchange of one",
  settings: ["localSteps", "outerOptimizer", ...asp.settings],
  protocolOf: (settings) => ({
    ...asp.protocolOf(settings),
    mode: "local-async",
    ...localParameters(settings),
  }),
  problem: (protocol) =>
    unknownParameter(protocol, ["localSteps", "outer", "staleness"]) ??
    problemOfLocal(protocol) ??
    problemOfRule(protocol),
  paceOf: (protocol) => ({ ...asp.paceOf(protocol), localSteps: countOf(protocol, "localSteps") }),
};

/**
 * Ringmaster ASGD (Maranjyan, Tyurin, Richtarik, ICML 2025): pushes are applied on arrival, and one
 * that is R updates old or older is thrown away, as it would do more harm than good; its worker
 * goes on from the present weights. With delays below R the number of updates that a given error
 * takes is bounded, whatever the workers' speeds are and however they change:
 *
 *   x(k + 1) = x(k) - lr * g(x(k - delay))   where delay < R; else x stays as it is.
 *
 * Invariant: no push of a delay of R or more moves the weights.
 */
import { aspPace } from "./asp.js";
import type { Mode } from "./pace.js";
import { countOf, problemOfCount, unknownParameter } from "./parameters.js";

/** Asynchronous, without gradients that are too old. */
export const ringmaster: Mode = {
  name: "ringmaster",
  aliases: [],
  summary: "asynchronous, old gradients thrown away",
  settings: ["delayBound"],
  protocolOf: ({ delayBound }) => ({ mode: "ringmaster", delayBound }),
  problem: (protocol) =>
    unknownParameter(protocol, ["delayBound"]) ??
    problemOfCount(protocol, "delayBound") ??
    (countOf(protocol, "delayBound") === 0 ? "delayBound is 0, it must be at least 1" : null),
  paceOf: (protocol) => {
    const max = countOf(protocol, "delayBound") - 1;
    return aspPace({ rule: "reject", scale: 0, floor: 0, max });
  },
};

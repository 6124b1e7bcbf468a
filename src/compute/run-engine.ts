/** Which engine computes a run, from what its spec wishes and what this machine has. */
import type { RunSpec } from "../contract/run-spec.js";
import { type ChosenEngine, createEngine } from "../engine/engines.js";
import { PacelineError } from "../errors.js";
import { type ModelFacts, modelOf } from "./initial-state.js";

/**
 * The engine of a run and the sentence to log of it. Whatever library it needs is loaded by the
 * calling thread.
 * @throws PacelineError `usage` when the wished engine is not to be had, or `bf16!` was wished for
 *   and the machine can't compute in bf16.
 */
export function engineOf(
  spec: ModelFacts & Pick<RunSpec, "engine" | "dtype" | "threads">,
): Pick<ChosenEngine, "engine" | "reason"> {
  const { dtype, threads } = spec;
  const type = dtype === "f32" ? "f32" : "bf16";
  const wish = { graph: modelOf(spec), dtype: type, threads, autoOneDnn: true } as const;
  const { engine, reason, warning } = createEngine(spec.engine, wish);
  const lacking = type === "bf16" && engine.name !== "onednn" ? "it computes in f32" : warning;
  if (lacking === null) return { engine, reason };
  if (dtype === "bf16!") {
    const sentence = `--dtype bf16! can't be kept: ${reason}: ${lacking}`;
    throw new PacelineError("usage", `${sentence}; write --dtype bf16 or f32, or install oneDNN`);
  }
  return { engine, reason: `${reason}; ${lacking}` };
}

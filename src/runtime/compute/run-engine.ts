/** Which engine computes a run, from what its spec asks for and what this machine has. */

import { PacelineError } from "../../errors.js";
import { type ChosenEngine, createEngine, type EngineRequest } from "../../nn/engines.js";
import { kernelCacheFile } from "../../nn/onednn/kernel-cache.js";
import type { RunSpec } from "../../protocol/run-spec.js";

/** What surrounds an engine on a machine. */
export interface EngineSurroundings {
  /** Where measurements are kept; without it no choice is measured. */
  readonly cacheDir?: string | null;
}

/**
 * The engine of a run and the sentence to log of it. Whatever library it needs is loaded by the
 * calling thread.
 * @param opened the library, if it is not to be looked for.
 * @throws PacelineError `usage` where the engine asked for is missing, or `bf16!` was asked for
 *   and the machine can't compute in bf16.
 */
export function engineOf(
  spec: Pick<RunSpec, "engine" | "dtype" | "threads" | "algorithms" | "recordedAlgorithms">,
  { opened, cacheDir = null }: Pick<EngineRequest, "opened"> & EngineSurroundings = {},
): Pick<ChosenEngine, "engine" | "reason"> {
  const { engine: choice, dtype, threads, algorithms: mode, recordedAlgorithms: recorded } = spec;
  const type = dtype === "f32" ? "f32" : "bf16";
  const cacheFile = cacheDir === null ? null : kernelCacheFile(cacheDir);
  const request: EngineRequest = { dtype: type, threads, kernels: { mode, cacheFile, recorded } };
  const found = createEngine(choice, opened === undefined ? request : { ...request, opened });
  const { engine, reason, warning } = found;
  const lacking = type === "bf16" && engine.name !== "onednn" ? "it computes in f32" : warning;
  if (lacking === null) return { engine, reason };
  if (dtype === "bf16!") {
    const sentence = `--dtype bf16! can't be kept: ${reason}: ${lacking}`;
    throw new PacelineError("usage", `${sentence}; write --dtype bf16 or f32, or install oneDNN`);
  }
  return { engine, reason: `${reason}; ${lacking}` };
}

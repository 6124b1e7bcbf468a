/** Which kernels a process uses: SIMD ones where the platform can, else the scalar ones. */
import { PacelineError } from "../errors.js";
import type { Arena } from "./arena.js";
import type { Conversions } from "./conversions.js";
import type { Kernels } from "./kernels.js";
import { createScalarKernels } from "./scalar.js";
import { scalarConversions } from "./scalar-conversions.js";
import { createWasmKernels } from "./wasm.js";
import { createWasmConversions } from "./wasm-conversions.js";

/** What a user may ask for: all have the same bits, so it is a matter of speed and of checking. */
export const kernelsChoices = ["auto", "wasm", "scalar"] as const;
/** One of the choices. */
export type KernelsChoice = (typeof kernelsChoices)[number];

/** How to choose; `auto` without a log when left out. */
export interface KernelsSettings {
  readonly choice?: KernelsChoice;
  /** Takes a line when `auto` falls back. */
  readonly log?: (line: string) => void;
}

/** Kernels over one arena; throws "usage" when `wasm` is asked for and doesn't run here. */
export function createKernels(arena: Arena, settings: KernelsSettings = {}): Kernels {
  return choose(
    settings,
    () => createWasmKernels(arena),
    () => createScalarKernels(arena),
  );
}

/** Conversions, in place where views lie in the arena; throws as createKernels does. */
export function createConversions(
  arena: Arena | null = null,
  settings: KernelsSettings = {},
): Conversions {
  return choose(
    settings,
    () => createWasmConversions(arena),
    () => scalarConversions,
  );
}

/** `fast`, or under `auto` what is there when it can't be made; exported for its test. */
export function choose<T>(
  { choice = "auto", log = () => {} }: KernelsSettings,
  fast: () => T,
  scalar: () => T,
): T {
  if (choice === "scalar") return scalar();
  try {
    return fast();
  } catch (thrown) {
    if (choice === "wasm" || !(thrown instanceof PacelineError) || thrown.code !== "usage")
      throw thrown;
    log(`${thrown.message}; using the scalar kernels, which are several times slower`);
    return scalar();
  }
}

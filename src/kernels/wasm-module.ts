/**
 * The SIMD kernels as a WebAssembly module: compiled once per thread, instantiated once per arena.
 *
 * The module imports the arena's shared memory and keeps nothing of its own in it: no data
 * segment, no stack, no heap. Its functions take addresses in bytes and lengths in values; an
 * address of 2 GiB or more arrives as the same 32 bits.
 */
import { PacelineError } from "../errors.js";
import type { SharedMemory } from "./arena.js";
import { kernelModule } from "./generated-kernels.js";
import type { UpdateName } from "./update-rule.js";

type Numbers = (...numbers: number[]) => void;
/** 1 when every value of the result is finite, else 0. */
type Judged = (...numbers: number[]) => number;

/** Updates that have a function of their own; adamw's is adam's. */
type OwnUpdate = Exclude<UpdateName, "adamw">;

/** What the module exports; each function's arguments are told in assembly/. */
export interface KernelExports extends Readonly<Record<OwnUpdate, Numbers>> {
  readonly fold1: Judged;
  readonly fold2: Judged;
  readonly fold3: Judged;
  readonly fold4: Judged;
  readonly finite: (at: number, length: number) => number;
  /** See vectors.ts; as a signed number. */
  readonly largest: (at: number, length: number) => number;
  readonly copy: Numbers;
  readonly fill: Numbers;
  readonly exchange: Numbers;
  readonly add: Numbers;
  readonly subtract: Numbers;
  readonly halvesFromFloats: Numbers;
  readonly floatsFromHalves: Numbers;
  readonly bfloatsFromFloats: Numbers;
  readonly floatsFromBfloats: Numbers;
  readonly quantise: Numbers;
  readonly dequantise: Numbers;
  readonly topK: Numbers;
  readonly packSigns: Numbers;
  readonly unpackSigns: Numbers;
  readonly checksum: (at: number, bytes: number, seed: number) => number;
}

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: SharedMemory } },
  ) => { readonly exports: KernelExports };
};

let compiled: object | null = null;

/**
 * The kernels over one memory. Throws "usage" where the platform can't run them: without
 * SIMD or shared memory the module doesn't compile.
 */
export function instantiateKernels(memory: SharedMemory): KernelExports {
  try {
    compiled ??= new WebAssembly.Module(Buffer.from(kernelModule.base64, "base64"));
    return new WebAssembly.Instance(compiled, { env: { memory } }).exports;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PacelineError(
      "usage",
      `the SIMD kernels don't run here (${reason}); use --kernels scalar or auto`,
      { cause },
    );
  }
}

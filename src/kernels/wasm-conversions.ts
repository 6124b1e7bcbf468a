/**
 * The conversions as SIMD instructions. A module reaches one memory only: views that lie in the
 * arena are used where they are, and any others pass through slots of it, copied in, converted,
 * copied out, which a chunk's size keeps in the cache.
 */
import { assert } from "../assert.js";
import { Arena } from "./arena.js";
import {
  checkBlocks,
  checkBytes,
  checkPair,
  checkSelection,
  checkSigns,
} from "./conversion-checks.js";
import type { Conversions, Overflow } from "./conversions.js";
import { mix } from "./rounding.js";
import { instantiateKernels, type KernelExports } from "./wasm-module.js";

type View = Float32Array | Uint32Array | Uint8Array;
type Call = (simd: KernelExports, at: readonly number[]) => void;

/** Views of a call: what it reads, and what it writes whole. */
interface Operands {
  readonly reads: readonly View[];
  readonly writes: readonly View[];
  /** Values of memory of its own, behind the views. */
  readonly scratch?: number;
}

/** Addresses in a module's functions are 32 bits, some of which are lost where values are bytes. */
const valuesMax = 2 ** 29 - 1;
const stagingValues = 2 ** 28;
const topKBins = 2048;

/**
 * SIMD conversions, in place where views lie in `arena`, or with one of their own; throws "usage"
 * where the platform can't run them.
 */
export function createWasmConversions(arena: Arena | null): Conversions {
  const run = runner(arena ?? stagingArena());
  return {
    name: "wasm",
    ...halves(run),
    ...blocks(run),
    topK(values, k, indices, picked) {
      checkSelection(values, k, indices, picked);
      if (k === 0) return;
      const operands = {
        reads: [values],
        writes: [indices, picked],
        scratch: topKBins + values.length,
      };
      run(operands, (simd, [from, to, pickedTo, scratch]) =>
        simd.topK(from!, values.length, k, scratch!, to!, pickedTo!),
      );
    },
    add(left, right, out) {
      checkPair(left, right, out);
      run({ reads: [left, right], writes: [out] }, (simd, [a, b, to]) =>
        simd.add(a!, b!, to!, out.length),
      );
    },
    subtract(left, right, out) {
      checkPair(left, right, out);
      run({ reads: [left, right], writes: [out] }, (simd, [a, b, to]) =>
        simd.subtract(a!, b!, to!, out.length),
      );
    },
    finite(values) {
      let found = 0;
      run({ reads: [values], writes: [] }, (simd, [at]) => {
        found = simd.finite(at!, values.length);
      });
      return found !== 0;
    },
    checksum(bytes, seed) {
      let sum = 0;
      run({ reads: [bytes], writes: [] }, (simd, [at]) => {
        sum = simd.checksum(at!, bytes.length, seed);
      });
      return sum >>> 0;
    },
  };
}

type Runner = (operands: Operands, call: Call) => void;
type Halves = Pick<
  Conversions,
  "halvesFromFloats" | "floatsFromHalves" | "bfloatsFromFloats" | "floatsFromBfloats"
>;
type Blocks = Pick<Conversions, "quantise" | "dequantise" | "packSigns" | "unpackSigns">;

function halves(run: Runner): Halves {
  const saturates = (overflow: Overflow) => (overflow === "saturate" ? 1 : 0);
  return {
    halvesFromFloats(values, bytes, overflow) {
      checkBytes(values, bytes, 2);
      run({ reads: [values], writes: [bytes] }, (simd, [from, to]) =>
        simd.halvesFromFloats(from!, to!, values.length, saturates(overflow)),
      );
    },
    floatsFromHalves(bytes, values) {
      checkBytes(values, bytes, 2);
      run({ reads: [bytes], writes: [values] }, (simd, [from, to]) =>
        simd.floatsFromHalves(from!, to!, values.length),
      );
    },
    bfloatsFromFloats(values, bytes, overflow) {
      checkBytes(values, bytes, 2);
      run({ reads: [values], writes: [bytes] }, (simd, [from, to]) =>
        simd.bfloatsFromFloats(from!, to!, values.length, saturates(overflow)),
      );
    },
    floatsFromBfloats(bytes, values) {
      checkBytes(values, bytes, 2);
      run({ reads: [bytes], writes: [values] }, (simd, [from, to]) =>
        simd.floatsFromBfloats(from!, to!, values.length),
      );
    },
  };
}

function blocks(run: Runner): Blocks {
  return {
    quantise(values, blockValues, seed, scales, codes) {
      checkBlocks(values, blockValues, scales, codes);
      const key = mix(seed);
      run({ reads: [values], writes: [scales, codes] }, (simd, [from, scalesAt, codesAt]) =>
        simd.quantise(from!, values.length, blockValues, key, scalesAt!, codesAt!),
      );
    },
    dequantise(scales, codes, blockValues, values) {
      checkBlocks(values, blockValues, scales, codes);
      run({ reads: [scales, codes], writes: [values] }, (simd, [scalesAt, codesAt, to]) =>
        simd.dequantise(scalesAt!, codesAt!, blockValues, to!, values.length),
      );
    },
    packSigns(values, blockValues, scales, bits) {
      checkSigns(values, blockValues, scales, bits);
      run({ reads: [values], writes: [scales, bits] }, (simd, [from, scalesAt, bitsAt]) =>
        simd.packSigns(from!, values.length, blockValues, scalesAt!, bitsAt!),
      );
    },
    unpackSigns(scales, bits, blockValues, values) {
      checkSigns(values, blockValues, scales, bits);
      run({ reads: [scales, bits], writes: [values] }, (simd, [scalesAt, bitsAt, to]) =>
        simd.unpackSigns(scalesAt!, bitsAt!, blockValues, to!, values.length),
      );
    },
  };
}

/**
 * Calls a module over one arena. A view that lies elsewhere passes through a slot of its own; what
 * is in the arena is used where it is.
 */
function runner(arena: Arena): Runner {
  const simd = instantiateKernels(arena.memory);
  return ({ reads, writes, scratch = 0 }, call) => {
    const taken: number[] = [];
    const slotOf = (values: number) => {
      const slot = arena.allocate(Math.max(values, 1));
      taken.push(slot);
      return slot * 4;
    };
    const placeOf = (view: View) => {
      assert(view.length <= valuesMax, "views can be addressed", { length: view.length });
      return arena.owns(view.buffer) ? view.byteOffset : slotOf(Math.ceil(view.byteLength / 4));
    };
    try {
      const from = reads.map(placeOf);
      const to = writes.map(placeOf);
      const own = scratch === 0 ? [] : [slotOf(scratch)];
      reads.forEach((view, index) => {
        if (!arena.owns(view.buffer)) arena.bytes.set(bytesOf(view), from[index]);
      });
      call(simd, [...from, ...to, ...own]);
      writes.forEach((view, index) => {
        if (arena.owns(view.buffer)) return;
        const at = to[index]!;
        bytesOf(view).set(arena.bytes.subarray(at, at + view.byteLength));
      });
    } finally {
      for (const slot of taken) arena.free(slot);
    }
  };
}

let staging: Arena | null = null;

/** Where values pass through that have no arena. */
function stagingArena(): Arena {
  staging ??= new Arena(stagingValues);
  return staging;
}

function bytesOf(view: View): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/**
 * The conversions as SIMD instructions. A module reaches one memory only, so views that all lie
 * in the arena are used where they are, and any others pass through slots of an arena that is kept
 * for staging: copied in, converted, copied out, which a chunk's size keeps in the cache.
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
const slotBytes = 64;
const topKBins = 2048;

/**
 * SIMD conversions, in place where views lie in `arena`; throws "usage" where the platform can't
 * run them.
 */
export function createWasmConversions(arena: Arena | null): Conversions {
  const run = runner(arena);
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

function runner(arena: Arena | null): Runner {
  const staging = stagingArea();
  const inPlace = arena === null ? null : instantiateKernels(arena.memory);
  return (operands, call) => {
    const views = [...operands.reads, ...operands.writes];
    for (const { length } of views)
      assert(length <= valuesMax, "views can be addressed", { length });
    if (arena === null || !views.every((view) => arena.owns(view.buffer))) {
      staging.run(operands, call);
      return;
    }
    const addresses = views.map((view) => view.byteOffset);
    if (operands.scratch === undefined) return call(inPlace!, addresses);
    const scratch = arena.allocate(operands.scratch);
    try {
      call(inPlace!, [...addresses, scratch * 4]);
    } finally {
      arena.free(scratch);
    }
  };
}

/** One slot that grows to what a call needs. */
class StagingArea {
  readonly #arena = new Arena(stagingValues);
  readonly #simd = instantiateKernels(this.#arena.memory);
  #slot = 0;
  #bytes = 0;

  run({ reads, writes, scratch = 0 }: Operands, call: Call): void {
    const addresses: number[] = [];
    let end = 0;
    for (const view of [...reads, ...writes]) {
      addresses.push(end);
      end += Math.ceil(view.byteLength / slotBytes) * slotBytes;
    }
    const base = this.#reserve(end + scratch * 4);
    const at = [...addresses, end].map((address) => base + address);
    reads.forEach((view, index) => {
      this.#arena.bytes.set(bytesOf(view), at[index]);
    });
    call(this.#simd, at);
    writes.forEach((view, index) => {
      const from = at[reads.length + index]!;
      bytesOf(view).set(this.#arena.bytes.subarray(from, from + view.byteLength));
    });
  }

  #reserve(bytes: number): number {
    if (bytes > this.#bytes) {
      if (this.#bytes > 0) this.#arena.free(this.#slot);
      this.#bytes = 0;
      this.#slot = this.#arena.allocate(Math.ceil(bytes / 4));
      this.#bytes = bytes;
    }
    return this.#slot * 4;
  }
}

let area: StagingArea | null = null;

function stagingArea(): StagingArea {
  area ??= new StagingArea();
  return area;
}

function bytesOf(view: View): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/**
 * Measures the kernels: GB/s of all bytes that one reads and writes, so that each can be held
 * against memcpy's, and the milliseconds of one momentum update of a whole model. Folds and update
 * rules go through a model's vectors chunk by chunk, from memory; conversions work on one chunk,
 * again and again, as a codec finds it: in the cache.
 */
import { Arena, slotAlignmentValues } from "../../kernels/arena.js";
import { createConversions, createKernels } from "../../kernels/choice.js";
import type { Conversions } from "../../kernels/conversions.js";
import type { Kernels, UpdateSlots } from "../../kernels/kernels.js";
import { statePartCount, type UpdateMoment, updateScalars } from "../../kernels/update-rule.js";
import { defaultsOf } from "../../protocol/spec-option.js";
import {
  type UpdateRuleName,
  type UpdateRuleSpec,
  updateRuleFields,
  updateRuleNames,
} from "../../protocol/update-rules.js";
import { Random } from "../../random.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import { type BenchmarkCase, type Peer, runBenchmark } from "../harness/benchmark.js";
import type { KernelsMeasures } from "./kernels-bench.js";

const bytesPerValue = 4;
const vectorCount = 5;
const blockValues = 256;

/** The update that is also measured as a whole model's. */
const headline: UpdateRuleName = "momentum";

/** One kernel's work: what it does once, and how many bytes pass meanwhile. */
interface Work {
  readonly name: string;
  readonly bytes: number;
  once(implementation: Implementation): void;
}

interface Implementation {
  readonly kernels: Kernels;
  readonly conversions: Conversions;
}

/** Measures every kernel; with peers beside memcpy and, for SIMD, the scalar kernels. */
export async function runKernelsBench(
  measures: KernelsMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const { values, chunkValues, rounds, peers } = measures;
  const capacity = vectorCount * (values + chunkValues) + 8 * (chunkValues + slotAlignmentValues);
  const arena = new Arena(capacity);
  const make = (choice: "wasm" | "scalar"): Implementation => ({
    kernels: createKernels(arena, { choice }),
    conversions: createConversions(arena, { choice }),
  });
  const own = make(measures.kernels);
  const scalar = measures.kernels === "scalar" ? null : make("scalar");
  const vectors = Array.from({ length: vectorCount }, () => randomVector(arena, values));
  // Adam's second moments are above zero.
  own.kernels.fill(vectors[3]!, values, 0.01);
  const model = new ModelWork(vectors, values, Math.min(values, chunkValues));
  const works = [...model.works(), ...chunkWorks(arena, chunkValues)];
  const update = works.find(({ name }) => name === headline)!;
  const cases = [
    updateCase(update, values, { own, scalar }, measures),
    ...works.map((work) => rateCase(work, { own, scalar }, measures)),
  ];
  const settings = { peers, turns: rounds, warmUpTurns: 2, log: task.log };
  return { report: await runBenchmark("kernels", cases, settings), appendix: [] };
}

interface Sides {
  readonly own: Implementation;
  readonly scalar: Implementation | null;
}

/** Seconds that one call takes, over a turn's time. */
function secondsOf(once: () => void, turnMs: number): number {
  const startedMs = performance.now();
  let calls = 0;
  let endedMs = startedMs;
  do {
    once();
    calls += 1;
    endedMs = performance.now();
  } while (endedMs - startedMs < turnMs);
  return Math.max(endedMs - startedMs, 1e-3) / 1000 / calls;
}

function updateCase(
  work: Work,
  values: number,
  { own, scalar }: Sides,
  { turnMs }: KernelsMeasures,
): BenchmarkCase {
  const run = (side: Implementation) => () => 1000 * secondsOf(() => work.once(side), turnMs);
  const peers: Peer[] = scalar === null ? [] : [{ name: "scalar", run: run(scalar) }];
  const count = values < 100_000 ? String(values) : `${(values / 1e6).toFixed(1)} M`;
  const name = `momentum SGD over ${count} values`;
  return { name, unit: "ms", better: "lower", run: run(own), peers };
}

function rateCase(work: Work, { own, scalar }: Sides, { turnMs }: KernelsMeasures): BenchmarkCase {
  const rate = (once: () => void) => work.bytes / secondsOf(once, turnMs) / 1e9;
  const peers: Peer[] = [memcpyPeer(work.bytes, turnMs)];
  if (scalar !== null) peers.push({ name: "scalar", run: () => rate(() => work.once(scalar)) });
  const run = () => rate(() => work.once(own));
  return { name: work.name, unit: "GB/s", better: "higher", run, peers };
}

/** Copies memory so that as many bytes are read and written as the kernel's. */
function memcpyPeer(bytes: number, turnMs: number): Peer {
  let from = new Uint8Array();
  let to = new Uint8Array();
  return {
    name: "memcpy",
    async setUp() {
      from = new Uint8Array(Math.ceil(bytes / 2)).fill(1);
      to = new Uint8Array(from.length).fill(2);
    },
    run: () => (2 * from.length) / secondsOf(() => to.set(from), turnMs) / 1e9,
    async tearDown() {
      from = new Uint8Array();
      to = from;
    },
  };
}

function randomVector(arena: Arena, values: number): number {
  const slot = arena.allocate(values);
  const random = new Random("kernels bench", slot);
  const view = arena.view(slot, values);
  const block = Float32Array.from({ length: Math.min(values, 65_536) }, () => random.normal());
  for (let at = 0; at < values; at += block.length)
    view.set(block.subarray(0, Math.min(block.length, values - at)), at);
  return slot;
}

/** Folds and update rules over whole vectors, chunk by chunk. */
class ModelWork {
  readonly #vectors: readonly number[];
  readonly #values: number;
  readonly #chunkValues: number;

  constructor(vectors: readonly number[], values: number, chunkValues: number) {
    this.#vectors = vectors;
    this.#values = values;
    this.#chunkValues = chunkValues;
  }

  works(): Work[] {
    const [first, second, third] = this.#vectors as [number, number, number];
    return [
      this.#work("finite", 1, ({ kernels }, at, length) => kernels.finite(first + at, length)),
      this.#work("copy", 2, ({ kernels }, at, length) =>
        kernels.copy(second + at, third + at, length),
      ),
      this.#work("fill", 1, ({ kernels }, at, length) => kernels.fill(third + at, length, 0.5)),
      ...[1, 2, 4, 8].map((count) => this.#fold(count)),
      ...updateRuleNames.map((rule) => this.#update(rule, rule, "weight")),
      this.#update("buffers", "sgd", "buffer"),
      this.#update("counters", "sgd", "counter"),
    ];
  }

  #work(
    name: string,
    passes: number,
    chunk: (side: Implementation, at: number, length: number) => unknown,
  ): Work {
    const once = (side: Implementation) => {
      for (let at = 0; at < this.#values; at += this.#chunkValues)
        chunk(side, at, Math.min(this.#chunkValues, this.#values - at));
    };
    return { name, bytes: passes * bytesPerValue * this.#values, once };
  }

  #fold(count: number): Work {
    const [out, ...vectors] = this.#vectors as [number, ...number[]];
    const sources = Array.from({ length: count }, (_, rank) => vectors[rank % vectors.length]!);
    return this.#work(`fold of ${count}`, count + 1, ({ kernels }, at, length) => {
      const inputs = sources.map((offset) => ({ offset: offset + at, examples: 64 }));
      kernels.fold(out + at, inputs, length, "mean");
    });
  }

  #update(title: string, name: UpdateRuleSpec["name"], group: UpdateMoment["group"]): Work {
    const parts = statePartCount({ name });
    const [weights, gradient, state1, state2] = this.#vectors as [number, number, number, number];
    // A small rate keeps the values what they are over any number of rounds.
    const moment = { lr: 1e-6, scale: 1, group, updateCount: 1000 };
    const passes = group === "counter" ? 2 : 3 + 2 * parts;
    const scalars = updateScalars({ ...constants, name }, moment);
    return this.#work(title, passes, ({ kernels }, at, length) => {
      const slots: UpdateSlots = {
        weightsIn: weights + at,
        weightsOut: weights + at,
        gradient: gradient + at,
        state1: parts >= 1 ? state1 + at : null,
        state2: parts >= 2 ? state2 + at : null,
        length,
      };
      kernels.update(scalars, slots);
    });
  }
}

const constants: Omit<UpdateRuleSpec, "name"> = {
  ...defaultsOf(updateRuleFields),
  weightDecay: 5e-4,
  weightDecayPlain: 0,
};

/** The conversions of one chunk that lies in the arena. */
function chunkWorks(arena: Arena, length: number): Work[] {
  const values = arena.view(randomVector(arena, length), length);
  const other = arena.view(randomVector(arena, length), length);
  const out = arena.view(arena.allocate(length), length);
  const bytesOf = (count: number) =>
    arena.byteView(arena.allocate(Math.ceil(count / 4)), Math.ceil(count / 4)).subarray(0, count);
  const halves = bytesOf(2 * length);
  const codes = bytesOf(length);
  const bits = bytesOf(Math.ceil(length / 8));
  const scales = bytesOf(4 * Math.ceil(length / blockValues));
  const kept = Math.max(1, Math.floor(length / 100));
  const picked = arena.view(arena.allocate(kept), kept);
  const indexSlot = arena.byteView(arena.allocate(kept), kept);
  const indices = new Uint32Array(indexSlot.buffer, indexSlot.byteOffset, kept);
  const whole = bytesPerValue * length;
  const work = (name: string, bytes: number, run: (conversions: Conversions) => unknown): Work => ({
    name,
    bytes,
    once: ({ conversions }) => run(conversions),
  });
  const bytes = arena.bytes.subarray(values.byteOffset, values.byteOffset + whole);
  return [
    work("f32 to f16", whole + 2 * length, (to) => to.halvesFromFloats(values, halves, "saturate")),
    work("f16 to f32", whole + 2 * length, (to) => to.floatsFromHalves(halves, out)),
    work("f32 to bf16", whole + 2 * length, (to) =>
      to.bfloatsFromFloats(values, halves, "saturate"),
    ),
    work("bf16 to f32", whole + 2 * length, (to) => to.floatsFromBfloats(halves, out)),
    work("f32 to int8", whole + length, (to) => to.quantise(values, blockValues, 7, scales, codes)),
    work("int8 to f32", whole + length, (to) => to.dequantise(scales, codes, blockValues, out)),
    work("top 1 %", whole, (to) => to.topK(values, kept, indices, picked)),
    work("f32 to signs", whole, (to) => to.packSigns(values, blockValues, scales, bits)),
    work("signs to f32", whole, (to) => to.unpackSigns(scales, bits, blockValues, out)),
    work("sum", 3 * whole, (to) => to.add(values, other, out)),
    work("difference", 3 * whole, (to) => to.subtract(values, other, out)),
    work("checksum", whole, (to) => to.checksum(bytes, 0)),
  ];
}

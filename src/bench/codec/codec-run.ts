/**
 * Measures the codecs as a run uses them: a worker encodes gradients that lie in memory of their
 * own, a server decodes bytes that arrived in its arena. Gigabytes are those of the f32 values, so
 * that the rows of all codecs are speeds of the same thing.
 */
import { assert } from "../../assert.js";
import { CodecTable } from "../../compression/codecs/codec.js";
import { ErrorFeedback } from "../../compression/codecs/error-feedback.js";
import { Arena } from "../../kernels/arena.js";
import { createConversions, type KernelsChoice } from "../../kernels/choice.js";
import type { Conversions } from "../../kernels/conversions.js";
import { Random } from "../../random.js";
import { describeMachine } from "../../runtime/process/machine.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import {
  type BenchmarkCase,
  type BenchmarkRow,
  type Peer,
  runBenchmark,
} from "../harness/benchmark.js";
import type { CodecMeasures } from "./codec-bench.js";

const seed = 1;

/** One implementation of the loops: codecs and conversions of a worker. */
interface Side {
  readonly table: CodecTable;
  readonly conversions: Conversions;
  readonly choice: KernelsChoice;
}

/** Measures every codec on the same values; peers are memcpy and, for SIMD, the scalar kernels. */
export async function runCodecBench(
  measures: CodecMeasures,
  { log }: BenchTask,
): Promise<BenchResult> {
  const sideOf = (choice: KernelsChoice): Side => {
    const conversions = createConversions(null, { choice, log });
    const made = conversions.name === "scalar" ? "scalar" : "wasm";
    return { table: new CodecTable(conversions), conversions, choice: made };
  };
  const own = sideOf(measures.kernels);
  const scalar = own.choice === "scalar" ? null : sideOf("scalar");
  const sides = scalar === null ? [own] : [own, scalar];
  const random = new Random(seed, "codec benchmark");
  const values = Float32Array.from({ length: measures.values }, () => random.normal());
  const rows: BenchmarkRow[] = [];
  const how = { share: measures.share, seed };
  for (const codec of own.table.all) {
    const { id, name, wantsFeedback } = codec;
    const bytes = new Uint8Array(codec.sizes(values.length).max);
    const used = codec.encode(values, bytes, how);
    const decoded = new Float32Array(values.length);
    codec.decode(bytes.subarray(0, used), decoded);
    rows.push({ name: `${name}/size`, value: (used * 8) / values.length, unit: "bits a value" });
    const error = relativeError(values, decoded);
    if (error > 0) rows.push({ name: `${name}/error`, value: error, unit: "of the norm" });
    const plain = sides.map(
      ({ table }) =>
        () =>
          table.ofId(id).encode(values, bytes, how),
    );
    const cases = [speedOf(`${name}/encode`, measures, plain)];
    if (wantsFeedback) {
      const fed = sides.map(({ table, conversions }) => {
        const feedback = new ErrorFeedback(table.ofId(id), conversions);
        const residual = new Float32Array(values.length);
        return () => feedback.encode(values, residual, bytes, how);
      });
      cases.push(speedOf(`${name}/encode+feedback`, measures, fed));
    }
    const arrived = bytes.slice(0, used);
    const inArena = sides.map(({ choice }) => decodingOf(id, choice, measures, arrived));
    cases.push(speedOf(`${name}/decode`, measures, inArena));
    const { peers, rounds: turns } = measures;
    rows.push(...(await runBenchmark("codec", cases, { peers, turns, log })).rows);
  }
  const about = `${own.conversions.name} kernels, ${values.length} values, share ${measures.share}`;
  return { report: { bench: "codec", machine: describeMachine(), rows }, appendix: [about] };
}

/** Decoding from and into an arena, as a server does. */
function decodingOf(
  id: number,
  choice: KernelsChoice,
  measures: CodecMeasures,
  bytes: Uint8Array,
): () => unknown {
  const arena = new Arena(1 << 22);
  const codec = new CodecTable(createConversions(arena, { choice })).ofId(id);
  const words = Math.ceil(bytes.length / 4);
  const arrived = arena.byteView(arena.allocate(words), words).subarray(0, bytes.length);
  arrived.set(bytes);
  const values = arena.view(arena.allocate(measures.values), measures.values);
  return () => codec.decode(arrived, values);
}

/**
 * How many gigabytes of f32 values an action passes in a second; the scalar action, if there
 * is one, is a peer, as is a copy of the values.
 */
function speedOf(
  name: string,
  { values, turnMs }: CodecMeasures,
  [own, scalar]: readonly (() => unknown)[],
): BenchmarkCase {
  assert(own !== undefined, "there is something to measure", { name });
  const rate = (action: () => unknown) => () => {
    const startedMs = performance.now();
    let endedMs = startedMs;
    let times = 0;
    do {
      action();
      times++;
      endedMs = performance.now();
    } while (endedMs - startedMs < turnMs);
    return (times * values * 4) / 1e6 / (endedMs - startedMs);
  };
  const [from, to] = [new Float32Array(values).fill(1), new Float32Array(values).fill(2)];
  const peers: Peer[] = [{ name: "memcpy", run: rate(() => to.set(from)) }];
  if (scalar !== undefined) peers.push({ name: "scalar", run: rate(scalar) });
  return { name, unit: "GB/s", better: "higher", run: rate(own), peers };
}

/** The norm of what is wrong, as a share of the values' own. */
function relativeError(values: Float32Array, decoded: Float32Array): number {
  let wrong = 0;
  let whole = 0;
  values.forEach((value, index) => {
    wrong += (value - decoded[index]!) ** 2;
    whole += value ** 2;
  });
  return Math.sqrt(wrong / whole);
}

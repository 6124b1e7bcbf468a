/**
 * Measures the codecs as a run uses them: a worker encodes gradients that lie in memory of their
 * own, a server decodes bytes that arrived in its arena. Gigabytes are those of the f32 values, so
 * that the rows of all codecs are speeds of the same thing.
 */
import { CodecTable, type EncodeSettings } from "../codec/codec.js";
import { ErrorFeedback } from "../codec/error-feedback.js";
import { Arena } from "../kernels/arena.js";
import { createConversions } from "../kernels/choice.js";
import type { BenchResult, BenchTask } from "../measure/bench-option.js";
import { type BenchmarkCase, type BenchmarkRow, runBenchmark } from "../measure/benchmark.js";
import { Random } from "../random.js";
import { describeMachine } from "../report/machine.js";
import type { CodecMeasures } from "./codec-bench.js";

const seed = 1;

/** Measures every codec on the same values. */
export async function runCodecBench(
  measures: CodecMeasures,
  { log }: BenchTask,
): Promise<BenchResult> {
  const settings = { choice: measures.kernels, log };
  const onWorker = createConversions(null, settings);
  const random = new Random(seed, "codec benchmark");
  const values = Float32Array.from({ length: measures.values }, () => random.normal());
  const rows: BenchmarkRow[] = [];
  const how = { share: measures.share, seed };
  for (const codec of new CodecTable(onWorker).all) {
    const { name, wantsFeedback } = codec;
    const bytes = new Uint8Array(codec.sizes(values.length).max);
    const used = codec.encode(values, bytes, how);
    const decoded = new Float32Array(values.length);
    codec.decode(bytes.subarray(0, used), decoded);
    rows.push({ name: `${name}/size`, value: (used * 8) / values.length, unit: "bits a value" });
    const error = relativeError(values, decoded);
    if (error > 0) rows.push({ name: `${name}/error`, value: error, unit: "of the norm" });
    const encode = (settings: EncodeSettings) => codec.encode(values, bytes, settings);
    const cases = [speedOf(`${name}/encode`, measures, () => encode(how))];
    if (wantsFeedback) {
      const feedback = new ErrorFeedback(codec, onWorker);
      const residual = new Float32Array(values.length);
      const withResidual = () => feedback.encode(values, residual, bytes, how);
      cases.push(speedOf(`${name}/encode+feedback`, measures, withResidual));
    }
    cases.push(decodingOf(codec.id, measures, bytes.slice(0, used)));
    rows.push(
      ...(await runBenchmark("codec", cases, { peers: false, turns: measures.rounds })).rows,
    );
  }
  const about = `${onWorker.name} kernels, ${values.length} values, share ${measures.share}`;
  return { report: { bench: "codec", machine: describeMachine(), rows }, appendix: [about] };
}

/** Decoding from and into an arena, as a server does. */
function decodingOf(id: number, measures: CodecMeasures, bytes: Uint8Array): BenchmarkCase {
  const arena = new Arena(1 << 22);
  const codec = new CodecTable(createConversions(arena, { choice: measures.kernels })).ofId(id);
  const words = Math.ceil(bytes.length / 4);
  const arrived = arena.byteView(arena.allocate(words), words).subarray(0, bytes.length);
  arrived.set(bytes);
  const values = arena.view(arena.allocate(measures.values), measures.values);
  return speedOf(`${codec.name}/decode`, measures, () => codec.decode(arrived, values));
}

/** How many gigabytes of f32 values an action passes in a second. */
function speedOf(
  name: string,
  { values, turnMs }: CodecMeasures,
  action: () => unknown,
): BenchmarkCase {
  return {
    name,
    unit: "GB/s",
    better: "higher",
    run() {
      const startedMs = performance.now();
      let endedMs = startedMs;
      let times = 0;
      do {
        action();
        times++;
        endedMs = performance.now();
      } while (endedMs - startedMs < turnMs);
      return (times * values * 4) / 1e6 / (endedMs - startedMs);
    },
  };
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

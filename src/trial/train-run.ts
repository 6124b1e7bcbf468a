/** Whole runs in step, and what of a step a worker waits, beside DistributedDataParallel. */
import { availableParallelism } from "node:os";
import type { BenchResult, BenchTask } from "../measure/bench-option.js";
import { type BenchmarkCase, runBenchmark } from "../measure/benchmark.js";
import { tellTorch } from "../measure/torch.js";
import { buildModel } from "../nn/models.js";
import { RunPlace } from "./measured-run.js";
import { ddpPeer } from "./torch-distributed.js";
import type { TrainMeasures } from "./train-bench.js";

/** Measures each type of numbers. */
export async function runTrainBench(
  measures: TrainMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const { peers, rounds, python } = measures;
  const hasTorch = peers && tellTorch(python, task.log);
  const cases = measures.dtypes.flatMap((dtype) => casesOf(measures, dtype, hasTorch));
  const options = { peers, turns: rounds, log: task.log };
  return { report: await runBenchmark("train", cases, options), appendix: [] };
}

/** Images per second, and the share of waiting in the same runs. */
function casesOf(
  { model, workers, servers, batch, steps, transport, python }: TrainMeasures,
  dtype: "f32" | "bf16",
  hasTorch: boolean,
): BenchmarkCase[] {
  const options = ["--dtype", dtype, "--transport", transport];
  const place = new RunPlace({ model, workers, servers, batch, steps, options });
  const name = `${model}/${dtype}/b${batch}/w${workers}/s${servers}`;
  const graph = buildModel(model, { classes: 100 });
  const threads = Math.max(1, Math.floor(availableParallelism() / workers));
  const wish = { graph, batch, workers, threads };
  const f32 = () => ddpPeer("torch-ddp", python, { ...wish, dtype: "f32" }, steps);
  const bf16 = () => ddpPeer("torch-ddp-bf16", python, { ...wish, dtype: "bf16" }, steps);
  const peers = dtype === "f32" ? [f32()] : [f32(), bf16()];
  const shares: number[] = [];
  let turn = 0;
  return [
    {
      name,
      unit: "images/s",
      better: "higher",
      peers: hasTorch ? peers : [],
      setUp: () => place.setUp(),
      async run() {
        const { stepSeconds, waitSeconds } = await place.run();
        shares.push((100 * waitSeconds) / stepSeconds);
        return (workers * batch) / stepSeconds;
      },
      tearDown: () => place.tearDown(),
    },
    {
      name: `${name}/wait-share`,
      unit: "% of a step",
      better: "lower",
      run: () => shares[turn++]!,
    },
  ];
}

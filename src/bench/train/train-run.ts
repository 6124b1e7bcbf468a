/** Whole runs in step, and what of a step a worker waits, beside DistributedDataParallel. */
import { buildModel } from "../../nn/models.js";
import { usableCores } from "../../runtime/process/cores.js";
import { inBothFormats } from "../engine/torch-peer.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import { type BenchmarkCase, type Peer, runBenchmark } from "../harness/benchmark.js";
import { tellTorch } from "../harness/torch.js";
import { demandLinkable, tellCeilings } from "./link-ceiling.js";
import { caseOfRun, caseOfSame, demandServers, warmUpTurnsOf } from "./run-cases.js";
import { ddpPeer } from "./torch-distributed.js";
import type { TrainMeasures } from "./train-bench.js";
import { isRaw, plainWire, type WireSetup, wireSetupsOf, wireTitle } from "./wire-setups.js";
import { dataShapeOf, stepsFor } from "./workload.js";

const stepsDefault = 5;

/** What all cases share. */
interface Setting {
  readonly measures: TrainMeasures;
  readonly hasTorch: boolean;
  readonly told: Set<string>;
}

/** What is measured once. */
interface Combination {
  readonly dtype: "f32" | "bf16";
  readonly wire: WireSetup;
  readonly replicas: number;
}

/** Measures each type of numbers with each wire setup. */
export async function runTrainBench(
  measures: TrainMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const { peers, rounds, python, links } = measures;
  demandLinkable(links, [measures.transport]);
  const hasTorch = peers && tellTorch(python, task.log);
  const appendix = await tellCeilings(links, task.log);
  const told = new Set<string>();
  const warmUpTurns = warmUpTurnsOf(measures);
  demandServers(measures.replicas, [measures.servers]);
  const cases = measures.replicas.flatMap((replicas) =>
    measures.dtypes.flatMap((dtype) =>
      wireSetupsOf(measures).flatMap((wire) =>
        casesOf({ measures, hasTorch, told }, { dtype, wire, replicas }),
      ),
    ),
  );
  const settings = { peers: true, turns: rounds, warmUpTurns, log: task.log };
  const report = await runBenchmark("train", cases, settings);
  return { report, appendix: [...appendix, ...told] };
}

/** Images per second, and the share of waiting in the same runs. */
function casesOf(
  { measures, hasTorch, told }: Setting,
  { dtype, wire, replicas }: Combination,
): BenchmarkCase[] {
  const { model, workers, servers, batch, transport } = measures;
  const exchange = { model, workers, servers, wire };
  const raw = { ...exchange, wire: { ...plainWire, link: wire.link } };
  const steps = measures.steps ?? stepsFor(exchange, stepsDefault);
  const rawSteps = measures.steps ?? stepsFor(raw, stepsDefault);
  const options = ["--dtype", dtype];
  const workload = { ...exchange, replicas, batch, steps, transport, options };
  const copies = replicas > 1 ? `/r${replicas}` : "";
  const name = `${model}/${dtype}/b${batch}/w${workers}/s${servers}${copies}${wireTitle(wire)}`;
  const shares: number[] = [];
  const measure = {
    unit: "images/s",
    better: "higher",
    read: ({ stepSeconds }: { stepSeconds: number }) => (workers * batch) / stepSeconds,
    heard: (times: { stepSeconds: number; waitSeconds: number; choices: readonly string[] }) => {
      shares.push((100 * times.waitSeconds) / times.stepSeconds);
      for (const choice of times.choices) told.add(`${name}: ${choice}`);
    },
  } as const;
  const isPlain = wire.link === null && isRaw(wire) && replicas === 1;
  const peers = hasTorch && isPlain ? torchPeers(measures, dtype, steps) : [];
  const share = { unit: "% of a step", better: "lower" } as const;
  return [
    caseOfRun(name, workload, rawSteps, measure, peers),
    caseOfSame(`${name}/wait-share`, share, shares),
  ];
}

function torchPeers(
  { model, workers, batch, python }: TrainMeasures,
  dtype: "f32" | "bf16",
  steps: number,
): Peer[] {
  const graph = buildModel(model, dataShapeOf(model));
  const threads = Math.max(1, Math.floor(usableCores() / workers));
  const workload = { graph, batch, workers, threads };
  const inType = (name: string, own: "f32" | "bf16") =>
    inBothFormats(name, (memoryFormat) =>
      ddpPeer(name, python, { ...workload, dtype: own, memoryFormat }, steps),
    );
  const f32 = inType("torch-ddp", "f32");
  return dtype === "f32" ? f32 : [...f32, ...inType("torch-ddp-bf16", "bf16")];
}

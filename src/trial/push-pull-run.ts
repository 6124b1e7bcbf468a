/**
 * What moving and applying takes: whole runs whose workers compute nothing (`--engine synthetic`),
 * beside a parameter server made with PyTorch's RPC, an all-reduce, and sockets that only echo the
 * bytes.
 */
import type { BenchResult, BenchTask } from "../measure/bench-option.js";
import { type BenchmarkCase, type Peer, runBenchmark } from "../measure/benchmark.js";
import { tellTorch } from "../measure/torch.js";
import { trainableValues } from "../nn/model.js";
import { buildModel } from "../nn/models.js";
import { echoPeer } from "./echo-peer.js";
import { RunPlace } from "./measured-run.js";
import type { PushPullMeasures } from "./push-pull-bench.js";
import { allReducePeer, rpcPeer } from "./torch-distributed.js";

/** Measures each transport. */
export async function runPushPullBench(
  measures: PushPullMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const { peers, rounds, python } = measures;
  const hasTorch = peers && tellTorch(python, task.log);
  const cases = measures.transports.map((transport) => caseOf(measures, transport, hasTorch));
  const options = { peers, turns: rounds, log: task.log };
  return { report: await runBenchmark("push-pull", cases, options), appendix: [] };
}

function caseOf(
  { model, workers, servers, steps, python }: PushPullMeasures,
  transport: PushPullMeasures["transports"][number],
  hasTorch: boolean,
): BenchmarkCase {
  const options = ["--engine", "synthetic", "--transport", transport];
  const place = new RunPlace({ model, workers, servers, batch: 1, steps, options });
  const graph = buildModel(model, { classes: 100 });
  const values = trainableValues(graph);
  const peers: Peer[] = [];
  if (hasTorch) peers.push(rpcPeer(python, values), allReducePeer(python, graph, values));
  if (transport !== "grpc") peers.push(echoPeer(transport, values * 4));
  return {
    name: `${model}/${transport}/s${servers}/w${workers}`,
    unit: "ms",
    better: "lower",
    peers,
    setUp: () => place.setUp(),
    run: async () => 1000 * (await place.run()).stepSeconds,
    tearDown: () => place.tearDown(),
  };
}

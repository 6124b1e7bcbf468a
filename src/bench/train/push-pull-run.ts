/**
 * What moving and applying takes: whole runs whose workers compute nothing (`--engine synthetic`),
 * beside a parameter server made with PyTorch's RPC, an all-reduce, and sockets that only echo the
 * bytes. With several counts of servers or workers a table says how pushes grow.
 */

import { buildModel } from "../../nn/models.js";
import { layOut } from "../../protocol/layout.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import { type BenchmarkCase, median, type Peer, runBenchmark } from "../harness/benchmark.js";
import { tellTorch } from "../harness/torch.js";
import { echoPeer } from "../transport/echo-peer.js";
import { demandLinkable, tellCeilings } from "./link-ceiling.js";
import { growthTable, type PushRate } from "./push-growth.js";
import type { PushPullMeasures, PushPullTransport } from "./push-pull-bench.js";
import { caseOfRun, caseOfSame, demandServers, warmUpTurnsOf } from "./run-cases.js";
import { allReducePeer, rpcPeer } from "./torch-distributed.js";
import { isRaw, plainWire, type WireSetup, wireSetupsOf, wireTitle } from "./wire-setups.js";
import { dataShapeOf, stepsFor, stepsOfMoving, valuesOf, type Workload } from "./workload.js";

/** What is measured once. */
interface Combination {
  readonly transport: PushPullTransport;
  readonly wire: WireSetup;
  readonly servers: number;
  readonly replicas: number;
  readonly workers: number;
}

/** What all cases share. */
interface Setting {
  readonly measures: PushPullMeasures;
  readonly chunks: number;
  readonly hasTorch: boolean;
  readonly rates: PushRate[];
  readonly told: Set<string>;
}

/** Measures each transport, wire setup and count of processes. */
export async function runPushPullBench(
  measures: PushPullMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const { rounds, python, links, model, servers, chunkValues } = measures;
  demandLinkable(links, measures.transports ?? []);
  const { length: chunks } = layOut(
    buildModel(model, dataShapeOf(model)).tensors,
    chunkValues,
  ).chunks;
  demandServers(measures.replicas, servers);
  const most = Math.max(...servers);
  if (most > chunks) {
    const remedy = "write a smaller --chunk-values";
    task.log(`${model} has ${chunks} chunks: some of ${most} servers hold none; ${remedy}`);
  }
  const hasTorch = measures.peers && tellTorch(python, task.log);
  const ceilings = await tellCeilings(links, task.log);
  const warmUpTurns = warmUpTurnsOf(measures);
  const setting: Setting = { measures, chunks, hasTorch, rates: [], told: new Set() };
  const cases = combinationsOf(measures).flatMap((one) => casesOf(setting, one));
  const settings = { peers: true, turns: rounds, warmUpTurns, log: task.log };
  const report = await runBenchmark("push-pull", cases, settings);
  return { report, appendix: [...growthTable(setting.rates), ...ceilings, ...setting.told] };
}

function combinationsOf(measures: PushPullMeasures): Combination[] {
  return wireSetupsOf(measures).flatMap((wire) => {
    const standard = wire.link === null ? (["unix", "tcp", "grpc"] as const) : (["tcp"] as const);
    return (measures.transports ?? standard).flatMap((transport) =>
      measures.servers.flatMap((servers) =>
        measures.workers.flatMap((workers) =>
          measures.replicas
            .filter((replicas) => replicas <= servers)
            .map((replicas) => ({ transport, wire, servers, replicas, workers })),
        ),
      ),
    );
  });
}

/** Milliseconds of a step, and in the same runs the pushes that a server takes in a second. */
function casesOf(setting: Setting, combination: Combination): BenchmarkCase[] {
  const { measures, chunks, told } = setting;
  const { transport, wire, servers, replicas, workers } = combination;
  const { model } = measures;
  const exchange = { model, workers, servers, wire };
  const most = stepsOfMoving(exchange);
  const raw = { ...exchange, wire: { ...plainWire, link: wire.link } };
  const steps = measures.steps ?? stepsFor(exchange, most);
  const rawSteps = measures.steps ?? stepsFor(raw, most);
  const secured = measures.tls === null || transport === "unix" ? null : measures.tls;
  const options = ["--engine", "synthetic", "--chunk-values", `${measures.chunkValues}`];
  const ofAll = secured === null ? [] : ["--tls", secured];
  const workload: Workload = { ...exchange, replicas, batch: 1, steps, transport, options, ofAll };
  const counts = `s${servers}/w${workers}${replicas > 1 ? `/r${replicas}` : ""}`;
  const way = secured === null ? transport : `${transport}+tls`;
  const name = `${model}/${way}/${counts}${wireTitle(wire)}`;
  const perServer: number[] = [];
  const measure = {
    unit: "ms",
    better: "lower",
    read: ({ stepSeconds }: { stepSeconds: number }) => 1000 * stepSeconds,
    heard: (times: { stepSeconds: number; choices: readonly string[] }) => {
      perServer.push((workers * chunks) / times.stepSeconds / servers);
      for (const choice of times.choices) told.add(`${name}: ${choice}`);
    },
  } as const;
  const rate = { unit: "pushes/s a server", better: "higher" } as const;
  const series = `${way}${replicas > 1 ? `/r${replicas}` : ""}${wireTitle(wire)}`;
  setting.rates.push({
    series,
    servers,
    workers,
    perServer: () => median(perServer.slice(warmUpTurnsOf(measures))),
  });
  return [
    caseOfRun(name, workload, rawSteps, measure, peersOf(setting, combination)),
    caseOfSame(`${name}/pushes`, rate, perServer),
  ];
}

/** The others exchange the values of one worker with one place, as they are, over no link. */
function peersOf({ measures, hasTorch }: Setting, combination: Combination): Peer[] {
  const { transport, wire, servers, workers } = combination;
  const isPlain = wire.link === null && isRaw(wire);
  if (!measures.peers || !isPlain || servers > 1 || workers > 1) return [];
  const { model, python } = measures;
  const values = valuesOf(model);
  const peers: Peer[] = [];
  if (hasTorch) {
    const graph = buildModel(model, dataShapeOf(model));
    peers.push(rpcPeer(python, values), allReducePeer(python, graph, values));
  }
  if (transport !== "grpc") peers.push(echoPeer(transport, values * 4));
  return peers;
}

/** PyTorch's distributed training as peers: its RPC, its all-reduce, DistributedDataParallel. */
import { createServer } from "node:net";
import { assert } from "../../assert.js";
import type { ModelGraph } from "../../nn/model.js";
import type { TorchFormat } from "../engine/torch-peer.js";
import { median, type Peer } from "../harness/benchmark.js";
import { LineProcess, peerScript } from "../harness/peer-process.js";

/** Exchanges of one measurement; the middle one counts. */
const exchangesPerTurn = 11;

/**
 * Milliseconds of a round trip to a parameter server over torch.distributed.rpc, plain SGD. Its
 * processes poll without pause also while nothing is asked of them, so they live for a turn only.
 */
export function rpcPeer(python: string, values: number): Peer {
  return linePeer("torch-rpc", python, "torch_rpc.py", {
    livesForTurn: true,
    first: async () => ({ values, threads: 1, port: await freePort() }),
    question: { rounds: exchangesPerTurn },
    value: ({ milliseconds }) => median(milliseconds as number[]),
  });
}

/** What DistributedDataParallel is to train. */
export interface DistributedWorkload {
  readonly graph: ModelGraph;
  readonly batch: number;
  readonly dtype: "f32" | "bf16";
  readonly memoryFormat: TorchFormat;
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
}

/** Images per second of all workers of DistributedDataParallel over gloo. */
export function ddpPeer(
  name: string,
  python: string,
  workload: DistributedWorkload,
  steps: number,
): Peer {
  return linePeer(name, python, "torch_ddp.py", {
    first: async () => ({ ...workload, port: await freePort() }),
    question: { steps },
    value: ({ seconds }) => (steps * workload.batch * workload.workers) / Number(seconds),
  });
}

/** Milliseconds of one all-reduce of so many values between two processes over gloo. */
export function allReducePeer(python: string, graph: ModelGraph, values: number): Peer {
  const model = { graph, batch: 1, dtype: "f32", memoryFormat: "contiguous" };
  const workload = { ...model, workers: 2, threads: 1 };
  return linePeer("gloo-all-reduce", python, "torch_ddp.py", {
    first: async () => ({ ...workload, port: await freePort() }),
    question: { reduce: values, rounds: exchangesPerTurn },
    value: ({ milliseconds }) => median(milliseconds as number[]),
  });
}

interface Talk {
  /** What to build. */
  first(): Promise<object>;
  /** What to measure, each turn. */
  readonly question: object;
  /** Whether each turn has processes of its own, which answer once before it counts. */
  readonly livesForTurn?: boolean;
  value(answer: Record<string, unknown>): number;
}

function linePeer(name: string, python: string, script: string, talk: Talk): Peer {
  let process: LineProcess | null = null;
  const begin = async () => {
    process = new LineProcess(python, [peerScript(script)]);
    await process.ask(await talk.first());
  };
  const ask = async () => {
    assert(process !== null, "a peer runs after it was set up", { name });
    return talk.value(await process.ask(talk.question));
  };
  const end = async () => {
    await process?.close();
    process = null;
  };
  if (talk.livesForTurn !== true) return { name, setUp: begin, run: ask, tearDown: end };
  return {
    name,
    async setUp() {},
    async run() {
      await begin();
      try {
        await ask();
        return await ask();
      } finally {
        await end();
      }
    },
    tearDown: end,
  };
}

/** A port of loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port } = server.address() as { readonly port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

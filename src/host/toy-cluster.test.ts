/** A whole cluster in one process over the memory transport, with a model that is a vector. */
import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { test } from "node:test";
import { type Layout, layOut } from "../contract/layout.js";
import { protocolVersion, type Range } from "../contract/messages.js";
import type { RunEvent, RunResult } from "../contract/run-events.js";
import type { Protocol, RunSpec } from "../contract/run-spec.js";
import { sampleSpec } from "../contract/samples.js";
import type { Job, TrainingSnapshot } from "../dealing/training-job.js";
import { MemoryNetwork } from "../transport/memory.js";
import type { Transport } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import type { ComputeListener, ComputePort, ComputeRequest, PreparedJob } from "./compute-port.js";
import { CoordinatorHost } from "./coordinator-host.js";
import { MemberSession } from "./member-session.js";
import { ServerHost } from "./server-host.js";
import type { ModelState } from "./state-transfer.js";
import { WorkerHost } from "./worker-host.js";

const clock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

const tensors = [
  { name: "w", shape: [5, 2], group: "weight" },
  { name: "b", shape: [3], group: "plain" },
] as const;

function layoutOf(spec: RunSpec): Layout {
  return layOut(tensors, spec.chunkValues);
}

/** Pulls the parameters towards a number that each example has. */
class ToyCompute implements ComputePort {
  #listener: ComputeListener | null = null;
  #job: PreparedJob | null = null;

  async prepare(spec: RunSpec, _rank: number, listener: ComputeListener): Promise<PreparedJob> {
    const layout = layoutOf(spec);
    this.#listener = listener;
    const parameters = new Float32Array(layout.values);
    const gradients = new Float32Array(layout.values);
    this.#job = { layout, parameters, gradients };
    return this.#job;
  }

  compute({ step, epoch, range }: ComputeRequest): void {
    setImmediate(() => {
      const { layout, parameters, gradients } = this.#job!;
      let target = 0;
      for (let index = range.start; index < range.end; index++) target += ((index + epoch) % 7) / 7;
      target /= range.end - range.start;
      for (let index = 0; index < gradients.length; index++) {
        gradients[index] = parameters[index]! - target * (1 + index / 10);
      }
      for (const chunk of [...layout.chunks].reverse()) {
        this.#listener?.onChunkReady(step, chunk.index);
      }
      const lossSum = range.end - range.start;
      this.#listener?.onComputed(step, { lossSum, correct: 0, inputSeconds: 0 });
    });
  }

  evaluate(range: Range): void {
    setImmediate(() => this.#listener?.onEvaluated(range.end - range.start, 1));
  }

  async close(): Promise<void> {
    this.#listener = null;
  }
}

function specOf(protocol: Protocol, changes: Partial<RunSpec> = {}): RunSpec {
  return {
    ...sampleSpec,
    run: "toy",
    name: "toy",
    seed: 1,
    model: "toy",
    data: "toy",
    trainExamples: 103,
    testExamples: 20,
    workersMax: 3,
    servers: 2,
    protocol,
    updateRule: { ...sampleSpec.updateRule, name: "momentum", momentum: 0.9 },
    schedule: {
      name: "constant",
      lr: 0.1,
      warmup: 0,
      milestones: [],
      gamma: 0.1,
      totalExamples: 309,
    },
    epochs: 3,
    batchSize: 8,
    chunkValues: 4,
    loadBound: null,
    evaluateEvery: { unit: "epoch", count: 1 },
    ...changes,
  };
}

interface Outcome {
  readonly result: RunResult;
  readonly weights: readonly number[];
  readonly saved: { state: ModelState; snapshot: TrainingSnapshot };
}

interface Toy {
  readonly network: MemoryNetwork;
  readonly coordinator: CoordinatorHost;
  readonly events: RunEvent[];
}

async function runToy(
  spec: RunSpec,
  during: (toy: Toy) => void = () => {},
  from: Outcome["saved"] | null = null,
): Promise<Outcome> {
  const network = new MemoryNetwork();
  const events: RunEvent[] = [];
  const closing: (() => unknown)[] = [];
  let saved: Outcome["saved"] | null = null;
  const layout = layoutOf(spec);
  const fresh: ModelState = {
    weights: new Float32Array(layout.values).fill(3),
    state: [new Float32Array(layout.values)],
    marks: layout.chunks.map(() => ({ version: 0, examples: 0, sealedStep: -1, applied: [] })),
  };
  const result = await new Promise<RunResult>((resolve, reject) => {
    const transport = network.createTransport("coordinator");
    const coordinator = new CoordinatorHost({
      transport,
      clock,
      ioTimeoutMs: 5000,
      config: {
        term: 1,
        heartbeatIntervalMs: 20,
        leaseMs: 1000,
        closedGraceMs: 800,
        rankGraceMs: 0,
        startTimeoutMs: 5000,
        stopTimeoutMs: 1000,
        serve: false,
      },
      initialState: async () => from?.state ?? fresh,
      saveCheckpoint: async (request, _job, state) => {
        saved = { state, snapshot: JSON.parse(JSON.stringify(request.snapshot)) };
        return request.step;
      },
      onEvent: (event) => events.push(event),
      onEnded: resolve,
      submit: () => "",
      readExamples: () => assert.fail("nobody asks for examples"),
    });
    closing.push(() => coordinator.close());
    const start = async () => {
      await transport.serveCoordinator("coordinator", coordinator);
      const job: Job = { spec, layout, resume: from?.snapshot ?? null };
      coordinator.tell({ type: "submit", job });
      for (let index = 0; index < spec.servers; index++) {
        closing.push(await startServer(network, index));
      }
      for (let rank = 0; rank < spec.workersMax; rank++) {
        closing.push(await startWorker(network, rank));
      }
      during({ network, coordinator, events });
    };
    start().catch(reject);
  });
  for (const close of closing) await close();
  assert.ok(saved !== null, "the final state was saved");
  const { state } = saved as Outcome["saved"];
  return { result, weights: [...state.weights], saved };
}

async function startServer(network: MemoryNetwork, index: number): Promise<() => unknown> {
  const address = `server-${index}`;
  const transport = network.createTransport(address);
  let host: ServerHost | null = null;
  await transport.serveChunks(address, (channel) => host!.accept(channel));
  const session = await join(transport, "server", index, address, () => {
    host = new ServerHost({
      clock,
      index,
      arenaValues: 1 << 16,
      layoutOf,
      onStop: () => {},
      log: () => {},
    });
    return host;
  });
  return () => {
    session.close();
    host?.close();
    return transport.close();
  };
}

async function startWorker(network: MemoryNetwork, rank: number): Promise<() => unknown> {
  const transport = network.createTransport(`worker-${rank}`);
  let host: WorkerHost | null = null;
  const session = await join(transport, "worker", rank, "", (incarnation) => {
    const compute = new ToyCompute();
    const onFinish = () => {};
    const log = () => {};
    host = new WorkerHost({ transport, clock, rank, incarnation, compute, onFinish, log });
    return host;
  });
  return async () => {
    session.close();
    await host?.close();
    await transport.close();
  };
}

async function join(
  transport: Transport,
  role: "server" | "worker",
  rank: number,
  address: string,
  make: (incarnation: number) => ServerHost | WorkerHost,
): Promise<MemberSession> {
  const reply = await transport.register("coordinator", {
    protocol: protocolVersion,
    role,
    rank,
    incarnation: null,
    pid: 1,
    host: "here",
    address,
  });
  assert.ok(reply.accepted);
  const { incarnation } = reply;
  const host = make(incarnation);
  const session = new MemberSession(
    {
      transport,
      clock,
      config: { coordinator: "coordinator", startTimeoutMs: 5000, ioTimeoutMs: 5000 },
      handler: {
        onMessage: (message) => host.onMessage(message),
        heartbeat: () => host.heartbeat(),
        onLost: () => {},
        log: () => {},
      },
    },
    { role, rank, incarnation },
    reply.heartbeatIntervalMs,
  );
  host.attach(session);
  return session;
}

const asp: Protocol = {
  mode: "asp",
  staleness: { rule: "none", scale: 0.1, floor: 0.1, max: 5 },
};

test("a cluster over the memory transport trains to the end in every mode", async () => {
  for (const protocol of [{ mode: "bsp" }, { mode: "ssp", staleness: 1 }, asp] as Protocol[]) {
    const { result } = await runToy(specOf(protocol));
    assert.equal(result.outcome, "done", result.reason);
    assert.equal(result.epochs.length, 3);
    assert.equal(
      result.epochs.reduce((sum, epoch) => sum + epoch.examples, 0),
      309,
    );
    assert.equal(result.evaluations.at(-1)?.accuracyPercent, 100);
    assert.equal(result.evaluations.at(-1)?.final, true);
  }
});

test("BSP ends in the same bits with one, two and three servers", async () => {
  const runs: (readonly number[])[] = [];
  for (const servers of [1, 2, 3]) {
    runs.push((await runToy(specOf({ mode: "bsp" }, { servers }))).weights);
  }
  assert.deepEqual(runs[1], runs[0]);
  assert.deepEqual(runs[2], runs[0]);
});

test("a run that is interrupted and resumed ends in the bits of one that was not", async () => {
  const spec = specOf({ mode: "bsp" }, { epochs: 40 });
  const whole = await runToy(spec);
  const first = await runToy(spec, ({ coordinator }) => {
    const timer = setInterval(() => {
      if (coordinator.snapshot().epoch < 5) return;
      clearInterval(timer);
      coordinator.tell({ type: "interrupt", reason: "SIGINT" });
    }, 1);
  });
  assert.equal(first.result.outcome, "interrupted");
  assert.ok(first.result.epochs.length < 40);
  const second = await runToy({ ...spec, run: "toy-again" }, () => {}, first.saved);
  assert.equal(second.result.outcome, "done");
  assert.deepEqual(second.weights, whole.weights);
  assert.equal(second.result.epochs.length, 40);
});

test("links cut for less than the lease cost time and no update", async () => {
  const spec = specOf({ mode: "bsp" }, { epochs: 60 });
  const whole = await runToy(spec);
  const cut = await runToy(spec, ({ network, coordinator }) => {
    const pairs = [
      ["worker-1", "server-0"],
      ["worker-2", "coordinator"],
      ["server-1", "coordinator"],
      ["worker-0", "server-1"],
    ] as const;
    const timer = setInterval(() => {
      if (coordinator.snapshot().epoch < 3) return;
      clearInterval(timer);
      pairs.forEach(([left, right], index) => {
        setTimeout(() => network.cut(left, right), 60 * index);
        setTimeout(() => network.restore(left, right), 60 * index + 200);
      });
    }, 1);
  });
  assert.equal(cut.result.outcome, "done", cut.result.reason);
  assert.deepEqual(cut.weights, whole.weights);
});

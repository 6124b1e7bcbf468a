/**
 * That sending hides behind computing, read from a run's trace: gradients of late layers travel
 * while earlier layers are computed, and a step begins on the layers that have arrived. The run is
 * made so that it could not end otherwise: each worker waits, in the middle of a step, for what
 * only happens if the others are not held up.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type {
  ComputeListener,
  ComputePort,
  ComputeRequest,
  PreparedCompute,
} from "../host/compute-port.js";
import { runInMemory } from "../host/testing/memory-cluster.js";
import type { Trace } from "../host/trace.js";
import { layOut } from "../protocol/layout.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { joinTraces, type TraceEvent, TraceFile } from "../runtime/trace/trace-file.js";

const steps = 4;
/** Three layers of a chunk each. */
const layout = layOut(
  [0, 1, 2].map((layer) => ({ name: `layer${layer}`, shape: [4], group: "weight" })),
  4,
);
const spec = {
  ...sampleSpec,
  trainExamples: 2 * 8 * steps,
  workersMin: 2,
  workersMax: 2,
  batchSize: 8,
  chunkValues: 4,
};

/** What worker 1 sees of worker 0. */
const stage = { forwards: 0 };

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setImmediate();
}

/** Computes layer by layer; gradients are ones. */
class LayeredCompute implements ComputePort {
  readonly #rank: number;
  readonly #trace: Trace;
  readonly #lacking = new Set<number>();
  #listener: ComputeListener | null = null;
  #job: PreparedCompute | null = null;

  constructor(rank: number, trace: Trace) {
    this.#rank = rank;
    this.#trace = trace;
  }

  async prepare(
    _spec: unknown,
    _rank: number,
    listener: ComputeListener,
  ): Promise<PreparedCompute> {
    this.#listener = listener;
    const vector = () => new Float32Array(layout.values);
    const about = { layout, engine: "layers", algorithms: [] };
    this.#job = { ...about, parameters: vector(), gradients: vector().fill(1) };
    return this.#job;
  }

  compute(request: ComputeRequest): void {
    for (const chunk of request.lacking) this.#lacking.add(chunk);
    void this.#step(request);
  }

  arrived(chunk: number): void {
    this.#lacking.delete(chunk);
  }

  evaluate(): void {
    this.#listener?.onEvaluated(0, 0);
  }

  async close(): Promise<void> {
    this.#listener = null;
  }

  async #step({ step, next }: ComputeRequest): Promise<void> {
    await until(() => !this.#lacking.has(0));
    const startedMs = performance.now();
    if (this.#rank === 0) stage.forwards++;
    for (const layer of [1, 2]) await until(() => !this.#lacking.has(layer));
    const turnedMs = performance.now();
    if (this.#rank === 0) await this.#backwardUntilAnswered(step);
    else await this.#backwardUntilAhead(step, next !== null);
    const endedMs = performance.now();
    this.#trace.span("compute", `step ${step}`, startedMs, endedMs);
    this.#trace.span("compute", "forward", startedMs, turnedMs);
    this.#trace.span("compute", "backward", turnedMs, endedMs);
    const outcome = { lossSum: 1, correct: 0, inputSeconds: 0, waitSeconds: 0 };
    this.#listener?.onComputed(step, outcome);
  }

  /** Goes on to the first layer only when the answer to the last layer's push has landed. */
  async #backwardUntilAnswered(step: number): Promise<void> {
    const { parameters } = this.#job!;
    const before = parameters.at(-1);
    this.#listener?.onChunkReady(step, 2);
    await until(() => parameters.at(-1) !== before);
    for (const layer of [1, 0]) this.#listener?.onChunkReady(step, layer);
  }

  /** Gives the middle layer only when worker 0 has begun its next step without it. */
  async #backwardUntilAhead(step: number, hasNext: boolean): Promise<void> {
    for (const layer of [2, 0]) this.#listener?.onChunkReady(step, layer);
    if (hasNext) await until(() => stage.forwards > step + 1);
    this.#listener?.onChunkReady(step, 1);
  }
}

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-overlap-"));
  await mkdir(join(folder, "trace"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Carries the run out; the events of its trace. */
async function tracedRun(): Promise<readonly TraceEvent[]> {
  const traces = new Map<string, TraceFile>();
  for (const [index, name] of ["server-0", "worker-0", "worker-1"].entries()) {
    const owner = { name, pid: index + 1, originMs: performance.timeOrigin };
    traces.set(name, await TraceFile.open(join(folder, "trace", `${name}.json`), owner));
  }
  const { result } = await runInMemory({
    spec,
    layoutOf: () => layout,
    fresh: { weights: new Float32Array(layout.values), state: [] },
    compute: (_transport, rank) => new LayeredCompute(rank, traces.get(`worker-${rank}`)!),
    trace: (member) => traces.get(member)!,
  });
  assert.equal(result.outcome, "done", result.reason);
  for (const trace of traces.values()) await trace.close();
  const into = join(folder, "trace.json");
  await joinTraces(join(folder, "trace"), into, performance.timeOrigin);
  return JSON.parse(await readFile(into, "utf8")).traceEvents;
}

const limit = { timeout: 60_000 };
test(
  "pushes leave while backward goes on, and forward begins before all is there",
  limit,
  async () => {
    const events = await tracedRun();
    const pidOf = (member: string) =>
      events.find(({ name, args }) => name === "process_name" && args?.name === member)?.pid;
    /** Begin and end of the spans of a track, in order. */
    const spansOf = (member: string, track: string, span: RegExp) => {
      const pid = pidOf(member);
      const tid = events.find((event) => event.pid === pid && event.args?.name === track)?.tid;
      return events
        .filter((event) => event.pid === pid && event.tid === tid && span.test(event.name))
        .map(({ ts = Number.NaN, dur = Number.NaN }) => ({ start: ts, end: ts + dur }))
        .sort((left, right) => left.start - right.start);
    };
    const forwards = spansOf("worker-0", "compute", /^forward$/);
    const backwards = spansOf("worker-0", "compute", /^backward$/);
    const late = spansOf("worker-0", "chunk 2", /^push of step/);
    const middle = spansOf("worker-0", "chunk 1", /^push of step/);
    const applied = spansOf("server-0", "apply", /^chunk 2$/);
    for (const spans of [forwards, backwards, late, middle, applied]) {
      assert.equal(spans.length, steps);
    }
    for (let step = 0; step < steps; step++) {
      const [backward, push, update] = [backwards[step]!, late[step]!, applied[step]!];
      assert.ok(backward.start <= push.start && push.end < backward.end, `step ${step}: push`);
      assert.ok(push.start <= update.start && update.end <= push.end, `step ${step}: update`);
      const [next, last] = [forwards[step + 1], middle[step]!];
      if (next !== undefined) assert.ok(next.start < last.end, `step ${step + 1} begins ahead`);
      if (next !== undefined)
        assert.ok(next.end >= last.end, `step ${step + 1} waits for the rest`);
    }
  },
);

/**
 * The compute thread's own side: takes one request after the other, computes, and reports. Values
 * never travel in messages; both sides see the same parameters and gradients. Examples do where the
 * thread has no files.
 */
import { type MessagePort, parentPort } from "node:worker_threads";
import { assert } from "../../assert.js";
import { loadDataset } from "../../data/dataset.js";
import type { Dataset } from "../../data/split.js";
import { type ErrorCode, toPacelineError } from "../../errors.js";
import type { ComputeRequest } from "../../host/compute-port.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { ArrivalGate, StepGivenUp } from "./arrival-gate.js";
import { engineOf } from "./run-engine.js";
import type { SentBatch } from "./sent-examples.js";
import { type ComputedStep, StepComputer } from "./step-computer.js";

/** Where data sets lie. */
export interface DataPlace {
  readonly dataDir: string | null;
  readonly cacheDir: string | null;
  /** The examples that stand in for the test set when it is "train"; the test set else. */
  readonly evaluateOn?: "train" | "test";
  /** Nothing is trained: what only steps need is not made. */
  readonly evaluatesOnly?: boolean;
}

/** What the thread is asked. `job` counts the calls of `prepare`; reports carry it back. */
export type ThreadRequest =
  | {
      readonly type: "prepare";
      readonly job: number;
      readonly spec: RunSpec;
      readonly rank: number;
      readonly place: DataPlace;
      readonly parameters: SharedArrayBuffer;
      readonly gradients: SharedArrayBuffer;
      /** What the rule of local steps keeps. */
      readonly kept: SharedArrayBuffer;
      /** Memory of the gate at which steps wait for parameters. */
      readonly gate: SharedArrayBuffer;
      /** Whether to tell what took from when to when. */
      readonly traced: boolean;
    }
  | ({ readonly type: "compute"; readonly job: number; readonly askedMs: number } & Pick<
      ComputeRequest,
      "step" | "epoch" | "range" | "next" | "slow" | "moment"
    > &
      Sent)
  | ({ readonly type: "evaluate"; readonly job: number; readonly range: Range } & Sent);

/** The examples, where the thread has no files: of a range of one batch at most. */
interface Sent {
  readonly sent: SentBatch | null;
}

/** What the thread says. */
export type ThreadReport = { readonly job: number } & (
  | { readonly type: "log"; readonly text: string }
  /** What computes, and what it chose for whole batches. */
  | {
      readonly type: "prepared";
      readonly engine: string;
      readonly algorithms: readonly string[];
    }
  | { readonly type: "ready"; readonly step: number; readonly chunks: readonly number[] }
  | { readonly type: "computed"; readonly step: number; readonly outcome: ComputedStep }
  | { readonly type: "spans"; readonly spans: readonly ThreadSpan[] }
  | { readonly type: "evaluated"; readonly correct: number; readonly lossSum: number }
  | {
      readonly type: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      /** Where it was thrown. */
      readonly stack: string | null;
    }
);

/** Something that took from one moment to another, in milliseconds since 1970. */
export interface ThreadSpan {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** Milliseconds since 1970, as steady as the clock of a thread, and the same for all threads. */
export function sharedNowMs(): number {
  return performance.timeOrigin + performance.now();
}

/** One job on this side. */
interface ThreadRun {
  readonly compute: StepComputer;
  readonly rank: number;
  readonly gate: ArrivalGate;
  /** What is yet to be told; nothing comes here unless the job is traced. */
  readonly spans: ThreadSpan[];
}

class ComputeThreadSide {
  readonly #port: MessagePort;
  #job: ThreadRun | null = null;
  #data: { readonly key: string; readonly dataset: Dataset } | null = null;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  async handle(request: ThreadRequest): Promise<void> {
    const { job } = request;
    try {
      if (request.type === "prepare") await this.#prepare(request);
      else this.#perform(request);
    } catch (thrown) {
      if (thrown instanceof StepGivenUp) return;
      const { code, message } = toPacelineError(thrown);
      const stack = (thrown instanceof Error ? thrown.stack : null) ?? null;
      this.#report({ job, type: "failed", code, message, stack });
    }
  }

  async #prepare(request: ThreadRequest & { readonly type: "prepare" }): Promise<void> {
    const { job, spec, rank, place } = request;
    this.#job?.compute.close();
    this.#job = null;
    const { engine, reason } = engineOf(spec, place);
    this.#report({ job, type: "log", text: reason });
    const log = (text: string) => this.#report({ job, type: "log", text });
    const dataset = spec.feed === "central" ? null : await this.#datasetOf(spec, place, log);
    const parameters = new Float32Array(request.parameters);
    const gradients = new Float32Array(request.gradients);
    const kept = new Float32Array(request.kept);
    const spans: ThreadSpan[] = [];
    const compute = new StepComputer({
      spec,
      dataset,
      engine,
      parameters,
      gradients,
      nowMs: sharedNowMs,
      keptOf: () => kept,
      ...(request.traced && {
        onSpan: (name, startMs, endMs) => void spans.push({ name, startMs, endMs }),
      }),
    });
    this.#job = { compute, rank, gate: new ArrivalGate(request.gate), spans };
    const algorithms = place.evaluatesOnly === true ? [] : compute.prepare();
    this.#report({ job, type: "prepared", engine: reason, algorithms });
  }

  /** A data set stays in memory for the next job on it. */
  async #datasetOf(spec: RunSpec, place: DataPlace, log: (text: string) => void): Promise<Dataset> {
    const { data, trainExamples: trainLimit, testExamples: testLimit } = spec;
    const { identity } = spec.input;
    const key = JSON.stringify([data, trainLimit, testLimit, identity]);
    if (this.#data?.key !== key) {
      this.#data?.dataset.close?.();
      this.#data = null;
      const loaded = await loadDataset(data, {
        ...{ ...place, trainLimit, testLimit, log },
        identify: identity !== null,
      });
      const test = place.evaluateOn === "train" ? loaded.train : loaded.test;
      this.#data = { key, dataset: { ...loaded, test } };
    }
    return this.#data.dataset;
  }

  #perform(request: Exclude<ThreadRequest, { readonly type: "prepare" }>): void {
    const { job } = request;
    assert(this.#job !== null, "a job is prepared before it is computed", { job });
    const { compute, rank, gate, spans } = this.#job;
    if (request.type === "evaluate") {
      this.#report({ job, type: "evaluated", ...compute.evaluate(request.range, request.sent) });
      return;
    }
    const { step, sent, askedMs, next, slow = 1, moment } = request;
    const onReady = (chunks: readonly number[]) => {
      this.#report({ job, type: "ready", step, chunks });
    };
    const outcome = compute.compute(request, rank, onReady, { sent, gate, askedMs, slow });
    this.#report({ job, type: "computed", step, outcome });
    if (next !== null) compute.makeAhead({ ...next, ...(moment && { moment }) }, rank);
    if (spans.length > 0) this.#report({ job, type: "spans", spans: spans.splice(0) });
  }

  #report(report: ThreadReport): void {
    this.#port.postMessage(report);
  }
}

if (parentPort !== null) {
  const side = new ComputeThreadSide(parentPort);
  let last: Promise<void> = Promise.resolve();
  parentPort.on("message", (request: ThreadRequest) => {
    last = last.then(() => side.handle(request));
  });
}

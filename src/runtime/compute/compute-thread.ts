/**
 * A ComputePort whose work is done by a thread of its own, so that messages flow while it computes.
 * The thread is started by the first `prepare` and lives until `close`; parameters and gradients
 * lie in memory that both threads see.
 */
import { Worker } from "node:worker_threads";
import { assert } from "../../assert.js";
import { PacelineError, toPacelineError } from "../../errors.js";
import type {
  ComputeListener,
  ComputePort,
  ComputeRequest,
  PreparedCompute,
} from "../../host/compute-port.js";
import { localValues } from "../../protocol/local/local-state.js";
import type { Range } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { ArrivalGate, gateMemory } from "./arrival-gate.js";
import type { DataPlace, ThreadReport, ThreadRequest, ThreadSpan } from "./compute-service.js";
import { layoutOf } from "./initial-state.js";
import { engineOf } from "./run-engine.js";
import type { SentBatch } from "./sent-examples.js";

/** What the thread has to know besides the run. */
export interface ComputeThreadOptions extends DataPlace {
  /** Threads to compute on, where the run's number is not to hold for this process. */
  readonly threads?: number | null;
  /** Takes one line: which engine computes and why, how fetching goes on. */
  log(text: string): void;
  /** Hears what the thread did, if told; times are milliseconds since 1970. */
  onSpan?(span: ThreadSpan): void;
  /** The thread's program, for tests. */
  readonly entry?: URL;
}

/**
 * A ComputePort that can also be given the examples, of a range of one batch at most; their memory
 * goes with them.
 */
export interface BatchComputePort extends ComputePort {
  compute(request: ComputeRequest, sent?: SentBatch | null): void;
  evaluate(range: Range, sent?: SentBatch | null): void;
}

/** A thread that computes; nothing is started before `prepare`. */
export function createComputeThread(options: ComputeThreadOptions): BatchComputePort {
  return new ComputeThread(options);
}

interface Preparation {
  readonly id: number;
  readonly listener: ComputeListener;
  /** Ends `prepare`; the last does nothing once it has ended. */
  readonly resolve: (made: Pick<PreparedCompute, "engine" | "algorithms">) => void;
  readonly reject: (error: PacelineError) => void;
  prepared: boolean;
}

class ComputeThread implements BatchComputePort {
  readonly #options: ComputeThreadOptions;
  #thread: Worker | null = null;
  #job: Preparation | null = null;
  #gate: ArrivalGate | null = null;
  #jobs = 0;
  #closed = false;

  constructor(options: ComputeThreadOptions) {
    this.#options = options;
  }

  async prepare(given: RunSpec, rank: number, listener: ComputeListener): Promise<PreparedCompute> {
    if (this.#closed) throw givenUp();
    const spec = { ...given, threads: this.#options.threads ?? given.threads };
    this.#job?.reject(givenUp());
    this.#gate?.giveUp();
    // Loaded here too, a native library outlives the thread that calls it: unloaded with the
    // thread, it would be missing to its own threads.
    engineOf(spec, this.#options);
    const layout = layoutOf(spec);
    const { dataDir, cacheDir, evaluateOn = "test", evaluatesOnly = false } = this.#options;
    const place = { dataDir, cacheDir, evaluateOn, evaluatesOnly };
    const parameters = new SharedArrayBuffer(layout.values * 4);
    const gradients = new SharedArrayBuffer(layout.values * 4);
    const kept = new SharedArrayBuffer(localValues(spec, layout) * 4);
    const gate = gateMemory(layout.chunks.length);
    this.#gate = new ArrivalGate(gate);
    const traced = this.#options.onSpan !== undefined;
    const vectors = { parameters, gradients, kept, gate };
    const made = await new Promise<Parameters<Preparation["resolve"]>[0]>((resolve, reject) => {
      const job = { id: ++this.#jobs, listener, resolve, reject, prepared: false };
      this.#job = job;
      this.#ask({ type: "prepare", job: job.id, spec, rank, place, ...vectors, traced });
    });
    return {
      layout,
      parameters: new Float32Array(parameters),
      gradients: new Float32Array(gradients),
      kept: new Float32Array(kept),
      ...made,
    };
  }

  compute(request: ComputeRequest, sent: SentBatch | null = null): void {
    const { lacking, ...asked } = request;
    const { step, moment } = asked;
    assert(moment === undefined || lacking.length === 0, "local steps begin whole", { step });
    const askedMs = performance.timeOrigin + performance.now();
    this.#gate?.lack(lacking);
    this.#ask({ type: "compute", job: this.#jobs, ...asked, askedMs, sent });
  }

  arrived(chunk: number): void {
    this.#gate?.arrive(chunk);
  }

  evaluate(range: Range, sent: SentBatch | null = null): void {
    this.#ask({ type: "evaluate", job: this.#jobs, range, sent });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#job?.reject(givenUp());
    this.#job = null;
    this.#gate?.giveUp();
    const thread = this.#thread;
    this.#thread = null;
    await thread?.terminate();
  }

  #ask(request: ThreadRequest): void {
    if (this.#closed) return;
    this.#thread ??= this.#start();
    const sent = request.type === "prepare" ? null : request.sent;
    const transferred = sent === null ? [] : [sent.pixels.buffer, sent.labels.buffer];
    this.#thread.postMessage(request, transferred as ArrayBuffer[]);
  }

  #start(): Worker {
    const entry = this.#options.entry ?? new URL("./compute-entry.js", import.meta.url);
    // Flags of the process, such as --input-type, may forbid a thread that starts from a file.
    const thread = new Worker(entry, { name: "compute", execArgv: [] });
    const end = (error: PacelineError) => {
      if (this.#thread !== thread) return;
      this.#thread = null;
      this.#fail(error);
    };
    thread.on("message", (report: ThreadReport) => {
      if (this.#thread === thread && report.job === this.#job?.id)
        this.#onReport(report, this.#job);
    });
    thread.on("error", (cause) => end(toPacelineError(cause)));
    thread.on("exit", (exitCode) => {
      const sentence = `the compute thread ended by itself with exit code ${exitCode}`;
      end(new PacelineError("internal", `${sentence}; start the worker again`));
    });
    return thread;
  }

  #onReport(report: ThreadReport, job: Preparation): void {
    const { listener } = job;
    switch (report.type) {
      case "log":
        this.#options.log(report.text);
        break;
      case "prepared":
        job.prepared = true;
        job.resolve({ engine: report.engine, algorithms: report.algorithms });
        break;
      case "ready":
        for (const chunk of report.chunks) {
          if (this.#job !== job) return;
          listener.onChunkReady(report.step, chunk);
        }
        break;
      case "computed":
        listener.onComputed(report.step, report.outcome);
        break;
      case "spans":
        for (const span of report.spans) this.#options.onSpan?.(span);
        break;
      case "evaluated":
        listener.onEvaluated(report.correct, report.lossSum);
        break;
      case "failed": {
        const cause = report.stack ?? undefined;
        this.#fail(new PacelineError(report.code, report.message, { cause }));
        break;
      }
      default:
        report satisfies never;
    }
  }

  #fail(error: PacelineError): void {
    const job = this.#job;
    if (job === null) return;
    if (job.prepared) job.listener.onFailed(error);
    else job.reject(error);
  }
}

function givenUp(): PacelineError {
  return new PacelineError("unavailable", "computing was abandoned before it was prepared");
}

/**
 * Measures the engine: for each configuration the speed of a training step (forward, backward,
 * every gradient in the flat vector), what preparing a batch takes, peak memory, and where the time
 * goes. PyTorch takes its turns in processes of its own.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { PacelineError } from "../../errors.js";
import { createEngine } from "../../nn/engines.js";
import { OneDnnExecutor } from "../../nn/onednn/engine.js";
import { kernelCacheFile } from "../../nn/onednn/kernel-cache.js";
import { usableCores } from "../../runtime/process/cores.js";
import { describeMachine } from "../../runtime/process/machine.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import {
  type BenchmarkCase,
  type BenchmarkRow,
  type Peer,
  runBenchmark,
} from "../harness/benchmark.js";
import { tellsMemory } from "../harness/process-memory.js";
import { tellTorch } from "../harness/torch.js";
import { convolutionRows } from "./convolution-rows.js";
import type { EngineMeasures } from "./engine-bench.js";
import {
  type BoundSubject,
  bindSubject,
  graphOf,
  type Subject,
  subjectName,
} from "./engine-subject.js";
import { formatLayers, LayerSums, type LayerTable, millisecondsOf } from "./layer-table.js";
import { peakMemoryCase, soak } from "./resident-memory.js";
import {
  inBothFormats,
  type TorchFormat,
  type TorchWorkload,
  torchFormats,
  torchProcess,
  torchSpeed,
} from "./torch-peer.js";

/** How long preparing batches is measured for in one turn. */
const preparingMs = 50;
/** Steps of a process whose peak memory is read, fewer where they would take longer than this. */
const memory = { stepsMin: 4, stepsMax: 24, milliseconds: 15_000 };
const batchDefault = { onednn: 64, reference: 2 };

/** Measures what is asked for, one configuration after the other. */
export async function runEngineBench(
  measures: EngineMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "paceline-bench-"));
  try {
    return await measureIn(folder, measures, task);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureIn(
  folder: string,
  measures: EngineMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const kernelCache = kernelCacheFile(folder);
  const subjects = subjectsOf(measures, task.log).map((one) => ({ ...one, kernelCache }));
  const isCompared = measures.peers && measures.soakSteps === null;
  const hasTorch = isCompared && tellTorch(measures.python, task.log);
  const rows: BenchmarkRow[] = [];
  const appendix: string[] = [];
  if (measures.parts.includes("algorithms")) {
    if (subjects[0]?.engine === "reference") task.log("no rows of algorithms without oneDNN");
    else
      rows.push(...withoutModels(subjects).flatMap((one) => convolutionRows(one, measures.rounds)));
  }
  const isOfModels = measures.table || measures.parts.some((part) => part !== "algorithms");
  for (const subject of subjects) {
    if (measures.soakSteps !== null) {
      const { rows: readings, verdict } = await soakOf(subject, measures.soakSteps, task.log);
      rows.push(...readings);
      if (task.isJson) task.log(verdict);
      else appendix.push(verdict);
      continue;
    }
    if (!isOfModels) continue;
    const found = await new SubjectRun(subject, { ...measures, peers: hasTorch }, task).measure();
    rows.push(...found.rows);
    appendix.push(...found.appendix);
  }
  return { report: { bench: "engine", machine: describeMachine(), rows }, appendix };
}

/** One configuration of each type, batch and number of threads. */
function withoutModels(subjects: readonly Subject[]): Subject[] {
  const [first] = subjects;
  return subjects.filter(({ model, stem }) => model === first?.model && stem === first.stem);
}

async function soakOf(subject: Subject, steps: number, log: (line: string) => void) {
  if (tellsMemory) return soak(subject, steps, log);
  const sentence = `--soak reads memory from /proc, which ${process.platform} lacks`;
  throw new PacelineError("usage", `${sentence}; run it on Linux`);
}

/** Every configuration that this machine can compute; what it can't is said. */
function subjectsOf(
  measures: EngineMeasures,
  log: (line: string) => void,
): Omit<Subject, "kernelCache">[] {
  const chosen = createEngine(measures.engine);
  const engine = chosen.engine.name === "onednn" ? "onednn" : "reference";
  const batch = measures.batchSize ?? batchDefault[engine];
  const isReference = engine === "reference";
  if (isReference) log(`${chosen.reason}: f32 on one thread, ${batch} examples a step`);
  const threadCounts = isReference ? [1] : (measures.threads ?? [usableCores()]);
  const dtypes = measures.dtypes.filter((dtype) => {
    const { warning } = createEngine(engine, { dtype });
    const problem = isReference && dtype === "bf16" ? "this engine has none" : warning;
    if (problem !== null) log(`no ${dtype} rows: ${problem}`);
    return problem === null;
  });
  if (dtypes.length === 0) {
    const sentence = `--dtype ${measures.dtypes.join(",")} can't be computed here`;
    throw new PacelineError("usage", `${sentence} (${chosen.reason}); write --dtype f32`);
  }
  const models = measures.models.flatMap((model) =>
    (measures.stems ?? [null]).map((stem) => ({ model, stem })),
  );
  for (const model of models) graphOf(model);
  return models.flatMap((model) =>
    threadCounts.flatMap((threads) =>
      dtypes.map((dtype) => ({ ...model, dtype, batch, threads, engine })),
    ),
  );
}

/** One configuration being measured. */
class SubjectRun {
  readonly #subject: Subject;
  readonly #name: string;
  readonly #measures: EngineMeasures;
  readonly #task: BenchTask;
  readonly #bound: BoundSubject;
  /** Milliseconds of a step, roughly. */
  readonly #stepMs: number;

  constructor(subject: Subject, measures: EngineMeasures, task: BenchTask) {
    this.#subject = subject;
    this.#name = subjectName(subject);
    this.#measures = measures;
    this.#task = task;
    this.#bound = bindSubject(subject);
    this.#bound.steps(1);
    this.#stepMs = 1000 * this.#bound.steps(1);
    task.log(`${this.#name}: ${this.#bound.reason}`);
  }

  async measure(): Promise<{ rows: BenchmarkRow[]; appendix: string[] }> {
    const { parts } = this.#measures;
    const rows: BenchmarkRow[] = [];
    const appendix: string[] = [];
    const bytes = this.#bound.executor instanceof OneDnnExecutor ? this.#bound.executor.bytes : 0;
    try {
      const cases = [
        ...(parts.includes("speed") ? [this.#speed()] : []),
        ...(parts.includes("input") ? [this.#input(), this.#inputShare()] : []),
      ];
      rows.push(...(await this.#run(cases, this.#measures.rounds)));
      const table = this.#layers();
      if (table !== null && this.#task.isJson) rows.push(...this.#layerRows(table));
      else if (table !== null) {
        appendix.push(
          "",
          `${this.#name}, milliseconds of a step: forward, backward data and weights, the rest`,
        );
        appendix.push(...formatLayers(table, this.#subject.batch));
      }
    } finally {
      this.#bound.close();
    }
    if (parts.includes("memory")) rows.push(...(await this.#peakMemory(bytes)));
    return { rows, appendix };
  }

  async #run(cases: readonly BenchmarkCase[], turns: number, warmUpTurns = 1) {
    const { peers } = this.#measures;
    const options = { peers, turns, warmUpTurns, log: this.#task.log };
    return (await runBenchmark("engine", cases, options)).rows;
  }

  get #stepsPerTurn(): number {
    return Math.ceil(this.#measures.turnMs / this.#stepMs);
  }

  #speed(): BenchmarkCase {
    const steps = this.#stepsPerTurn;
    const { batch } = this.#subject;
    return {
      name: this.#name,
      unit: "images/s",
      better: "higher",
      run: () => (steps * batch) / this.#bound.steps(steps),
      peers: this.#speedPeers(),
    };
  }

  /** In bf16 also against what PyTorch computes in unless it is asked for less. */
  #speedPeers(): Peer[] {
    const { python, turnMs } = this.#measures;
    const inType = (name: string, dtype: Subject["dtype"]) =>
      inBothFormats(name, (format) => {
        const workload = this.#torchWorkload({ ...this.#subject, dtype }, format);
        return torchSpeed(name, python, workload, turnMs);
      });
    if (this.#subject.dtype === "f32") return inType("pytorch", "f32");
    return [...inType("pytorch", "bf16"), ...inType("pytorch-f32", "f32")];
  }

  #torchWorkload({ batch, threads, dtype }: Subject, memoryFormat: TorchFormat): TorchWorkload {
    return { graph: this.#bound.graph, batch, threads, dtype, memoryFormat };
  }

  #input(): BenchmarkCase {
    return {
      name: `${this.#name}/input`,
      unit: "ms",
      better: "lower",
      run: () => this.#preparationMs(),
    };
  }

  #inputShare(): BenchmarkCase {
    const steps = this.#stepsPerTurn;
    return {
      name: `${this.#name}/input-share`,
      unit: "% of a step",
      better: "lower",
      run: () => (100 * this.#preparationMs()) / ((1000 * this.#bound.steps(steps)) / steps),
    };
  }

  #preparationMs(): number {
    let [seconds, count] = [0, 0];
    for (; seconds * 1000 < preparingMs; count++) seconds += this.#bound.prepare(1);
    return (1000 * seconds) / count;
  }

  /** Null where no table is wanted, or the engine tells no layers. */
  #layers(): LayerTable | null {
    const { table, models, parts } = this.#measures;
    const isWanted =
      table || (!this.#task.isJson && models.length === 1 && parts.includes("speed"));
    const { executor, graph } = this.#bound;
    if (!isWanted) return null;
    if (!(executor instanceof OneDnnExecutor)) {
      if (table) this.#task.log("no table: the reference engine does not report its layers' times");
      return null;
    }
    const sums = new LayerSums(graph);
    const steps = Math.max(3, 2 * this.#stepsPerTurn);
    executor.listener = (operation, milliseconds) => sums.add(operation, milliseconds);
    this.#bound.steps(steps);
    executor.listener = null;
    return sums.table(steps);
  }

  #layerRows({ lines, multiplyingMs }: LayerTable): BenchmarkRow[] {
    const ceiling = (1000 * this.#subject.batch) / multiplyingMs;
    return [
      { name: `${this.#name}/ceiling`, value: ceiling, unit: "images/s" },
      ...lines.map((line) => {
        return {
          name: `${this.#name}/layers/${line.name}`,
          value: millisecondsOf(line),
          unit: "ms",
        };
      }),
    ];
  }

  /** At this batch and at twice as many examples, unless that would not fit into memory. */
  async #peakMemory(bytes: number): Promise<BenchmarkRow[]> {
    const { log } = this.#task;
    if (!tellsMemory) {
      log(`no memory rows: they are read from /proc, which ${process.platform} lacks`);
      return [];
    }
    const rows: BenchmarkRow[] = [];
    for (const factor of [1, 2]) {
      const subject = { ...this.#subject, batch: factor * this.#subject.batch };
      // PyTorch keeps several times what this engine's plan needs.
      const roomBytes = 4 * factor * bytes;
      if (roomBytes > freemem()) {
        const gigabytes = (roomBytes / 1e9).toFixed(1);
        log(`no memory row of ${subjectName(subject)}: it may need ${gigabytes} GB`);
        continue;
      }
      const wanted = Math.floor(memory.milliseconds / (factor * this.#stepMs));
      const steps = Math.min(memory.stepsMax, Math.max(memory.stepsMin, wanted));
      const peers = torchFormats.map((format) => {
        const workload = this.#torchWorkload(subject, format);
        const process = torchProcess(this.#measures.python, workload);
        return { name: `pytorch ${format}`, system: "pytorch", process };
      });
      const one = peakMemoryCase(subject, steps, peers);
      rows.push(...(await this.#run([one], 1, 0)));
    }
    return rows;
  }
}

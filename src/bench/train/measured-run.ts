/**
 * Whole runs as measurements: coordinator, servers and workers as processes, on generated pictures;
 * read is what the run's result says of the epochs after the first. They are the children of
 * `paceline train`, or of the benchmark where links lie between them.
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ShardWriter } from "../../data/shards/shard-writer.js";
import { PacelineError } from "../../errors.js";
import { compressionTitle } from "../../protocol/compression.js";
import { Random } from "../../random.js";
import { carryOutOverLink } from "./linked-run.js";
import { RunProcess } from "./run-process.js";
import { dataShapeOf, epochsOf, linkSeconds, type Workload } from "./workload.js";

/** What a run took, in seconds, of its epochs after the first. */
export interface RunTimes {
  /** Of one step, everything included. */
  readonly stepSeconds: number;
  /** Of one step of one worker, on average over the whole run. */
  readonly computeSeconds: number;
  /** As above: waiting for parameters. */
  readonly waitSeconds: number;
  /** What workers said of a compression that they chose themselves. */
  readonly choices: readonly string[];
}

const dataName = "pictures";

/** Writes a set of random pictures of the shape that a model takes, as many to train with. */
export async function writePictures(path: string, model: string, examples: number): Promise<void> {
  const { classes, inputShape: shape } = dataShapeOf(model);
  const classNames = Array.from({ length: classes }, (_, index) => `class ${index}`);
  const writer = await ShardWriter.begin(path, { classNames, shape, shardExamples: null });
  const random = new Random("bench", "pictures");
  const pixels = new Uint8Array(shape[0] * shape[1] * shape[2]);
  const add = async (split: "train" | "test", count: number) => {
    for (let index = 0; index < count; index++) {
      for (let at = 0; at < pixels.length; at++) pixels[at] = random.below(256);
      await writer.add(split, index % classes, pixels);
    }
  };
  await add("train", examples);
  await add("test", classes);
  const ofChannels = (value: number) => Array.from({ length: shape[0] }, () => value);
  await writer.finish({ mean: ofChannels(0.5), std: ofChannels(0.29) });
}

/** A place for runs: a folder with data, removed when all is measured. */
export class RunPlace {
  readonly #workload: Workload;
  #folder: string | null = null;
  #runs = 0;

  constructor(workload: Workload) {
    this.#workload = workload;
  }

  /** Writes the data. */
  async setUp(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "paceline-bench-"));
    const { model, workers, batch, steps } = this.#workload;
    await writePictures(join(this.#folder, dataName), model, workers * batch * steps);
  }

  /** Runs once. */
  run(): Promise<RunTimes> {
    return this.read(async (folder, said) => {
      const result = JSON.parse(await readFile(join(folder, "result.json"), "utf8"));
      return { ...timesOf(result, this.#workload.steps), choices: choicesIn(said) };
    });
  }

  /** Runs once; resolves to what is made of its folder, which is removed, and of the logs. */
  async read<T>(make: (folder: string, said: readonly string[]) => Promise<T>): Promise<T> {
    const runDir = join(this.#folder ?? "", "runs");
    const name = `turn-${++this.#runs}`;
    const folder = join(runDir, name);
    const said = await this.#carryOut(["--run-dir", runDir, "--name", name], folder);
    const made = await make(folder, said);
    await rm(folder, { recursive: true, force: true });
    return made;
  }

  /** Removes everything. */
  async tearDown(): Promise<void> {
    if (this.#folder !== null) await rm(this.#folder, { recursive: true, force: true });
  }

  /** Resolves to what each worker said. */
  async #carryOut(words: readonly string[], folder: string): Promise<readonly string[]> {
    const { workers, servers, transport, wire, ofAll = [] } = this.#workload;
    const whole = [...this.#words(), ...words];
    const place = ["--data-dir", this.#folder ?? ""];
    if (wire.link !== null) {
      const seconds = linkSeconds(this.#workload);
      const patience = ["--io-timeout", `${Math.ceil(30 + 10 * seconds)}s`];
      const start = ["--start-timeout", `${Math.ceil(60 + 4 * seconds)}s`];
      const shared = [...patience, ...start, "--quiet", ...ofAll];
      const run = { link: wire.link, servers, workers, transport, shared };
      return carryOutOverLink({ ...run, words: [...whole, ...place], ofWorkers: place });
    }
    const own = ["--transport", transport, "--quiet", "--no-progress", ...ofAll];
    await new RunProcess(["train", ...whole, ...place, ...own]).end();
    const logs = join(folder, "logs");
    const ofWorkers = (await readdir(logs)).filter((log) => log.startsWith("worker-")).sort();
    return Promise.all(ofWorkers.map((log) => readFile(join(logs, log), "utf8")));
  }

  #words(): string[] {
    const { model, workers, servers, replicas, batch, wire, options } = this.#workload;
    const { push, pull } = wire.compression;
    return [
      ...["--model", model, "--data", dataName, "--epochs", `${epochsOf.all}`],
      ...["-w", `${workers}`, "-s", `${servers}`, "-b", `${batch}`],
      ...["--replicas", `${replicas}`],
      ...["--optimizer", "momentum", "--lr", "0.01", "--eval-every", `${epochsOf.all}e`],
      ...["--compress", compressionTitle(push), "--compress-pull", compressionTitle(pull)],
      ...options,
    ];
  }
}

/** The parts of a result that are read. */
interface Result {
  readonly raw_worker_metrics: readonly { readonly epoch_times_seconds: readonly number[] }[];
  readonly paceline: {
    readonly stepTimes: { readonly computeSeconds: number; readonly waitSeconds: number };
  };
}

/** An epoch takes as long as its slowest worker. */
function timesOf(
  { raw_worker_metrics: workers, paceline }: Result,
  steps: number,
): Omit<RunTimes, "choices"> {
  const { computeSeconds, waitSeconds } = paceline.stepTimes;
  let seconds = 0;
  for (let epoch = epochsOf.warmUp; epoch < epochsOf.all; epoch++) {
    seconds += Math.max(
      ...workers.map((worker) => worker.epoch_times_seconds[epoch] ?? Number.NaN),
    );
  }
  if (!(seconds > 0)) throw new PacelineError("internal", "a measured run told no epoch times");
  const counted = epochsOf.all - epochsOf.warmUp;
  return { stepSeconds: seconds / counted / steps, computeSeconds, waitSeconds };
}

function choicesIn(said: readonly string[]): string[] {
  return said.flatMap((text, rank) => {
    const [, choice] = /--compress auto: (.*)/.exec(text) ?? [];
    return choice === undefined ? [] : [`worker ${rank} chose: ${choice}`];
  });
}

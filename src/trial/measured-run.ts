/**
 * Whole runs as measurements: `paceline train` as a process, with its coordinator, servers and
 * workers, on generated pictures; read is what its result says of the epochs after the first.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PacelineError } from "../errors.js";
import { Random } from "../random.js";
import { ShardWriter } from "../shards/shard-writer.js";

/** What is trained; further options of `paceline train` go into `options`. */
export interface RunWish {
  readonly model: string;
  readonly workers: number;
  readonly servers: number;
  /** Examples of one worker's step. */
  readonly batch: number;
  /** Steps of one worker in each epoch that counts; a first epoch as long warms up. */
  readonly steps: number;
  readonly options: readonly string[];
}

/** What a run took, in seconds, of its epochs after the first. */
export interface RunTimes {
  /** Of one step, everything included. */
  readonly stepSeconds: number;
  /** Of one step of one worker, on average over the whole run. */
  readonly computeSeconds: number;
  /** As above: waiting for parameters. */
  readonly waitSeconds: number;
}

/** Epochs that count. */
const countedEpochs = 2;
const dataName = "pictures";

/** A place for runs: a folder with data, removed when all is measured. */
export class RunPlace {
  readonly #wish: RunWish;
  #folder: string | null = null;
  #runs = 0;

  constructor(wish: RunWish) {
    this.#wish = wish;
  }

  /** Writes the data. */
  async setUp(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "paceline-bench-"));
    const { model, workers, batch, steps } = this.#wish;
    const isFlat = ["logistic", "mlp"].includes(model);
    const shape = isFlat ? ([1, 28, 28] as const) : ([3, 32, 32] as const);
    const classes = isFlat ? 10 : 100;
    const classNames = Array.from({ length: classes }, (_, index) => `class ${index}`);
    const facts = { classNames, shape, shardExamples: null };
    const writer = await ShardWriter.begin(join(this.#folder, dataName), facts);
    const random = new Random("bench", "pictures");
    const pixels = new Uint8Array(shape[0] * shape[1] * shape[2]);
    const add = async (split: "train" | "test", count: number) => {
      for (let index = 0; index < count; index++) {
        for (let at = 0; at < pixels.length; at++) pixels[at] = random.below(256);
        await writer.add(split, index % classes, pixels);
      }
    };
    await add("train", workers * batch * steps);
    await add("test", classes);
    await writer.finish({ mean: shape[0] === 1 ? [0.5] : [0.5, 0.5, 0.5], std: stdOf(shape[0]) });
  }

  /** Runs once. */
  async run(): Promise<RunTimes> {
    const { model, workers, servers, batch, options } = this.#wish;
    const runDir = join(this.#folder ?? "", "runs");
    const name = `turn-${++this.#runs}`;
    const epochs = 1 + countedEpochs;
    const words = [
      ...["train", "--model", model, "--data", dataName, "--data-dir", this.#folder ?? ""],
      ...["-w", `${workers}`, "-s", `${servers}`, "-b", `${batch}`, "--epochs", `${epochs}`],
      ...["--optimizer", "momentum", "--lr", "0.01", "--quiet", "--no-progress"],
      ...["--eval-every", `${epochs}e`, "--run-dir", runDir, "--name", name, ...options],
    ];
    await carryOut(words);
    const folder = join(runDir, name);
    const times = timesOf(JSON.parse(await readFile(join(folder, "result.json"), "utf8")), epochs);
    await rm(folder, { recursive: true, force: true });
    return { ...times, stepSeconds: times.stepSeconds / this.#wish.steps };
  }

  /** Removes everything. */
  async tearDown(): Promise<void> {
    if (this.#folder !== null) await rm(this.#folder, { recursive: true, force: true });
  }
}

function stdOf(channels: number): number[] {
  return Array.from({ length: channels }, () => 0.29);
}

/** The parts of a result that are read. */
interface Result {
  readonly raw_worker_metrics: readonly { readonly epoch_times_seconds: readonly number[] }[];
  readonly paceline: {
    readonly stepTimes: { readonly computeSeconds: number; readonly waitSeconds: number };
  };
}

/** `stepSeconds` is a whole epoch's here: of its slowest worker, the mean over epochs. */
function timesOf({ raw_worker_metrics: workers, paceline }: Result, epochs: number): RunTimes {
  const { computeSeconds, waitSeconds } = paceline.stepTimes;
  let seconds = 0;
  for (let epoch = 1; epoch < epochs; epoch++) {
    seconds += Math.max(
      ...workers.map((worker) => worker.epoch_times_seconds[epoch] ?? Number.NaN),
    );
  }
  if (!(seconds > 0)) throw new PacelineError("internal", "a measured run told no epoch times");
  return { stepSeconds: seconds / countedEpochs, computeSeconds, waitSeconds };
}

async function carryOut(words: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [process.argv[1] ?? "", ...words], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint = `${complaint}${text}`.slice(-2000);
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (code === 0) return;
  const last = complaint.trim().split("\n").at(-1) ?? "";
  throw new PacelineError("internal", `a measured run ended with exit code ${code}: ${last}`);
}

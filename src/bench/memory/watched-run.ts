/**
 * A whole run of `paceline train` whose processes are watched: what each holds is read from /proc
 * many times a second, and told tenth of the steps by tenth. Data are a few pictures of one value,
 * and the workers compute nothing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ShardWriter } from "../../data/shards/shard-writer.js";
import { PacelineError } from "../../errors.js";
import { measuredEnvironment } from "../harness/measured-environment.js";
import { memoryOf, memoryUseOf } from "../harness/process-memory.js";

/** What is run. */
export interface WatchedWorkload {
  readonly model: string;
  readonly inputShape: readonly [number, number, number];
  readonly classes: number;
  readonly workers: number;
  readonly servers: number;
  /** Of each worker; a multiple of `tenths`. */
  readonly steps: number;
  /** Whether a checkpoint is written in the middle; one is at the end in any case. */
  readonly checkpoint: boolean;
  /** Further options of `paceline train`. */
  readonly options: readonly string[];
}

/** What one process held, in bytes. */
export interface WatchedMember {
  readonly role: "coordinator" | "server" | "worker";
  readonly id: number;
  /** The most there was before the first checkpoint began. */
  steppingBytes: number;
  /** The most there ever was. */
  peakBytes: number;
  /** The highest reading of each tenth. */
  readonly tenths: number[];
  /** The most that a server's values ever took. */
  valuesBytes: number;
  /** The highest reading of each tenth of what a server holds besides values. */
  readonly otherTenths: number[];
}

/** Epochs of a watched run, each a tenth of its steps. */
export const tenths = 10;

const pollIntervalMs = 50;
/** What memory is for takes longer to read. */
const useIntervalMs = 500;
const dataName = "pictures";

/** Runs once and tells what each process held. */
export async function watchRun(
  workload: WatchedWorkload,
  log: (line: string) => void,
): Promise<readonly WatchedMember[]> {
  const folder = await mkdtemp(join(tmpdir(), "paceline-memory-"));
  try {
    await writePictures(folder, workload);
    const child = start(folder, workload);
    const watch = new Watch(join(folder, "runs", "run"), workload, log);
    const timer = setInterval(() => void watch.look(), pollIntervalMs);
    try {
      await ended(child);
    } finally {
      clearInterval(timer);
    }
    return watch.members();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Looks at the processes of one run, as its files list them. */
class Watch {
  readonly #folder: string;
  readonly #log: (line: string) => void;
  /** The tenth at whose end the first checkpoint is due, and no longer counts as stepping. */
  readonly #steppingTenths: number;
  readonly #members = new Map<string, WatchedMember>();
  #looking = false;
  #tenth = 0;
  #useReadMs = Number.NEGATIVE_INFINITY;

  constructor(folder: string, { checkpoint }: WatchedWorkload, log: (line: string) => void) {
    this.#folder = folder;
    this.#log = log;
    this.#steppingTenths = checkpoint ? tenths / 2 - 1 : tenths - 1;
  }

  members(): WatchedMember[] {
    return [...this.#members.values()];
  }

  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const cluster = await readFile(join(this.#folder, "cluster.json"), "utf8");
      const events = await readFile(join(this.#folder, "events.jsonl"), "utf8");
      this.#advance(events.match(/"kind":"epoch"/g)?.length ?? 0);
      const { members } = JSON.parse(cluster) as Cluster;
      const readsUse = performance.now() - this.#useReadMs >= useIntervalMs;
      if (readsUse) this.#useReadMs = performance.now();
      for (const member of members) {
        this.#read(member);
        if (readsUse && member.role === "server") this.#readUse(member);
      }
    } catch {
      // The run has no files yet, or is writing them.
    } finally {
      this.#looking = false;
    }
  }

  #read({ role, id, pid }: Cluster["members"][number]): void {
    const memory = memoryOf(pid);
    if (memory === null) return;
    const { currentBytes, peakBytes } = memory;
    const key = `${role}-${id}`;
    const member = this.#members.get(key) ?? {
      ...{ role, id, steppingBytes: 0, peakBytes: 0, valuesBytes: 0 },
      ...{ tenths: [], otherTenths: [] },
    };
    this.#members.set(key, member);
    member.peakBytes = Math.max(member.peakBytes, peakBytes);
    if (this.#tenth < this.#steppingTenths) member.steppingBytes = member.peakBytes;
    if (this.#tenth >= tenths) return;
    member.tenths[this.#tenth] = Math.max(member.tenths[this.#tenth] ?? 0, currentBytes);
  }

  #readUse({ role, id, pid }: Cluster["members"][number]): void {
    const use = memoryUseOf(pid);
    const member = this.#members.get(`${role}-${id}`);
    if (use === null || member === undefined) return;
    member.valuesBytes = Math.max(member.valuesBytes, use.valuesBytes);
    if (this.#tenth >= tenths) return;
    const { otherTenths: others } = member;
    others[this.#tenth] = Math.max(others[this.#tenth] ?? 0, use.otherBytes);
  }

  #advance(tenth: number): void {
    if (tenth === this.#tenth) return;
    // Each tenth is read at least once.
    this.#useReadMs = Number.NEGATIVE_INFINITY;
    const held = this.members().map(({ role, id, tenths: readings }) => {
      const reading = readings.at(-1) ?? 0;
      return `${role}-${id} ${(reading / 2 ** 20).toFixed(0)}`;
    });
    this.#log(`tenth ${tenth} of ${tenths}, MiB: ${held.join(", ")}`);
    this.#tenth = tenth;
  }
}

interface Cluster {
  readonly members: readonly {
    readonly role: WatchedMember["role"];
    readonly id: number;
    readonly pid: number;
  }[];
}

async function writePictures(folder: string, workload: WatchedWorkload): Promise<void> {
  const { inputShape: shape, classes, workers, steps } = workload;
  const classNames = Array.from({ length: classes }, (_, index) => `class ${index}`);
  const place = join(folder, dataName);
  const writer = await ShardWriter.begin(place, { classNames, shape, shardExamples: null });
  const pixels = new Uint8Array(shape[0] * shape[1] * shape[2]).fill(128);
  const counts = { train: (workers * steps) / tenths, test: classes };
  for (const split of ["train", "test"] as const) {
    for (let index = 0; index < counts[split]; index++) {
      await writer.add(split, index % classes, pixels);
    }
  }
  const ofChannels = (value: number) => Array.from({ length: shape[0] }, () => value);
  await writer.finish({ mean: ofChannels(0.5), std: ofChannels(0.25) });
}

function start(folder: string, workload: WatchedWorkload): ChildProcess {
  const { model, workers, servers, checkpoint, options } = workload;
  const words = [
    ...["train", "--engine", "synthetic", "--model", model, "--optimizer", "momentum"],
    ...["--data", dataName, "--data-dir", folder, "-b", "1", "--epochs", `${tenths}`],
    ...["-w", `${workers}`, "-s", `${servers}`, "--eval-every", `${tenths}e`],
    ...["--run-dir", join(folder, "runs"), "--name", "run", "--quiet", "--no-progress"],
    ...(checkpoint ? ["--checkpoint-every", `${tenths / 2}e`] : []),
    ...options,
  ];
  const entry = process.argv[1] ?? "";
  return spawn(process.execPath, [entry, ...words], {
    stdio: ["ignore", "ignore", "pipe"],
    env: measuredEnvironment(),
  });
}

async function ended(child: ChildProcess): Promise<void> {
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = `${complaint}${text}`.slice(-2000);
  });
  const code = await new Promise<number | string | null>((resolve) => {
    child.once("error", ({ message }) => resolve(message));
    child.once("close", (exitCode, signal) => resolve(exitCode ?? signal));
  });
  if (code === 0) return;
  const last = complaint.trim().split("\n").at(-1) ?? "";
  throw new PacelineError("internal", `a watched run ended with ${code}: ${last}`);
}

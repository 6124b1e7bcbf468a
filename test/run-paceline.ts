/**
 * Runs the paceline command as real processes, each test in a folder of its own: starts commands
 * there, waits for what they do with a limit, finds their members through cluster.json, and in the
 * end leaves neither processes nor files behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, readlink, realpath, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runProgram } from "../dist/cli/program.js";
import { type SampleOptions, writeSampleMnist } from "../dist/data/testing/sample-files.js";
import type { CoordinatorSnapshot } from "../dist/protocol/run-events.js";
import type { ExperimentFile } from "../dist/store/runs/experiment-file.js";
import type { PacelineResult } from "../dist/store/runs/run-result.js";
import { createGrpcTransport } from "../dist/transport/grpc/grpc-transport.js";

/** The compiled entry of the command. */
export const mainPath = join(
  dirname(fileURLToPath(import.meta.url)),
  "..",
  "dist",
  "cli",
  "main.js",
);

/** For what hangs: on a machine with others' work, what takes a second takes half a minute. */
const limitDefaultMs = 180_000;
/** Between two questions: a coordinator that is asked too often has less time for its run. */
const askAgainDefaultMs = 50;

/** How a command ended and what it said. */
export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** A process that cluster.json lists. */
export interface ListedMember {
  readonly role: "coordinator" | "server" | "worker";
  readonly id: number;
  readonly pid: number;
  readonly address: string;
  /** Where a server takes frames besides. */
  readonly frames?: { readonly tcp: string; readonly unix: string };
}

/** A line of events.jsonl. */
export interface StoredEvent {
  readonly kind: string;
  readonly text: string;
  readonly [field: string]: unknown;
}

/** Asks again and again until the answer is neither null nor false; fails after the limit. */
export async function until<Answer>(
  what: string,
  ask: () => Promise<Answer | null | false> | Answer | null | false,
  limitMs = limitDefaultMs,
  askAgainMs = askAgainDefaultMs,
): Promise<Answer> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== false) return answer;
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, askAgainMs));
  }
}

/** A command that was started. */
export class RunningCommand {
  readonly words: readonly string[];
  readonly ended: Promise<Ended>;
  out = "";
  err = "";
  readonly #child: ChildProcess;
  #over = false;

  /** `through` is a program, with its first arguments, that starts the command. */
  constructor(
    words: readonly string[],
    folder: string,
    environment: NodeJS.ProcessEnv,
    through: readonly string[],
  ) {
    this.words = words;
    const [program, ...rest] = [...through, process.execPath, mainPath, ...words];
    const child = spawn(program!, rest, {
      cwd: folder,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    child.stdout.setEncoding("utf8").on("data", (text: string) => (this.out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.err += text));
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (exitCode, signal) => {
        this.#over = true;
        resolve({ exitCode, signal, out: this.out, err: this.err });
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get isOver(): boolean {
    return this.#over;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Closes both pipes that it writes to, as a reader does that has seen enough. */
  deafen(): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  /** Waits until what it has said, on either stream, matches. */
  waitFor(pattern: RegExp, limitMs = limitDefaultMs): Promise<RegExpExecArray> {
    return until(
      `paceline ${this.words.join(" ")} says ${pattern}`,
      () => {
        const found = pattern.exec(this.err) ?? pattern.exec(this.out);
        if (found === null && this.#over) throw new Error(`ended first, saying\n${this.told()}`);
        return found;
      },
      limitMs,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.told()}`);
    });
  }

  /** Waits for its end. */
  async end(limitMs = limitDefaultMs): Promise<Ended> {
    await until(`the end of paceline ${this.words.join(" ")}`, () => this.#over, limitMs).catch(
      (error: Error) => {
        throw new Error(`${error.message}\n${this.told()}`);
      },
    );
    return this.ended;
  }

  /** Everything it has said, for messages of failing tests. */
  told(): string {
    return `--- out\n${this.out}--- err\n${this.err}---`;
  }
}

/** A folder in which commands run. */
export class Place {
  readonly folder: string;
  readonly #started: RunningCommand[] = [];
  readonly #seenPids = new Set<number>();
  readonly #transport = createGrpcTransport({ ioTimeoutMs: 5000 });

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Starts a command here as a process. */
  start(
    words: readonly string[],
    environment: NodeJS.ProcessEnv = {},
    through: readonly string[] = [],
  ): RunningCommand {
    const own = this.#environment(environment);
    const command = new RunningCommand(words, this.folder, own, through);
    this.#started.push(command);
    return command;
  }

  /** Runs a command here to its end. */
  run(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
    return this.start(words, environment).end();
  }

  /**
   * Runs a command in this process, for what it says alone: it starts none, and nothing here is
   * asserted of processes. One at a time, as the process has one working folder.
   */
  async call(words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
    const told = { out: "", err: "" };
    const before = process.cwd();
    process.chdir(this.folder);
    try {
      const exitCode = await runProgram(words, {
        stdout: { write: (text) => (told.out += text) },
        stderr: { write: (text) => (told.err += text) },
        // This process has the home folder of its user.
        environment: this.#environment({ PACELINE_CACHE_DIR: this.path("cache"), ...environment }),
        isTerminal: false,
      });
      return { exitCode, signal: null, ...told };
    } finally {
      process.chdir(before);
    }
  }

  /** What commands here see of the caller's: nothing but the search path. */
  #environment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    return {
      PATH: process.env.PATH,
      HOME: this.folder,
      PACELINE_DATA_DIR: join(this.folder, "data"),
      // Steps take as long here as on machines without oneDNN; tests of it name it.
      PACELINE_ENGINE: "reference",
      ...more,
    };
  }

  /** A path below the folder. */
  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  /** What cluster.json lists; nobody while there is no such file. */
  async members(run: string): Promise<readonly ListedMember[]> {
    const text = await readFile(this.path("runs", run, "cluster.json"), "utf8").catch(() => null);
    if (text === null) return [];
    const { members } = JSON.parse(text) as { members: ListedMember[] };
    for (const { pid } of members) this.#seenPids.add(pid);
    return members;
  }

  /** Waits until cluster.json lists this member with another process than `not`. */
  member(run: string, role: ListedMember["role"], id: number, not = -1): Promise<ListedMember> {
    return until(`${role}-${id} of ${run} in cluster.json`, async () => {
      const members = await this.members(run);
      const found = members.find((member) => member.role === role && member.id === id);
      return found !== undefined && found.pid !== not && found;
    });
  }

  /** The coordinator's own picture of the run; null while it can't be asked. */
  async snapshot(run: string): Promise<CoordinatorSnapshot | null> {
    const members = await this.members(run);
    const address = members.find(({ role }) => role === "coordinator")?.address;
    if (address === undefined) return null;
    return this.snapshotAt(address).catch(() => null);
  }

  /** The picture that a coordinator at this address gives. */
  async snapshotAt(address: string): Promise<CoordinatorSnapshot> {
    return (await this.#transport.status(address)) as CoordinatorSnapshot;
  }

  /** Waits until the run has gone so many global steps. */
  step(run: string, step: number): Promise<CoordinatorSnapshot> {
    return until(`step ${step} of ${run}`, async () => {
      const snapshot = await this.snapshot(run);
      return snapshot !== null && snapshot.globalSteps >= step && snapshot;
    });
  }

  /** The lines of events.jsonl. */
  async events(run: string): Promise<StoredEvent[]> {
    const text = await readFile(this.path("runs", run, "events.jsonl"), "utf8").catch(() => "");
    const lines = text.split("\n").filter((line) => line !== "");
    return lines.map((line) => JSON.parse(line) as StoredEvent);
  }

  /** The members' own logs, one after the other. */
  async logs(run: string): Promise<string> {
    const folder = this.path("runs", run, "logs");
    const names = await readdir(folder).catch(() => []);
    const texts = names.sort().map((name) => readFile(join(folder, name), "utf8"));
    return (await Promise.all(texts)).join("");
  }

  /** The run's result.json. */
  async result(run: string): Promise<ExperimentFile & { paceline: PacelineResult }> {
    return JSON.parse(await readFile(this.path("runs", run, "result.json"), "utf8"));
  }

  /** The names of the checkpoints of a run, in ascending order of their steps. */
  async checkpoints(run: string): Promise<string[]> {
    const names = await readdir(this.path("runs", run, "checkpoints")).catch(() => []);
    const number = (name: string) => Number(name.replace("step-", ""));
    return names.sort((left, right) => number(left) - number(right));
  }

  /** SHA-256 of the weights in the last checkpoint. */
  async weights(run: string, step: number | null = null): Promise<string> {
    const checkpoints = await this.checkpoints(run);
    const last =
      step === null ? checkpoints.at(-1) : checkpoints.find((one) => one === `step-${step}`);
    if (last === undefined) throw new Error(`run ${run} has no checkpoint`);
    const path = this.path("runs", run, "checkpoints", last, "model.safetensors");
    return createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
  }

  /** Every file below `runs`, as paths. */
  async files(): Promise<string[]> {
    return (await readdir(this.path("runs"), { recursive: true }).catch(() => [])).sort();
  }

  /** Processes that run in this folder; without /proc, those of cluster.json that still run. */
  async leftovers(): Promise<number[]> {
    const names = await readdir("/proc").catch(() => null);
    if (names === null) return [...this.#seenPids].filter((pid) => isAlive(pid));
    const found: number[] = [];
    for (const name of names) {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
      // The folder of a process that has ended, and only waits to be noted by its parent, is gone.
      const folder = await readlink(`/proc/${name}/cwd`).catch(() => "");
      if (folder === this.folder) found.push(Number(name));
    }
    return found;
  }

  /** Ends every process and removes the folder. */
  async close(): Promise<void> {
    await this.#transport.close();
    for (const command of this.#started) if (!command.isOver) command.kill("SIGKILL");
    for (const pid of await this.leftovers()) endProcess(pid);
    await Promise.all(this.#started.map((command) => command.ended));
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Makes a folder with a small data set in MNIST's format; it goes when the test is over. */
export async function makePlace(
  context: TestContext,
  sample: Partial<SampleOptions> = {},
): Promise<Place> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "paceline-test-")));
  const place = new Place(folder);
  context.after(() => place.close());
  await writeSampleMnist(place.path("data"), { train: 512, test: 96, seed: 1, ...sample });
  return place;
}

/**
 * Declares a test that `make test-long` runs, and `make test` does not: what it shows of processes
 * takes long, and simulated clusters or a shorter test show the same of the protocol.
 */
export function longTest(name: string, body: (context: TestContext) => Promise<void>): void {
  if (process.env.PACELINE_TESTS === "long") test(name, { only: true }, body);
}

/** A port of loopback that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** The objects of the METRICS_JSON lines. */
export function metricsOf(out: string): Record<string, unknown>[] {
  return [...out.matchAll(/^METRICS_JSON: (.*)$/gm)].map((found) => JSON.parse(found[1]!));
}

/** Kills a process that may be gone already. */
export function endProcess(pid: number): void {
  if (isAlive(pid)) process.kill(pid, "SIGKILL");
}

/** False once a process has ended and its parent knows. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

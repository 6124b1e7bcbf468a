/**
 * `paceline aws experiments MATRIX`: a suite from nothing to its charts and back to nothing. The
 * stack is made once, with as many workers as the largest cell that is left; each cell is a job of
 * its coordinator, which is reached through a forwarded port; then logs are fetched, the report is
 * written, and the stack is removed. Whatever ends it on the way leaves the stack as it is, and the
 * same command goes on from there.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isBuiltIn } from "../../data/dataset.js";
import { costPerHour } from "../../deploy/fargate-cost.js";
import { outputOf, type ProgramPlace, runProgramHere } from "../../deploy/outer-program.js";
import { readStack, type Stack } from "../../deploy/stack.js";
import { fetchLogs } from "../../deploy/stack-logs.js";
import { fetchKeys, StackTunnel } from "../../deploy/stack-reach.js";
import { readStatus } from "../../deploy/stack-status.js";
import { PacelineError, toPacelineError } from "../../errors.js";
import { isLocked, lockFolder } from "../../store/runs/folder-lock.js";
import { type PlannedCell, planSuite } from "../../study/suite-book.js";
import { adminTransport } from "../admin-transport.js";
import { ServedCluster } from "../jobs/served-cluster.js";
import { onSignals, signalExitCode } from "../signals.js";
import type { Call } from "./command-plan.js";
import { runOnCluster } from "./experiments-cluster.js";
import { readSuite, type Suite, writeReport } from "./experiments-suite.js";

/** What the command is called with. */
export interface AwsExperiments {
  readonly matrix: string;
  readonly call: Pick<Call, "flags" | "options" | "io">;
  readonly place: ProgramPlace & { readonly folder: string };
  /** As terraform takes them. */
  readonly variables: readonly string[];
}

/** The members that a stack has, or is to have. */
interface Size {
  readonly workers: number;
  readonly servers: number;
}

/** The most that terraform/ makes. */
const sizeMax: Size = { workers: 32, servers: 16 };
const variableOf = { workers: "worker_count", servers: "parameter_server_count" } as const;

/** Runs the command; resolves to the exit code. */
export async function awsExperiments(asked: AwsExperiments): Promise<number> {
  const { call, matrix } = asked;
  const { flags, io } = call;
  if (flags.keep !== true && flags.yes !== true && process.stdin.isTTY !== true) {
    const sentence = "nobody is there to be asked whether the cluster goes in the end";
    throw usage(`${sentence}; add --yes, or --keep to leave it up`);
  }
  const suite = await readSuite(matrix, call, true);
  const planned = await planSuite(suite);
  await demandRunnable(suite, planned);
  const left = planned.filter(({ decision: { kind } }) => kind !== "skip" && kind !== "leave");
  const need = needOf(left, asked.variables);
  // Whatever is missing here is found before anything is made.
  if (need !== null) await outputOf("session-manager-plugin", ["--version"], asked.place);
  let signal: NodeJS.Signals | null = null;
  const release = onSignals((one) => {
    signal ??= one;
  });
  const loop = new ExperimentLoop(asked, suite, () => signal !== null);
  try {
    const code = need === null ? nothingToRun(planned, io) : await loop.run(left, need);
    if (signal === null && (code === 0 || code === 1)) return await loop.finish(code);
    await loop.tellStillUp();
    return signal === null ? code : signalExitCode(signal);
  } catch (thrown) {
    await loop.tellStillUp();
    if (signal === null) throw thrown;
    return signalExitCode(signal);
  } finally {
    release();
  }
}

/** @throws PacelineError `usage` for what would forbid to run the suite once the stack is made. */
async function demandRunnable({ folder }: Suite, planned: readonly PlannedCell[]): Promise<void> {
  const blocked = planned.find(({ decision }) => decision.kind === "blocked");
  if (blocked !== undefined) {
    throw usage(`${blocked.cell.name} can't be run: ${blocked.decision.reason}`);
  }
  if (await isLocked(folder.path)) await (await lockFolder(folder.path)).release();
}

/** The exit code where every cell is done, or has failed before. */
function nothingToRun(planned: readonly PlannedCell[], io: Call["io"]): number {
  const failed = planned.filter(({ decision }) => decision.kind === "leave");
  const names = failed.map(({ cell }) => cell.name).join(", ");
  const besides = failed.length === 0 ? "" : `, --retry-failed runs ${names} again`;
  io.stderr.write(`nothing is left to run${besides}\n`);
  return failed.length === 0 ? 0 : 1;
}

/** What the cells that are left need; null where none is. */
function needOf(left: readonly PlannedCell[], variables: readonly string[]): Size | null {
  if (left.length === 0) return null;
  const facts = left.map(({ cell }) => ({ ...cell.facts, name: cell.name }));
  const need = {
    workers: Math.max(...facts.map(({ workersAtStart }) => workersAtStart)),
    servers: Math.max(...facts.map(({ servers }) => servers)),
  };
  for (const kind of ["workers", "servers"] as const) {
    if (need[kind] > sizeMax[kind]) {
      const sentence = `a cell needs ${need[kind]} ${kind}, and terraform/ makes ${sizeMax[kind]}`;
      throw usage(`${sentence}; leave it out of the matrix`);
    }
    const given = setTo(variables, variableOf[kind]);
    if (given === null || Number(given) >= need[kind]) continue;
    const sentence = `--var ${variableOf[kind]}=${given} is less than the ${need[kind]} of a cell`;
    throw usage(`${sentence}; leave it out, and the cluster is made for the largest cell`);
  }
  return need;
}

/** What a variable is set to on the command line; the last one counts. */
function setTo(variables: readonly string[], name: string): string | null {
  const start = `-var=${name}=`;
  return variables.findLast((text) => text.startsWith(start))?.slice(start.length) ?? null;
}

/** How long a coordinator may take to answer, once the stack is there. */
const answerLimitMs = 600_000;
/** A task that has begun takes no sessions for some seconds. */
const sessionLimitMs = 120_000;
const askAgainMs = 1000;

class ExperimentLoop {
  readonly #asked: AwsExperiments;
  readonly #suite: Suite;
  readonly #isStopped: () => boolean;
  /** Jobs that are not the suite's, and were on when it had ended. */
  #others: readonly string[] = [];

  constructor(asked: AwsExperiments, suite: Suite, isStopped: () => boolean) {
    this.#asked = asked;
    this.#suite = suite;
    this.#isStopped = isStopped;
  }

  /** Makes the stack where it lacks something, and runs the suite; resolves to its exit code. */
  async run(left: readonly PlannedCell[], need: Size): Promise<number> {
    if (!(await this.#isUp(need))) {
      await this.#script("deploy.sh", this.#deployWords(need));
    }
    const { place } = this.#asked;
    await this.#fetchData(left);
    if (this.#isStopped()) return 1;
    const stack = await readStack(place);
    const keys = await fetchKeys(stack, place);
    const tunnel = await StackTunnel.to(stack, place);
    const { options } = this.#asked.call;
    const { tls, tokenFile } = keys;
    const transport = adminTransport({ ...options, tls, tokenFile });
    try {
      const find = async () => {
        const known = tunnel.problem?.message;
        await tunnel.keepOpen();
        const { problem, address } = tunnel;
        // Credentials that have expired, for instance, which somebody may renew meanwhile.
        if (problem !== null && problem.message !== known) this.#log(problem.message);
        return address;
      };
      await this.#untilItServes(tunnel, (address) => transport.jobs(address, ""));
      if (this.#isStopped()) return 1;
      const { address } = tunnel;
      const { call } = this.#asked;
      const cluster = new ServedCluster({ transport, address, find, io: call.io }, stack.name);
      // The one object of --json is the report's.
      const told = { ...call, options: { ...options, json: false } };
      const code = await runOnCluster(this.#suite, told, cluster);
      if (!this.#isStopped()) this.#others = await jobsOn(cluster);
      return code;
    } finally {
      await transport.close();
      tunnel.close();
      await keys.forget();
    }
  }

  /** Fetches logs, writes the report, and removes the stack unless it is to stay. */
  async finish(code: number): Promise<number> {
    const { call, variables } = this.#asked;
    const stack = await this.#stackThere();
    const hasLogs = stack !== null && (await this.#fetchLogs(stack));
    await writeReport(this.#suite, call);
    if (stack === null) return code;
    if (this.#others.length > 0) {
      this.#log(`it is left up: other jobs are on, ${this.#others.join(", ")}`);
    }
    if (call.flags.keep === true || this.#others.length > 0) {
      await this.tellStillUp();
      return code;
    }
    const yes = call.flags.yes === true ? ["--yes"] : [];
    await this.#script("destroy.sh", [...yes, ...(hasLogs ? ["--no-logs"] : []), ...variables]);
    return code;
  }

  /** Says what stands, what that costs, and how to go on or to remove it. */
  async tellStillUp(): Promise<void> {
    const { place, matrix } = this.#asked;
    const again = `the same command goes on with ${matrix}`;
    const stack = await this.#stackThere().catch((thrown: unknown) => toPacelineError(thrown));
    if (stack instanceof PacelineError) {
      this.#log(`whether a stack is still up can't be seen: ${stack.message}`);
      this.#log(`  paceline aws status tells it; ${again}`);
      return;
    }
    if (stack === null) {
      this.#log(`no stack is up; ${again}`);
      return;
    }
    const cost = await readStatus(stack, place).then(
      (status) => `${costPerHour(status.cost).toFixed(2)} USD an hour`,
      () => "by the hour",
    );
    this.#log(`${stack.name} is still up in ${stack.region}, and costs ${cost}`);
    this.#log(`  ${again}; paceline aws down removes the stack`);
  }

  /** True where a stack stands that the suite can run on. */
  async #isUp({ workers, servers }: Size): Promise<boolean> {
    const stack = await this.#stackThere();
    if (stack === null) return false;
    const { running } = await readStatus(stack, this.#asked.place);
    const count = (wanted: string) =>
      running.filter(({ role, state }) => role === wanted && state === "RUNNING").length;
    const there = { workers: count("worker"), servers: count("server") };
    const isEnough = there.workers >= workers && there.servers >= servers;
    if (count("coordinator") === 0 || !isEnough) return false;
    const size = `${there.workers} workers and ${there.servers} servers`;
    this.#log(`${stack.name} is up, with ${size}: it is taken as it is`);
    return true;
  }

  #deployWords(need: Size): string[] {
    const { variables, call } = this.#asked;
    const isScaled = setTo(variables, "worker_max_count") !== null;
    const own = (["workers", "servers"] as const).flatMap((kind) => {
      const isGiven = setTo(variables, variableOf[kind]) !== null;
      if (isGiven || (kind === "workers" && isScaled)) return [];
      return [`-var=${variableOf[kind]}=${need[kind]}`];
    });
    const build = call.flags.build === false ? ["--no-build"] : [];
    return [...variables, ...own, "--no-run", ...build];
  }

  /** Published data sets come to the run store once, before any worker looks for them. */
  async #fetchData(left: readonly PlannedCell[]): Promise<void> {
    if (setTo(this.#asked.variables, "data_dir") !== null) return;
    const fresh = left.filter(({ decision: { kind } }) => kind !== "follow" && kind !== "collect");
    const names = new Set(fresh.map(({ cell }) => cell.facts.data ?? ""));
    for (const name of names) {
      if (isBuiltIn(name)) await this.#script("run.sh", ["--fetch", name, "--wait"]);
    }
  }

  async #untilItServes(
    tunnel: StackTunnel,
    ask: (address: string) => Promise<unknown>,
  ): Promise<void> {
    const beganMs = performance.now();
    let told = "";
    while (!this.#isStopped()) {
      await tunnel.keepOpen();
      try {
        await ask(tunnel.address);
        return;
      } catch (thrown) {
        const error = toPacelineError(thrown);
        if (!error.retryable) throw error;
        const why = tunnel.problem ?? error;
        const limitMs = why.retryable ? answerLimitMs : sessionLimitMs;
        if (performance.now() - beganMs > limitMs) throw why;
        const text = tunnel.problem?.message ?? "waiting until the coordinator answers";
        if (text !== told) this.#log(text);
        told = text;
      }
      await sleep(askAgainMs);
    }
  }

  async #fetchLogs(stack: Stack): Promise<boolean> {
    const folder = join(this.#suite.folder.path, "logs");
    const all = { role: null, since: null, filter: null };
    try {
      const { length } = await fetchLogs(stack, all, folder, this.#asked.place, Date.now());
      this.#log(`logs of ${length} tasks are in ${folder}`);
      return true;
    } catch (thrown) {
      this.#log(`logs could not be fetched: ${toPacelineError(thrown).message}`);
      return false;
    }
  }

  /** Null where none is made. */
  async #stackThere(): Promise<Stack | null> {
    try {
      return await readStack(this.#asked.place);
    } catch (thrown) {
      const error = toPacelineError(thrown);
      if (error.code === "usage" && /no stack is made/.test(error.message)) return null;
      throw error;
    }
  }

  /** Runs a script of terraform/ unless the command is stopped. @throws where it fails. */
  async #script(name: string, words: readonly string[]): Promise<void> {
    if (this.#isStopped()) return;
    const { place, call } = this.#asked;
    const tell = (text: string) => void call.io.stderr.write(text);
    const path = join(place.folder, name);
    const code = await runProgramHere(path, words, place, { out: tell, err: tell });
    if (code === 0) return;
    throw new PacelineError("refused", `${name} ended with exit code ${code}: see above`);
  }

  #log(line: string): void {
    this.#asked.call.io.stderr.write(`${line}\n`);
  }
}

/** The names of jobs that have not ended. */
async function jobsOn(cluster: ServedCluster): Promise<string[]> {
  const jobs = [...(await cluster.jobs()).values()];
  const on = jobs.filter(({ state }) => state === "queued" || state === "running");
  return on.map(({ name }) => name);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

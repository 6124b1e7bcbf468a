/**
 * `paceline train`: coordinator, servers and workers on this machine. This process coordinates and
 * supervises; the members are its children and end with it.
 */

import { loadDataset } from "../../data/dataset.js";
import { codeOfExit, PacelineError } from "../../errors.js";
import type { CommandIo, Injection, ResolvedOptions } from "../../options/resolved-options.js";
import type { MemberRole } from "../../protocol/identity.js";
import {
  type BegunRun,
  CoordinatorProcess,
  signalExitCode,
} from "../../runtime/coordinator-process.js";
import { lastWordsIn } from "../../runtime/process/last-words.js";
import { memberFlags, threadsOfEach } from "../../runtime/process/member-process.js";
import { onSignals } from "../../runtime/process/signals.js";
import { type MemberExit, Supervisor } from "../../runtime/process/supervisor.js";
import { RunTrace } from "../../runtime/trace/process-trace.js";
import { createMemberTransport } from "../../transport/frames/member-transport.js";
import { dryRun } from "./dry-run.js";

/** Runs the command; resolves to the exit code. */
export async function train(options: ResolvedOptions, io: CommandIo): Promise<number> {
  if (options.dryRun) return dryRun(options, io);
  const { dataDir, cacheDir, trainLimit, testLimit } = options;
  const log = (line: string) => void (options.quiet || io.stderr.write(`${line}\n`));
  // Read whole: what is wrong with a file is told before there is a process or a folder.
  const place = { dataDir, cacheDir, trainLimit, testLimit, log };
  if (options.feed !== "central") (await loadDataset(options.data ?? "", place)).close?.();
  const transport = createMemberTransport({ ioTimeoutMs: options.ioTimeoutMs });
  const here = { ...options, host: "127.0.0.1" };
  const coordinator = new CoordinatorProcess({
    options: here,
    io,
    transport,
    serve: false,
    speaksForWorkers: true,
  });
  let members: Members | null = null;
  let trace: RunTrace | null = null;
  const release = onSignals((signal) => {
    if (coordinator.interrupt(signal)) return;
    members?.killAll();
    process.exit(signalExitCode(signal));
  });
  try {
    const address = await coordinator.listen();
    return await coordinator.carryOut(here, io.configText, (run) => {
      if (options.trace) trace = new RunTrace(run.directory.path);
      members = new Members(here, io, coordinator, { address, run, trace });
    });
  } finally {
    await (members as Members | null)?.stop();
    await (trace as RunTrace | null)?.join((text) => io.stderr.write(`${text}\n`));
    release();
    await coordinator.close();
  }
}

/** Phases of the coordinator in which a worker that died is wanted again. */
const runningPhases: ReadonlySet<string> = new Set(["forming", "preparing", "training"]);

/** Where members find the run, and what they leave. */
interface RunPlace {
  readonly address: string;
  readonly run: BegunRun;
  readonly trace: RunTrace | null;
}

/** The children: servers and workers of one run. */
class Members {
  readonly #supervisor: Supervisor;
  readonly #coordinator: CoordinatorProcess;
  readonly #logPath: (role: MemberRole, rank: number) => string;
  readonly #injections: Injection[];
  readonly #watch: NodeJS.Timeout;

  constructor(
    options: ResolvedOptions,
    io: CommandIo,
    coordinator: CoordinatorProcess,
    { address, run, trace }: RunPlace,
  ) {
    this.#coordinator = coordinator;
    this.#logPath = (role, rank) => run.directory.logPath(role, rank);
    this.#injections = [...options.inject];
    this.#supervisor = new Supervisor({
      entry: process.argv[1]!,
      flags: memberFlags(options.transport),
      argumentsOf: (role, rank) => [
        ...memberArguments(role, rank, options, address),
        ...(trace?.argumentsOf(role, rank) ?? []),
      ],
      environment: io.environment,
      threads: threadsOfEach(options.servers + options.workers.max),
      logPath: this.#logPath,
      maxRestarts: options.maxRestarts,
      mayRestart: () => runningPhases.has(coordinator.host.snapshot().phase),
      onExit: (exit) => this.#onExit(exit),
    });
    for (let index = 0; index < options.servers; index++) this.#supervisor.start("server", index);
    for (let rank = 0; rank < options.workers.max; rank++) this.#supervisor.start("worker", rank);
    this.#watch = setInterval(() => this.#inject(), 20);
  }

  killAll(): void {
    this.#supervisor.killAll();
  }

  async stop(): Promise<void> {
    clearInterval(this.#watch);
    await this.#supervisor.stop();
  }

  #onExit(exit: MemberExit): void {
    const { role, rank, pid, restarts } = exit;
    const how = exit.signal ?? `exit code ${exit.code}`;
    const said =
      exit.signal === null && exit.code !== 0 ? lastWordsIn(this.#logPath(role, rank)) : "";
    const why = exit.injected ? ", as injected" : restarts ? ", is started again" : "";
    const reason = exit.problem ?? `(pid ${pid}) ended with ${how}${why}${said && `: ${said}`}`;
    const code = said === "" ? null : codeOfExit(exit.code);
    this.#coordinator.host.tell({ type: "exited", role, rank, pid, reason, restarts, code });
  }

  /** Kills members whose moment has come. */
  #inject(): void {
    if (this.#injections.length === 0) return;
    const { members, phase } = this.#coordinator.host.snapshot();
    if (phase !== "training") return;
    const step = Math.max(0, ...members.map((member) => member.worker?.clock ?? 0));
    for (const injection of [...this.#injections]) {
      if (step < injection.at) continue;
      this.#injections.splice(this.#injections.indexOf(injection), 1);
      this.#supervisor.kill(injection.role, injection.rank);
    }
  }
}

function memberArguments(
  role: MemberRole,
  rank: number,
  options: ResolvedOptions,
  address: string,
): string[] {
  const shared = ["--coordinator", address, "--rank", `${rank}`];
  // Said even where it is the default: members see the environment too.
  const ways = [
    ...[`--io-timeout=${options.ioTimeoutMs}ms`, `--transport=${options.transport}`],
    `--kernels=${options.kernels}`,
  ];
  if (role === "server") return ["server", ...shared, ...ways, "--port", "0"];
  if (options.cacheDir === "") throw new PacelineError("usage", "--cache-dir is empty");
  ways.push(`--threads=${options.threads ?? "none"}`);
  if (options.feed === "central") return ["worker", ...shared, ...ways];
  const data = ["--cache-dir", options.cacheDir];
  if (options.dataDir !== null) data.push("--data-dir", options.dataDir);
  return ["worker", ...shared, ...ways, ...data];
}

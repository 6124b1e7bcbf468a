/**
 * `paceline train`: coordinator, servers and workers on this machine. This process only supervises:
 * the coordinator and the members are its children and end with it.
 */

import { loadDataset } from "../../data/dataset.js";
import { codeOfExit, PacelineError } from "../../errors.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import type { MemberRole } from "../../protocol/identity.js";
import {
  faultText,
  type InjectedFault,
  isStraggler,
  isSudden,
} from "../../protocol/injected-fault.js";
import { lastWordsIn } from "../../runtime/process/last-words.js";
import { memberFlags, threadsOfEach } from "../../runtime/process/member-process.js";
import { type MemberExit, Supervisor } from "../../runtime/process/supervisor.js";
import { RunTrace } from "../../runtime/trace/process-trace.js";
import { withoutSecret } from "../../store/remote/remote-store.js";
import { CoordinatorChild, type RunPlace } from "../coordinator-child.js";
import { MemberLogs } from "../member-logs.js";
import { demandStartable } from "../run-demands.js";
import { onSignals, signalExitCode } from "../signals.js";
import type { MemberWord, SupervisorWord } from "../supervised.js";

/** How long members may take to end when the user does not wait for a checkpoint. */
const quitLimitMs = 1000;

/** Runs the command; resolves to the exit code. */
export async function train(options: ResolvedOptions, io: CommandIo): Promise<number> {
  const coordinator = new CoordinatorChild(io.environment);
  let members: Members | null = null;
  let signals = 0;
  let hasBegun = false;
  let quit: NodeJS.Signals | null = null;
  const release = onSignals((signal) => {
    signals += 1;
    if (hasBegun && signals === 1) return coordinator.interrupt(signal);
    coordinator.killForGood();
    quit = signal;
    // Members have a moment to remove their sockets.
    if (members !== null && signals === 2) return void members.stop(quitLimitMs);
    members?.killAll();
    process.exit(signalExitCode(signal));
  });
  try {
    demandStartable(options);
    await demandData(options, io);
    hasBegun = true;
    const here = { ...options, host: "127.0.0.1" };
    const exitCode = await coordinator.carryOut(here, io, {
      onPrepared: (place) => {
        members = new Members(here, io, coordinator, place);
      },
      onFault: ({ fault, step }) => members?.suffer(fault, step, coordinator.pid),
    });
    (members as Members | null)?.tellOfFaultsLeft();
    return exitCode;
  } catch (thrown) {
    // Who stops at once needs not be told that the coordinator is gone.
    if (quit === null) throw thrown;
    return signalExitCode(quit);
  } finally {
    await (members as Members | null)?.stop();
    release();
    await coordinator.close();
  }
}

/** Reads it whole: what is wrong with a file is told before there is a folder. */
async function demandData(options: ResolvedOptions, io: CommandIo): Promise<void> {
  if (options.feed === "central") return;
  const { dataDir, cacheDir, trainLimit, testLimit } = options;
  const log = (line: string) => void (options.quiet || io.stderr.write(`${line}\n`));
  const place = { dataDir, cacheDir, trainLimit, testLimit, log };
  (await loadDataset(options.data ?? "", place)).close?.();
}

/** The children that are members: servers and workers of one run. */
class Members {
  readonly #supervisor: Supervisor;
  readonly #coordinator: CoordinatorChild;
  readonly #io: CommandIo;
  readonly #logs: MemberLogs;
  readonly #trace: RunTrace | null;
  #faults: readonly InjectedFault[];

  constructor(
    options: ResolvedOptions,
    io: CommandIo,
    coordinator: CoordinatorChild,
    { address, path }: RunPlace,
  ) {
    this.#coordinator = coordinator;
    this.#io = io;
    this.#logs = new MemberLogs(path);
    this.#faults = options.inject;
    const trace = options.trace ? new RunTrace(path) : null;
    this.#trace = trace;
    this.#supervisor = new Supervisor({
      entry: process.argv[1]!,
      flags: memberFlags(options.transport),
      argumentsOf: (role, rank) => [
        ...memberArguments(role, rank, options, address),
        ...(trace?.argumentsOf(role, rank) ?? []),
      ],
      environment: environmentOf(options, io),
      threads: threadsOfEach(options.servers.min + options.workers.max),
      logPath: (role, rank) => this.#logs.pathOf(role, rank),
      maxRestarts: options.maxRestarts,
      restartsServers: options.replicas > 1 || options.serverGraceMs > 0,
      mayRestart: () => coordinator.wantsWorkers,
      greeting: (role, rank) => this.#faultsOf(role, rank),
      onWord: (role, rank, word) => {
        const { type, fault, step } = word as MemberWord;
        if (type === "recovers") this.#recovered(fault, step);
        const member = this.#supervisor
          .pids()
          .find((one) => one.role === role && one.rank === rank);
        if (type === "suffers" && member !== undefined) this.suffer(fault, step, member.pid);
      },
      onExit: (exit) => this.#onExit(exit),
    });
    const { servers } = options;
    for (let index = 0; index < servers.min; index++) this.#supervisor.start("server", index);
    for (let rank = 0; rank < options.workers.max; rank++) this.#supervisor.start("worker", rank);
  }

  /** Brings an injected fault upon a process whose step has come, as it says. */
  suffer(fault: InjectedFault, step: number, pid: number): void {
    const { kind, role, rank, forMs } = fault;
    this.#faults = this.#faults.filter((one) => faultText(one) !== faultText(fault));
    const name = role === "coordinator" ? role : `${role}-${rank}`;
    this.#io.stderr.write(`${name} (pid ${pid}) suffers ${faultText(fault)} at step ${step}\n`);
    if (role === "coordinator") {
      if (kind === "kill") this.#coordinator.kill();
    } else if (kind === "kill") {
      this.#supervisor.kill(role, rank);
    } else if (kind === "pause") {
      this.#supervisor.pause(role, rank, forMs ?? 0);
      this.#coordinator.wakesAtEnd(pid);
    }
  }

  #recovered(fault: InjectedFault, step: number): void {
    const name = `${fault.role}-${fault.rank}`;
    this.#io.stderr.write(`${name} is prompt again from step ${step} on: ${faultText(fault)}\n`);
  }

  /** Says which faults did not happen. */
  tellOfFaultsLeft(): void {
    for (const fault of this.#faults) {
      this.#io.stderr.write(`--inject ${faultText(fault)} did not happen\n`);
    }
  }

  #faultsOf(role: MemberRole, rank: number): SupervisorWord | null {
    const sudden = this.#faults.filter(isSudden);
    const faults = sudden.filter((one) => one.role === role && one.rank === rank);
    return faults.length === 0 ? null : { type: "suffer", faults };
  }

  killAll(): void {
    this.#supervisor.killAll();
  }

  /** @param limitMs how long members may take; the supervisor's if left out. */
  async stop(limitMs?: number): Promise<void> {
    await this.#supervisor.stop(limitMs);
    await this.#logs.keep((text) => this.#io.stderr.write(`${text}\n`));
    await this.#trace?.join((text) => this.#io.stderr.write(`${text}\n`));
  }

  #onExit(exit: MemberExit): void {
    const { role, rank, pid, restarts } = exit;
    const how = exit.signal ?? `exit code ${exit.code}`;
    const hasWords = exit.signal === null && exit.code !== 0;
    const said = hasWords ? lastWordsIn(this.#logs.pathOf(role, rank)) : "";
    const why = `${exit.injected ? ", as injected" : ""}${restarts ? ", is started again" : ""}`;
    const reason = exit.problem ?? `(pid ${pid}) ended with ${how}${why}${said && `: ${said}`}`;
    const code = said === "" ? null : codeOfExit(exit.code);
    this.#coordinator.memberExited({ role, rank, pid, reason, restarts, code });
  }
}

/** What stands on a command line others can read: a password goes by the environment. */
function environmentOf({ dataDir }: ResolvedOptions, { environment }: CommandIo) {
  return dataDir !== null && hasSecret(dataDir)
    ? { ...environment, PACELINE_DATA_DIR: dataDir }
    : environment;
}

function hasSecret(place: string): boolean {
  return withoutSecret(place) !== place;
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
    `--coordinator-grace=${options.coordinatorGraceMs}ms`,
    `--kernels=${options.kernels}`,
    ...[`--tls=${options.tls ?? "none"}`, `--token-file=${options.tokenFile ?? "none"}`],
  ];
  // Variables of roles are of those that are started alone: here members are of this machine.
  ways.push("--health-socket=none");
  if (role === "server") {
    const place = ["--host", "127.0.0.1", "--port", "0", "--advertise", "none", "--no-insecure"];
    return ["server", ...shared, ...ways, ...place];
  }
  if (options.cacheDir === "") throw new PacelineError("usage", "--cache-dir is empty");
  const stragglers = options.inject.filter((one) => isStraggler(one) && one.rank === rank);
  ways.push(`--inject=${stragglers.map(faultText).join(";")}`);
  ways.push(`--threads=${options.threads ?? "none"}`);
  if (options.feed === "central") return ["worker", ...shared, ...ways];
  const data = ["--cache-dir", options.cacheDir];
  const { dataDir } = options;
  if (dataDir !== null && !hasSecret(dataDir)) data.push("--data-dir", dataDir);
  return ["worker", ...shared, ...ways, ...data];
}

/**
 * `paceline up`: a run on several hosts, watched from here. The coordinator comes first, and once
 * it listens the members; when it has ended the members are waited for, told to end, and killed,
 * in this order; in the end no host has anything left but the run's folder on the coordinator's.
 */
import { randomBytes } from "node:crypto";
import { codeOfExit, errorCodes } from "../../errors.js";
import type { Clock } from "../../host/clock.js";
import { onSignals, signalExitCode } from "../signals.js";
import type { HostProcess } from "./host-commands.js";
import { type RemoteEnd, RemoteProcess, type RemoteSignal } from "./remote-process.js";
import type { Ssh } from "./ssh.js";

/** What a run on hosts needs. */
export interface UpSetup {
  readonly processes: readonly HostProcess[];
  readonly ssh: Ssh;
  /** How long processes go on while this one is not heard of. */
  readonly graceSeconds: number;
  readonly clock: Clock;
  /** A line that a process said, behind its name. */
  onLine(line: string): void;
  /** What there is to say from here. */
  onNote(text: string): void;
}

/** How long members may take once their coordinator has ended, and then once they are told. */
const membersEndMs = 15_000;
const toldEndMs = 35_000;
const killedEndMs = 5000;
const listens = /coordinator listens on/;
const begins = /training starts with/;

/** Carries out a run; resolves to the coordinator's exit code, or why there is none. */
export async function runOnHosts(setup: UpSetup): Promise<number> {
  const run = new UpRun(setup);
  const release = onSignals((signal) => run.onSignal(signal));
  try {
    return await run.carryOut();
  } finally {
    release();
    await run.close();
  }
}

class UpRun {
  readonly #setup: UpSetup;
  readonly #id = randomBytes(6).toString("hex");
  readonly #remotes: RemoteProcess[] = [];
  readonly #width: number;
  #signalled: NodeJS.Signals | null = null;
  #signals = 0;
  #hasBegun = false;
  /** Of a member without which the run was given up. */
  #failedWith: number | null = null;
  #listening: () => void = () => {};
  #stop: (reason: string) => void = () => {};
  readonly #stopped: Promise<string>;

  constructor(setup: UpSetup) {
    this.#setup = setup;
    this.#width = Math.max(...setup.processes.map((one) => labelOf(one).length));
    this.#stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  async carryOut(): Promise<number> {
    const [first, ...members] = this.#setup.processes as [HostProcess, ...HostProcess[]];
    const listening = new Promise<void>((resolve) => {
      this.#listening = resolve;
    });
    const coordinator = await this.#start(first);
    await Promise.race([listening, coordinator.ended]);
    // One after the other on a host: its sshd turns many away that come at a time.
    const byHost = grouped(members);
    await Promise.all([...byHost.values()].map((own) => this.#startAll(own, coordinator)));
    const end = await Promise.race([coordinator.ended, this.#stopped]);
    if (typeof end === "string") this.#tell(end);
    if (!coordinator.isOver) await this.#endOf([coordinator], "INT", toldEndMs);
    const code = await this.#codeOf(coordinator);
    await this.#settle(membersEndMs);
    return code;
  }

  /** The first signal has the coordinator save and end the run, a second one ends all at once. */
  onSignal(signal: NodeJS.Signals): void {
    this.#signals += 1;
    this.#signalled = signal;
    const [coordinator] = this.#remotes;
    if (this.#signals === 1) {
      this.#tell(`${signal}: the coordinator saves and ends the run; once more ends it at once`);
      coordinator?.signal("INT");
      if (coordinator === undefined) this.#stop(`${signal} before anything was started`);
      return;
    }
    this.#tell(`${signal}: everything is ended at once`);
    for (const remote of this.#remotes) remote.signal(this.#signals === 2 ? "TERM" : "KILL");
  }

  /** Ends what still runs, and removes what keepers have. */
  async close(): Promise<void> {
    await this.#endOf(this.#running(), "TERM", toldEndMs);
    await this.#endOf(this.#running(), "KILL", killedEndMs);
    await Promise.all(this.#remotes.map((remote) => remote.close()));
  }

  async #startAll(own: readonly HostProcess[], coordinator: RemoteProcess): Promise<void> {
    for (const one of own) {
      if (coordinator.isOver || this.#signals > 0 || this.#failedWith !== null) return;
      await this.#start(one).catch((cause: Error) => this.#stop(cause.message));
    }
  }

  async #start(what: HostProcess): Promise<RemoteProcess> {
    const { ssh, graceSeconds, clock, onLine } = this.#setup;
    const label = labelOf(what).padEnd(this.#width);
    const remote = new RemoteProcess({
      ...{ ssh, graceSeconds, clock, host: what.host, name: what.name, command: what.command },
      state: `/tmp/paceline-up-${this.#id}-${what.name}`,
      onLine: (line) => {
        if (what.role === "coordinator" && listens.test(line)) this.#listening();
        if (what.role === "coordinator" && begins.test(line)) this.#hasBegun = true;
        onLine(`${label} | ${line}`);
      },
      onNote: (text) => this.#tell(`${labelOf(what)}: ${text}`),
    });
    this.#remotes.push(remote);
    void remote.ended.then((end) => this.#onEnd(what, end));
    await remote.started;
    if (this.#signals > 0) remote.signal("INT");
    return remote;
  }

  /** A member that fails before training begins would let all others wait in vain. */
  #onEnd(what: HostProcess, { exitCode, reason }: RemoteEnd): void {
    if (exitCode === 0 || (this.#failedWith !== null && what.role === "coordinator")) return;
    const how = reason ?? `ended with exit code ${exitCode}`;
    if (this.#signals === 0 || exitCode === null) this.#tell(`${labelOf(what)}: ${how}`);
    if (what.role === "coordinator" || this.#hasBegun || this.#signals > 0) return;
    this.#failedWith ??= exitCode ?? errorCodes.unavailable.exitCode;
    this.#stop("the run is given up, as not all of it could be started");
  }

  async #codeOf(coordinator: RemoteProcess): Promise<number> {
    if (this.#failedWith !== null) return this.#failedWith;
    if (!coordinator.isOver) return errorCodes.unavailable.exitCode;
    const { exitCode } = await coordinator.ended;
    if (exitCode === null) return errorCodes.unavailable.exitCode;
    if (this.#signalled === null) return exitCode;
    const isOwn = exitCode !== 0 && codeOfExit(exitCode) !== null;
    return exitCode === 0 || isOwn ? exitCode : signalExitCode(this.#signalled);
  }

  async #settle(limitMs: number): Promise<void> {
    await this.#untilOver(this.#running(), limitMs);
  }

  #running(): RemoteProcess[] {
    return this.#remotes.filter(({ isOver }) => !isOver);
  }

  async #endOf(
    remotes: readonly RemoteProcess[],
    signal: RemoteSignal,
    limitMs: number,
  ): Promise<void> {
    if (remotes.length === 0) return;
    for (const remote of remotes) remote.signal(signal);
    await this.#untilOver(remotes, limitMs);
  }

  async #untilOver(remotes: readonly RemoteProcess[], limitMs: number): Promise<void> {
    let late: () => void = () => {};
    const limit = new Promise<void>((resolve) => {
      late = resolve;
    });
    const timer = this.#setup.clock.after(limitMs, late);
    await Promise.race([Promise.all(remotes.map(({ ended }) => ended)), limit]);
    timer.cancel();
  }

  #tell(text: string): void {
    this.#setup.onNote(text);
  }
}

function labelOf({ name, host }: HostProcess): string {
  return `${name}@${host.address}`;
}

function hostOf({ host }: HostProcess): string {
  return host.where;
}

function grouped(members: readonly HostProcess[]): Map<string, HostProcess[]> {
  const byHost = new Map<string, HostProcess[]>();
  for (const one of members) byHost.set(hostOf(one), [...(byHost.get(hostOf(one)) ?? []), one]);
  return byHost;
}

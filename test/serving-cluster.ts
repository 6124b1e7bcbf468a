/**
 * A cluster that serves, as real processes: a coordinator with a queue, which a test ends and
 * starts again, servers and workers that come and go, and jobs that are submitted to it.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import type { JobSummary } from "../dist/protocol/run-events.js";
import { freePort, type Place, type RunningCommand, until } from "./run-paceline.js";

/** What every job trains on. */
export const work = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8", "--eval-every", "none"],
];

/** A cluster by hand: a coordinator that serves, and its members. */
export class Cluster {
  readonly place: Place;
  readonly port: number;
  coordinator: RunningCommand;
  readonly members: RunningCommand[] = [];
  readonly #words: readonly string[];

  constructor(place: Place, port: number, words: readonly string[]) {
    this.place = place;
    this.port = port;
    this.#words = words;
    this.coordinator = this.start();
  }

  get reach(): string[] {
    return ["--coordinator", `127.0.0.1:${this.port}`];
  }

  /** Starts a coordinator, also in the place of one that has ended. */
  start(): RunningCommand {
    const words = ["coordinator", "--serve", "--port", `${this.port}`, ...this.#words];
    this.coordinator = this.place.start(words);
    return this.coordinator;
  }

  add(role: "server" | "worker", count = 1): RunningCommand[] {
    const added = Array.from({ length: count }, () => this.place.start([role, ...this.reach]));
    this.members.push(...added);
    return added;
  }

  async submit(name: string, ...words: string[]): Promise<void> {
    const command = ["submit", ...this.reach, ...work, "--name", name, ...words];
    const { exitCode, out, err } = await this.place.call(command);
    assert.deepEqual({ exitCode, out }, { exitCode: 0, out: `${name}\n` }, err);
  }

  async jobs(): Promise<JobSummary[]> {
    const command = ["jobs", "ls", ...this.reach, "--json"];
    const { exitCode, out, err } = await this.place.call(command);
    if (exitCode !== 0) throw new Error(err);
    return JSON.parse(out);
  }

  /** Waits until a job is in a state. */
  state(name: string, state: string, limitMs?: number): Promise<JobSummary> {
    const ask = async () => {
      const jobs = await this.jobs().catch(() => []);
      const job = jobs.find((one) => one.name === name);
      return job?.state === state && job;
    };
    // Each question is a whole command, which takes time from the jobs.
    return until(`job ${name} is ${state}`, ask, limitMs, 200).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.coordinator.told()}`);
    });
  }

  /** Ends all of it by signals. */
  async end(): Promise<void> {
    this.coordinator.kill("SIGTERM");
    assert.equal((await this.coordinator.end()).exitCode, 143, this.coordinator.told());
    for (const member of this.members) if (!member.isOver) member.kill("SIGTERM");
    for (const member of this.members) await member.end();
    assert.deepEqual(await this.place.leftovers(), []);
  }
}

/** Starts a coordinator that serves; resolves once it listens. */
export async function serve(place: Place, ...words: string[]): Promise<Cluster> {
  const cluster = new Cluster(place, await freePort(), words);
  await cluster.coordinator.waitFor(/^coordinator listens on/m);
  return cluster;
}

/** What a process holds; nothing without /proc. */
export interface Usage {
  /** Open descriptors. */
  readonly files: number;
  /** Resident memory. */
  readonly kilobytes: number;
}

/** What a process holds at this moment. */
export async function usageOf(pid: number): Promise<Usage> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const [, kilobytes = "0"] = /^VmRSS:\s+(\d+)/m.exec(status) ?? [];
  return { files: files.length, kilobytes: Number(kilobytes) };
}

/**
 * A place in a cluster that one process after the other takes: what ends is started again, at once
 * or when a fault says so. An end that no fault explains is noted.
 */
import { setTimeout as delay } from "node:timers/promises";
import { toPacelineError } from "../../errors.js";
import type { RunProcess } from "../train/run-process.js";

/** A coordinator that finds out that it leads no longer ends, to be started again. */
const deposed = /^paceline: leads no longer: /m;

/** The process of a place, and how it has ended. */
export class ProcessSlot {
  readonly name: string;
  readonly #start: () => Promise<RunProcess>;
  readonly #note: (problem: string) => void;
  #life: RunProcess | null = null;
  /** True once it is to end and no other to take its place. */
  #isGivenUp = false;
  /** True while a fault ends it and starts the next. */
  #isStruck = false;
  #frozen = false;
  readonly #pids: number[] = [];

  /** @param start starts a process; resolves when it is so far that others may use it. */
  constructor(name: string, start: () => Promise<RunProcess>, note: (problem: string) => void) {
    this.name = name;
    this.#start = start;
    this.#note = note;
  }

  /** The process that is there; null where none is. */
  get life(): RunProcess | null {
    return this.#life;
  }

  get isFrozen(): boolean {
    return this.#frozen;
  }

  /** Of every process that it had, the latest last. */
  get pids(): readonly number[] {
    return this.#pids;
  }

  /** Starts a process. */
  async begin(): Promise<void> {
    this.#isGivenUp = false;
    const life = await this.#start();
    this.#life = life;
    this.#pids.push(life.pid);
    void life.ended.then((problem) => this.#ended(life, problem));
  }

  /** Kills it as a crash does, and starts another after so long. */
  async kill(restartMs: number): Promise<void> {
    await this.#strike("SIGKILL", restartMs);
  }

  /** Has it end in order; resolves to how it did where that was not well. */
  async endInOrder(): Promise<string | null> {
    const life = this.#life;
    if (life === null) return null;
    life.signal("SIGTERM");
    return life.ended;
  }

  /** Ends it in order and starts another. */
  async restart(codes: readonly string[]): Promise<void> {
    const how = await this.#strike("SIGTERM", 0);
    if (how !== null && !codes.includes(how)) this.#note(`${this.name} was told to end: ${how}`);
  }

  /** Ends it in order, and the place stays empty. */
  async leave(): Promise<void> {
    this.#isGivenUp = true;
    const how = await this.endInOrder();
    this.#life = null;
    if (how !== null) this.#note(`${this.name} was told to leave: ${how}`);
  }

  /** Stops it for so long. */
  async freeze(forMs: number): Promise<void> {
    const life = this.#life;
    life?.signal("SIGSTOP");
    this.#frozen = true;
    await delay(forMs);
    this.#frozen = false;
    life?.signal("SIGCONT");
  }

  /** From here on it may end, and is not started again. */
  giveUp(): void {
    this.#isGivenUp = true;
  }

  /** Resolves when the process has ended by itself; to how, where that was not well. */
  async end(): Promise<string | null> {
    return (await this.#life?.ended) ?? null;
  }

  /** Ends it, whatever it does. */
  async destroy(): Promise<void> {
    this.#isGivenUp = true;
    this.#life?.signal("SIGCONT");
    await this.#life?.kill();
  }

  async #strike(signal: NodeJS.Signals, restartMs: number): Promise<string | null> {
    const life = this.#life;
    if (life === null) return null;
    this.#isStruck = true;
    try {
      life.signal(signal);
      const how = await life.ended;
      this.#life = null;
      await delay(restartMs);
      await this.begin();
      return how;
    } finally {
      this.#isStruck = false;
    }
  }

  async #ended(life: RunProcess, problem: string | null): Promise<void> {
    if (this.#life !== life || this.#isGivenUp || this.#isStruck) return;
    this.#life = null;
    if (!deposed.test(life.said)) {
      const last = life.said.trim().split("\n").at(-1) ?? "";
      this.#note(`${this.name} ended by itself, ${problem ?? "exit code 0"}: ${last}`);
    }
    // It may not come so far as to be of use, such as a server that ends with the run.
    await this.begin().catch((thrown) => this.#note(toPacelineError(thrown).message));
  }
}

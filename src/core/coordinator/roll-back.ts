/**
 * A run that has lost the last in-sync replica of some chunk: it waits for the servers that are
 * gone, each for a grace, until as many are there as must be, and then goes back to its last
 * checkpoint.
 *
 * The idea: a roll-back is a resume in place. The training that was on is given up whole; another
 * begins from the checkpoint under a higher term and the next generation. So servers drop what they
 * hold and are loaded again, and workers register again: what they had computed, pushed or kept of
 * earlier pushes belongs to lives that no view has any more.
 *
 * Invariant: nothing of the training that was given up reaches the one that follows, except by the
 * checkpoint.
 */

import type { Member, Roster } from "../members/roster.js";
import type { RunSetup } from "../work/run-setup.js";
import type {
  CoordinatorConfig,
  CoordinatorEffect,
  LoadProblem,
  SaveEvent,
  WayBack,
} from "./coordinator-events.js";
import { hasPlace } from "./formation.js";
import { type Ending, endingOf } from "./run-ending.js";
import type { Training } from "./training.js";

/** What a roll-back asks of the coordinator around it. */
export interface RollBackPort {
  /** Ends the run. */
  end(ending: Ending): void;
  /** The training that is on is heard of no more, and takes no step. */
  giveUp(): void;
  /** Begins the run again with this setup, under a term that is higher. */
  form(setup: RunSetup, term: number): void;
  perform(effect: CoordinatorEffect): void;
}

/** A server that is gone, and for how long it is waited for. */
interface Missing {
  /** How the run ends where it does not come back. */
  readonly ending: Ending;
  readonly untilMs: number;
}

/** The roll-backs of one run. */
export class RollBack {
  readonly #config: Pick<CoordinatorConfig, "serverGraceMs" | "startTimeoutMs">;
  readonly #roster: Roster;
  readonly #port: RollBackPort;
  readonly #missing = new Map<number, Missing>();
  #past: Training | null = null;
  /** How the run ends without the server that was lost last. */
  #ending: Ending | null = null;
  /** Global steps that it had come to. */
  #fromStep = 0;
  #stage: "none" | "waiting" | "reading" = "none";

  constructor(config: CoordinatorConfig, roster: Roster, port: RollBackPort) {
    this.#config = config;
    this.#roster = roster;
    this.#port = port;
  }

  /** What was given up, until training has begun again. */
  get past(): Training | null {
    return this.#past;
  }

  /**
   * A server is gone that can't be spared; `ending` holds where nobody takes its place, or where
   * the run can't go back: it never trained, is ending already, or nobody is waited for.
   */
  begin({ rank }: Member, ending: Ending, training: Training | null, nowMs: number): void {
    const { serverGraceMs = 0 } = this.#config;
    if (training === null || serverGraceMs === 0 || training.isClosing) {
      this.#port.end(ending);
      return;
    }
    if (this.#stage === "none") {
      this.#stage = "waiting";
      this.#past = training;
      this.#fromStep = training.globalSteps();
      this.#port.perform({ type: "abandonSave" });
    }
    this.#ending = ending;
    this.#missing.set(rank, { ending, untilMs: nowMs + serverGraceMs });
    this.#port.giveUp();
    this.#warn(this.#waits());
  }

  /** A supervisor starts a process in the place of a server, which has the time to start. */
  restarts(index: number, nowMs: number): void {
    const missing = this.#missing.get(index);
    if (missing === undefined) return;
    const untilMs = Math.max(missing.untilMs, nowMs + this.#config.startTimeoutMs);
    this.#missing.set(index, { ...missing, untilMs });
  }

  /** Looks at who is there: has the checkpoint read, or ends the run. */
  advance(setup: RunSetup, nowMs: number): void {
    if (this.#stage !== "waiting") return;
    const servers = this.#roster.all("server").filter((member) => hasPlace(setup.spec, member));
    for (const { rank } of servers) this.#missing.delete(rank);
    const present = servers.map(({ rank }) => rank);
    this.#missDeserted(present, setup.spec.servers, nowMs);
    for (const [rank, { untilMs, ending }] of this.#missing) {
      if (nowMs < untilMs) continue;
      if (present.length < setup.spec.servers) {
        this.#port.end(ending);
        return;
      }
      // Enough are there without it.
      this.#missing.delete(rank);
    }
    const connected = servers.filter((member) => member.connected).length;
    if (connected < setup.spec.servers || this.#missing.size > 0) return;
    this.#stage = "reading";
    this.#port.perform({ type: "goBack", setup });
  }

  /** Nobody is told of a server that was spared before, or went before it had heard of the run. */
  #missDeserted(present: readonly number[], servers: number, nowMs: number): void {
    const ending = this.#ending;
    const { serverGraceMs = 0 } = this.#config;
    for (let rank = 0; ending !== null; rank++) {
      if (present.length + this.#missing.size >= servers) return;
      if (present.includes(rank) || this.#missing.has(rank)) continue;
      this.#missing.set(rank, { ending, untilMs: nowMs + serverGraceMs });
    }
  }

  /** The checkpoint is read, or can't be. */
  wentBack(way: WayBack | LoadProblem, before: RunSetup): void {
    if (this.#stage !== "reading") return;
    if ("code" in way) {
      this.#port.end({ outcome: "failed", ...way });
      return;
    }
    const { setup, term } = way;
    this.#stage = "none";
    this.#missing.clear();
    this.#warn(this.#returns(setup));
    const workers = this.#roster.all("worker").filter((member) => hasPlace(setup.spec, member));
    const workersAtStart = Math.max(setup.spec.workersMin, workers.length);
    const generation = (before.generation ?? 0) + 1;
    this.#port.form({ ...setup, workersAtStart, generation }, term);
  }

  /** A checkpoint was written after all: a final one is the end of the run. */
  saved(event: SaveEvent, nowMs: number): void {
    const past = this.#past;
    if (this.#stage === "none" || past?.saves.isFinal !== true) return;
    if (event.type !== "saved" || event.problem !== null) return;
    past.onSaved(event, nowMs);
    if (past.finished) this.#port.end(endingOf(past));
  }

  /** Training has begun again, or the run is over. */
  settle(): void {
    this.#stage = "none";
    this.#past = null;
    this.#missing.clear();
  }

  /** One sentence on what the run waits for. */
  activity(): string {
    return this.#stage === "reading" ? "reading the checkpoint" : this.#waits();
  }

  #waits(): string {
    const names = [...this.#missing.keys()].map((index) => `server-${index}`).join(", ");
    const { serverGraceMs = 0 } = this.#config;
    const keptStep = this.#past?.saves.keptStep ?? null;
    const next =
      keptStep === null
        ? "begin anew, as there is no checkpoint"
        : `go back to the checkpoint of step ${keptStep}`;
    const who = names === "" ? "all servers" : `${names} to come back`;
    return `waiting up to ${serverGraceMs / 1000} s for ${who}, to ${next}`;
  }

  #returns({ resume, resumedStep = 0 }: RunSetup): string {
    const lost = Math.max(0, this.#fromStep - resumedStep);
    // Servers tell how far they are now and then: there may have been more.
    const many = `at least ${lost} step${lost === 1 ? " is" : "s are"} trained again`;
    const steps = lost === 0 ? "what followed is trained again" : many;
    const where =
      resume === null
        ? "begins anew, as it has no checkpoint"
        : `goes back to its checkpoint of step ${resumedStep}`;
    return `the run ${where}, from step ${this.#fromStep}: ${steps}`;
  }

  #warn(text: string): void {
    this.#port.perform({ type: "event", event: { kind: "warning", text } });
  }
}

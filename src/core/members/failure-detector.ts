/**
 * Says whether one member is alive, suspect or dead: from how long it has not been heard, whether
 * its connection is closed, who is refused at its address, and how regularly members were heard.
 *
 * While all is quiet a silent member is dead after median + k x MAD of its heartbeats' intervals,
 * from half the lease to the lease (heartbeat-intervals.ts). Quiet means that for ten seconds its
 * heartbeats and the observer's looks were in time, and that the caller knows of no load: who has
 * to wait for a loaded machine is not dead (Dadgar et al., Lifeguard, 2018). Under load it is dead
 * after the lease, and more where it was late before; while it starts, after the time for that. A
 * closed connection has a grace to open again. Of the time between two looks only so much counts:
 * if the observer was suspended, what was sent to it meanwhile is not heard yet.
 *
 * Invariant: dead is said only after `leaseMs` of silence were seen, half of it while all is quiet,
 * or `closedGraceMs` without a connection, or a refusal where there is none.
 */

import { HeartbeatIntervals } from "./heartbeat-intervals.js";

/** The limits, all in milliseconds. */
export interface FailureLimits {
  /** Silence after which a connected member is dead, whatever its heartbeats were before. */
  readonly leaseMs: number;
  /** Time after which a member whose connection closed, and that did not come back, is dead. */
  readonly closedGraceMs: number;
  /** The most that counts of the time between two looks. */
  readonly lookMs: number;
  /** How often the member is to be heard. */
  readonly heartbeatMs: number;
  /** Silence after which a member is dead that is starting up. */
  readonly startMs: number;
}

/** Limits for a cluster on one network. */
export const defaultFailureLimits: FailureLimits = {
  leaseMs: 3000,
  closedGraceMs: 2500,
  lookMs: 250,
  heartbeatMs: 250,
  startMs: 60_000,
};

/** How a member stands, with a sentence that holds the numbers. */
export interface FailureVerdict {
  readonly state: "alive" | "suspect" | "dead";
  readonly reason: string;
}

/** What the caller knows of a member besides what the detector has seen. */
export interface FailureContext {
  /** It builds model and data, or has not begun to speak. */
  readonly isStarting?: boolean;
  /** Who finds that nobody listens at its address; null where nobody does. */
  readonly refused?: string | null;
  /** Others show that what it runs on, or what hears it, is loaded. */
  readonly isLoaded?: boolean;
}

/** The share of the silence that it may last after which it is worth a word. */
const suspectShare = 0.5;
/**
 * The least silence of a dead member, as a share of the lease. By default 1.5 s: six heartbeats, or
 * three times in a row that TCP sends again what was lost (200 + 400 + 800 ms at the least).
 */
const quietShare = 0.5;
/** It is late after so many intervals: it may fall between looks, and the next be just missed. */
const lateIntervals = 2;
/** It is quiet when nothing was late for so many intervals: ten seconds of 250 ms. */
const quietIntervals = 40;
/** How much more silence a member is given for each millisecond that it was late. */
const slackPerLateMs = 2;
/** What is left of a lateness when the member is heard in time: half of it after 35 times. */
const lateDecay = 0.98;

/** Watches one member. Looks into the past of the last one count as made at that time. */
export class FailureDetector {
  readonly #limits: FailureLimits;
  /** Seen since the member was last heard. */
  #silentMs = 0;
  /** Seen since its connection closed; null while it has one. */
  #closedMs: number | null = null;
  #lastLookMs: number;
  /** How late the member has been. */
  #lateMs = 0;
  readonly #intervals = new HeartbeatIntervals();
  /** Seen since its last heartbeat; null where that is not known, or not of one connection. */
  #sinceHeartbeatMs: number | null = null;
  /** When it was heard last. */
  #heardAtMs: number;
  #lateUntilMs = Number.NEGATIVE_INFINITY;

  /** The member counts as heard at `nowMs`. */
  constructor(nowMs: number, limits: FailureLimits = defaultFailureLimits) {
    this.#limits = limits;
    this.#lastLookMs = nowMs;
    this.#heardAtMs = nowMs;
  }

  /** Something arrived from the member. */
  heard(nowMs: number, isHeartbeat = false): void {
    this.#look(nowMs);
    const lateMs = this.#closedMs === null ? this.#silentMs - this.#lateAfterMs : 0;
    if (lateMs > 0) this.#noteLate();
    const kept = this.#lateMs * lateDecay;
    this.#lateMs = Math.max(lateMs, kept < 1 ? 0 : kept);
    this.#silentMs = 0;
    this.#heardAtMs = this.#lastLookMs;
    if (!isHeartbeat) return;
    if (this.#sinceHeartbeatMs !== null) this.#intervals.add(this.#sinceHeartbeatMs);
    this.#sinceHeartbeatMs = 0;
  }

  /** Its present connection closed; repeating it changes nothing. */
  closed(nowMs: number): void {
    this.#look(nowMs);
    this.#closedMs ??= 0;
    this.#forgetIntervals();
  }

  /** It has a connection again, which also counts as having been heard. */
  reopened(nowMs: number): void {
    this.#look(nowMs);
    this.#closedMs = null;
    this.#silentMs = 0;
    this.#heardAtMs = this.#lastLookMs;
    this.#forgetIntervals();
  }

  /** True while the last look found a connected member later than its heartbeats may be. */
  get isLate(): boolean {
    return this.#closedMs === null && this.#silentMs > this.#lateAfterMs;
  }

  /** Until when it is not quiet, as a heartbeat or a look was late; minus infinity if none was. */
  get lateUntilMs(): number {
    return this.#lateUntilMs;
  }

  /** The verdict at this moment; asking also tells the detector that the observer is awake. */
  verdict(nowMs: number, context: FailureContext = {}): FailureVerdict {
    this.#look(nowMs);
    if (context.isStarting === true) this.#forgetIntervals();
    return this.#judge(this.#silentMs, this.#closedMs, context);
  }

  /**
   * The verdict as it would be at this moment, for who only wants to see it: what was heard may
   * still wait for its turn, with an earlier time, and is judged as if nobody had asked.
   */
  glance(nowMs: number, context: FailureContext = {}): FailureVerdict {
    const passedMs = Math.max(0, nowMs - this.#lastLookMs);
    const { lookMs } = this.#limits;
    const seenMs = Math.min(passedMs, lookMs);
    const closedMs = this.#closedMs === null ? null : this.#closedMs + seenMs;
    const isLoaded = context.isLoaded === true || passedMs > lookMs;
    return this.#judge(this.#silentMs + seenMs, closedMs, { ...context, isLoaded });
  }

  #judge(silentMs: number, closedMs: number | null, context: FailureContext): FailureVerdict {
    const { isStarting = false, refused = null, isLoaded = false } = context;
    if (closedMs !== null) return this.#closedVerdict(closedMs, refused);
    const [limitMs, limit] = isStarting ? this.#startLimit() : this.#silenceLimit(isLoaded);
    if (silentMs >= limitMs) {
      return { state: "dead", reason: `silent for ${seconds(silentMs)}, ${limit}` };
    }
    const state = silentMs >= limitMs * suspectShare ? "suspect" : "alive";
    return { state, reason: `last heard ${seconds(silentMs)} ago, ${limit}` };
  }

  #closedVerdict(closedMs: number, refused: string | null): FailureVerdict {
    const said = `connection closed ${seconds(closedMs)} ago`;
    if (refused !== null) {
      return { state: "dead", reason: `${said} and ${refused} is refused at its address` };
    }
    const { closedGraceMs } = this.#limits;
    const limit = `grace ${seconds(closedGraceMs)}`;
    return closedMs >= closedGraceMs
      ? { state: "dead", reason: `${said} and not back within its ${limit}` }
      : { state: "suspect", reason: `${said}, ${limit}` };
  }

  #startLimit(): [limitMs: number, limit: string] {
    const limitMs = Math.max(this.#limits.leaseMs, this.#limits.startMs);
    return [limitMs, `lease ${seconds(limitMs)} while it starts`];
  }

  #silenceLimit(isLoaded: boolean): [limitMs: number, limit: string] {
    const { leaseMs } = this.#limits;
    const slackMs = Math.min(slackPerLateMs * this.#lateMs, 3 * leaseMs);
    const more = slackMs === 0 ? "" : ` and ${seconds(slackMs)} as it was late before`;
    // Its silence says nothing of how loaded it is: what counts is how it was until then.
    const isQuiet = !isLoaded && this.#heardAtMs >= this.#lateUntilMs;
    const quietMs = Math.max(leaseMs * quietShare, this.#intervals.silenceMs);
    if (!isQuiet || quietMs >= leaseMs) {
      return [leaseMs + slackMs, `lease ${seconds(leaseMs)}${more}`];
    }
    const limit = `deadline ${seconds(quietMs)} as its heartbeats are in time${more}`;
    return [quietMs + slackMs, `${limit}, lease ${seconds(leaseMs)}`];
  }

  get #lateAfterMs(): number {
    return lateIntervals * this.#limits.heartbeatMs;
  }

  #noteLate(): void {
    this.#lateUntilMs = this.#lastLookMs + quietIntervals * this.#limits.heartbeatMs;
  }

  #forgetIntervals(): void {
    this.#intervals.clear();
    this.#sinceHeartbeatMs = null;
  }

  #look(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#lastLookMs);
    const seenMs = Math.min(passedMs, this.#limits.lookMs);
    this.#lastLookMs += passedMs;
    this.#silentMs += seenMs;
    if (this.#closedMs !== null) this.#closedMs += seenMs;
    if (this.#sinceHeartbeatMs !== null) this.#sinceHeartbeatMs += seenMs;
    if (passedMs <= this.#limits.lookMs) return;
    this.#noteLate();
    this.#sinceHeartbeatMs = null;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

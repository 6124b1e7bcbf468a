/**
 * Says whether one member is alive, suspect or dead, from three things: when it was last heard,
 * whether its connection is closed, and whether the observer itself was awake.
 *
 * Think of a night watchman and a lamp that blinks once a second. A lamp dark for longer than the
 * lease is out. A lamp whose wire is seen to break is given a short grace to be mended, whatever
 * the lease says: a link cut for less than that costs nothing. And a watchman who dozed off must
 * not wake up and call every lamp dead because *he* saw nothing: he looks again for a fresh share
 * of the lease first, though not for ever, in case he keeps dozing.
 *
 * Invariant: dead is said only after the member had `leaseMs` of silence (or `closedGraceMs`
 * without a connection) of which the observer was awake for the last part. Ask more often than
 * every `pauseMs`, else the asking itself looks like a doze. One detector serves one incarnation.
 */

/** The limits, all in milliseconds. */
export interface FailureLimits {
  /** Silence after which a connected member is dead. */
  readonly leaseMs: number;
  /** Time after which a member whose connection closed, and that did not come back, is dead. */
  readonly closedGraceMs: number;
  /** A gap between two looks that counts as a pause of the observer. */
  readonly pauseMs: number;
}

/** Limits for a cluster on one network. */
export const defaultFailureLimits: FailureLimits = {
  leaseMs: 3000,
  closedGraceMs: 2500,
  pauseMs: 1000,
};

/** How a member stands, with a sentence that holds the numbers. */
export interface FailureVerdict {
  readonly state: "alive" | "suspect" | "dead";
  readonly reason: string;
}

/** Pauses of the observer that are made good in one silence of the member. */
const pausesForgivenMax = 3;
/** The share of its limit that a member is given afresh when the observer wakes up. */
const freshShare = 0.5;
/** The share of the lease after which silence is worth a word. */
const suspectShare = 0.5;

/** Watches one member; the caller passes the time, which never runs backwards. */
export class FailureDetector {
  readonly #limits: FailureLimits;
  #lastHeardMs: number;
  #closedAtMs: number | null = null;
  #lastLookMs: number;
  /** Nobody is declared dead before this. */
  #notBeforeMs = 0;
  #pausesForgiven = 0;

  /** The member counts as heard at `nowMs`. */
  constructor(nowMs: number, limits: FailureLimits = defaultFailureLimits) {
    this.#limits = limits;
    this.#lastHeardMs = nowMs;
    this.#lastLookMs = nowMs;
  }

  /** Something arrived from the member. */
  heard(nowMs: number): void {
    this.#lastLookMs = nowMs;
    this.#lastHeardMs = nowMs;
    this.#pausesForgiven = 0;
  }

  /** Its present connection closed; repeating it changes nothing. */
  closed(nowMs: number): void {
    this.#look(nowMs);
    this.#closedAtMs ??= nowMs;
  }

  /** It has a connection again, which also counts as having been heard. */
  reopened(nowMs: number): void {
    this.#closedAtMs = null;
    this.heard(nowMs);
  }

  /** The verdict at this moment; asking also tells the detector that the observer is awake. */
  verdict(nowMs: number): FailureVerdict {
    this.#look(nowMs);
    const dead = nowMs >= this.#deadlineMs();
    if (this.#closedAtMs !== null) {
      const closedMs = nowMs - this.#closedAtMs;
      const said = `connection closed ${seconds(closedMs)} ago`;
      const limit = `grace ${seconds(this.#limits.closedGraceMs)}`;
      return dead
        ? { state: "dead", reason: `${said} and not back within its ${limit}` }
        : { state: "suspect", reason: `${said}, ${limit}` };
    }
    const silentMs = nowMs - this.#lastHeardMs;
    const lease = `lease ${seconds(this.#limits.leaseMs)}`;
    if (dead) return { state: "dead", reason: `silent for ${seconds(silentMs)}, ${lease}` };
    const reason = `last heard ${seconds(silentMs)} ago, ${lease}`;
    const suspect = silentMs >= this.#limits.leaseMs * suspectShare;
    return { state: suspect ? "suspect" : "alive", reason };
  }

  #deadlineMs(): number {
    const { leaseMs, closedGraceMs } = this.#limits;
    const limitMs =
      this.#closedAtMs === null ? this.#lastHeardMs + leaseMs : this.#closedAtMs + closedGraceMs;
    return Math.max(limitMs, this.#notBeforeMs);
  }

  #look(nowMs: number): void {
    const paused = nowMs - this.#lastLookMs > this.#limits.pauseMs;
    this.#lastLookMs = nowMs;
    if (!paused || this.#pausesForgiven >= pausesForgivenMax) return;
    this.#pausesForgiven += 1;
    const { leaseMs, closedGraceMs } = this.#limits;
    const limitMs = this.#closedAtMs === null ? leaseMs : closedGraceMs;
    this.#notBeforeMs = nowMs + limitMs * freshShare;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

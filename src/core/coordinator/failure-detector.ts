/**
 * Says whether one member is alive, suspect or dead, from five things: how long it has not been
 * heard, whether its connection is closed, whether others find that nobody listens at its address,
 * whether the observer itself was awake, and how late the member has been before.
 *
 * Think of a night watchman and a lamp that blinks once a second. A lamp dark for longer than the
 * lease is out. A lamp whose wire is seen to break is given a short grace to be mended, whatever
 * the lease says: a link cut for less than that costs nothing; but where a neighbour sees that the
 * lamp is gone as well, there is nothing to be mended. A watchman who dozes must not call
 * lamps dead for what he did not see: between two looks only so much counts, however long he slept.
 * A lamp on a weak battery blinks late, again and again; it is given as much more as it was late.
 * And one that is being lit, whose keeper has his hands full, is waited for with the patience that
 * starting has.
 *
 * Invariant: dead is said only after the observer has seen `leaseMs` of silence, or `closedGraceMs`
 * without a connection, or that it has none and somebody is refused at its address. One detector
 * serves one incarnation.
 */

/** The limits, all in milliseconds. */
export interface FailureLimits {
  /** Silence after which a connected member is dead. */
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

/** The share of the lease after which silence is worth a word. */
const suspectShare = 0.5;
/** How much more silence a member is given for each millisecond that it was late. */
const slackPerLateMs = 2;
/** What is left of a lateness when the member is heard in time: half of it after 35 times. */
const lateDecay = 0.98;

/** Watches one member; the caller passes the time, which never runs backwards. */
export class FailureDetector {
  readonly #limits: FailureLimits;
  /** Seen since the member was last heard. */
  #silentMs = 0;
  /** Seen since its connection closed; null while it has one. */
  #closedMs: number | null = null;
  #lastLookMs: number;
  /** How late the member has been. */
  #lateMs = 0;

  /** The member counts as heard at `nowMs`. */
  constructor(nowMs: number, limits: FailureLimits = defaultFailureLimits) {
    this.#limits = limits;
    this.#lastLookMs = nowMs;
  }

  /** Something arrived from the member. */
  heard(nowMs: number): void {
    this.#look(nowMs);
    // A beat may fall between two looks, and the next be just missed.
    const lateMs = this.#closedMs === null ? this.#silentMs - 2 * this.#limits.heartbeatMs : 0;
    const kept = this.#lateMs * lateDecay;
    this.#lateMs = Math.max(lateMs, kept < 1 ? 0 : kept);
    this.#silentMs = 0;
  }

  /** Its present connection closed; repeating it changes nothing. */
  closed(nowMs: number): void {
    this.#look(nowMs);
    this.#closedMs ??= 0;
  }

  /** It has a connection again, which also counts as having been heard. */
  reopened(nowMs: number): void {
    this.#look(nowMs);
    this.#closedMs = null;
    this.#silentMs = 0;
  }

  /**
   * The verdict at this moment; asking also tells the detector that the observer is awake.
   * `isStarting` says that the member builds model and data, or has not begun to speak; `refused`
   * who finds that nobody listens at its address, null where nobody does.
   */
  verdict(nowMs: number, isStarting = false, refused: string | null = null): FailureVerdict {
    this.#look(nowMs);
    const { leaseMs, closedGraceMs, startMs } = this.#limits;
    if (this.#closedMs !== null) {
      const said = `connection closed ${seconds(this.#closedMs)} ago`;
      if (refused !== null) {
        return { state: "dead", reason: `${said} and ${refused} is refused at its address` };
      }
      const limit = `grace ${seconds(closedGraceMs)}`;
      return this.#closedMs >= closedGraceMs
        ? { state: "dead", reason: `${said} and not back within its ${limit}` }
        : { state: "suspect", reason: `${said}, ${limit}` };
    }
    const slackMs = isStarting ? 0 : Math.min(slackPerLateMs * this.#lateMs, 3 * leaseMs);
    const limitMs = isStarting ? Math.max(leaseMs, startMs) : leaseMs;
    const late = slackMs === 0 ? "" : ` and ${seconds(slackMs)} as it was late before`;
    const lease = `lease ${seconds(limitMs)}${isStarting ? " while it starts" : late}`;
    const silentMs = this.#silentMs;
    if (silentMs >= limitMs + slackMs) {
      return { state: "dead", reason: `silent for ${seconds(silentMs)}, ${lease}` };
    }
    const reason = `last heard ${seconds(silentMs)} ago, ${lease}`;
    const suspect = silentMs >= limitMs * suspectShare;
    return { state: suspect ? "suspect" : "alive", reason };
  }

  #look(nowMs: number): void {
    const seenMs = Math.min(nowMs - this.#lastLookMs, this.#limits.lookMs);
    this.#lastLookMs = nowMs;
    this.#silentMs += seenMs;
    if (this.#closedMs !== null) this.#closedMs += seenMs;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

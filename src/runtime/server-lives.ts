/**
 * The lives of a server's process: it registers, and when the coordinator has given it up it
 * registers again, as another life that holds nothing, since what it holds may be behind. One that
 * is given up again and again, as where workers don't reach it, waits longer each time.
 */
import type { PacelineError } from "../errors.js";
import type { Timer } from "../host/clock.js";
import type { ServerHost } from "../host/server-host.js";
import type { HeardTerm } from "../host/session/heard-term.js";
import type { CoordinatorMessage, RegisterRequest } from "../protocol/messages.js";
import { type MemberEnd, MemberPart, type MemberPartSetup } from "./member-part.js";

type Stop = CoordinatorMessage & { readonly type: "stop" };

/** What a life is made of. */
export interface ServerLife extends Omit<MemberPartSetup, "request"> {
  /** A registration for this index, or any that is free. */
  requestOf(index: number | null): RegisterRequest;
  /** The host of a life that has this index. */
  open(index: number, onStop: (message: Stop) => void, heard: HeardTerm): ServerHost;
}

/** Waits from the second time on, each twice as long as the one before. */
const firstDelayMs = 5000;
const delayMsMax = 300_000;
/** A life of this length says that nothing is wrong with the server. */
const soundLifeMs = 60_000;

/** The lives, one after the other. */
export class ServerLives {
  /** The end of the last one; rejects with a PacelineError where the server could not go on. */
  readonly ended: Promise<MemberEnd>;
  /** Null until the first has begun. */
  host: ServerHost | null = null;
  readonly #life: ServerLife;
  #part: MemberPart;
  #isClosed = false;
  /** It has asked to be let go, and does not come again. */
  #isLeaving = false;
  /** What it waits before it registers again. */
  #delayMs = 0;
  #pause: Timer | null = null;
  #begunMs = 0;
  #end: (end: MemberEnd) => void = () => {};
  #fail: (thrown: unknown) => void = () => {};

  constructor(life: ServerLife, index: number | null) {
    this.#life = life;
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    this.#part = this.#begin(index);
  }

  /** The present life's part. */
  get part(): MemberPart {
    return this.#part;
  }

  /** Asks to be let go; see `RunningMember.drain`. */
  drain(reason: string): boolean {
    this.#isLeaving = this.#part.drain(reason);
    return this.#isLeaving;
  }

  /** Gives everything up. */
  close(): void {
    this.#isClosed = true;
    this.#pause?.cancel();
    this.#end({ outcome: "left", reason: "closed" });
    this.#part.close();
    this.host?.close();
  }

  #begin(wanted: number | null): MemberPart {
    this.#begunMs = this.#life.clock.nowMs();
    const part = new MemberPart({ ...this.#life, request: this.#life.requestOf(wanted) });
    const joined = part.join((index, _incarnation, heard) => {
      const onStop = ({ outcome, reason, stay }: Stop) => {
        if (!stay) this.#end({ outcome, reason });
      };
      const host = this.#life.open(index, onStop, heard);
      this.host = host;
      return {
        host,
        onLost: (error) => this.#onLost(error, host, index),
        onLeft: (reason) => this.#end({ outcome: "left", reason }),
        onMoved: (reason) => this.#onMoved(reason, host, wanted),
      };
    });
    joined.catch(this.#fail);
    return part;
  }

  #onMoved(reason: string, host: ServerHost, wanted: number | null): void {
    host.close();
    if (this.#isClosed) return;
    this.#life.log(`${reason}; registering again`);
    this.#part = this.#begin(wanted);
  }

  #onLost(error: PacelineError, host: ServerHost, index: number): void {
    host.close();
    if (error.code !== "refused") {
      this.#fail(error);
      return;
    }
    if (this.#isClosed) return;
    if (this.#isLeaving) {
      this.#end({ outcome: "left", reason: error.message });
      return;
    }
    const { log, clock } = this.#life;
    const delayMs = clock.nowMs() - this.#begunMs < soundLifeMs ? this.#delayMs : 0;
    this.#delayMs = Math.min(delayMsMax, Math.max(firstDelayMs, 2 * delayMs));
    log(`${error.message}; registering again${delayMs === 0 ? "" : ` in ${delayMs / 1000} s`}`);
    this.#pause = clock.after(delayMs, () => {
      this.#part = this.#begin(index);
    });
  }
}

/**
 * What happens to a push that fits the view, on a chunk that is loaded: it has been seen, or is not
 * finite, or the pace holds it, makes an entry of it, or has it marked and not applied.
 *
 * Invariant: a push that is refused, or not finite, leaves no trace; any other is marked, now or
 * with the entry that it is sealed in.
 */
import type { ChunkHeader } from "../../protocol/messages.js";
import type { View } from "../../protocol/view.js";
import type { Arrival } from "../sync/pace.js";
import type { ChunkReplies } from "./chunk-replies.js";
import type { ChunkState } from "./chunk-state.js";
import { type ContributorMark, heldVerdict, type PushVerdict } from "./entry.js";
import type { EntryBeats } from "./entry-beats.js";
import { waiterFor } from "./shard-answers.js";
import type { ShardContext } from "./shard-context.js";
import type { ShardEvent } from "./shard-events.js";

/** A push whose gradient lies in a slot. */
export type PushEvent = ShardEvent & { readonly type: "push" };

/** Where a server's pushes arrive in one run. */
export class PushArrivals {
  readonly #context: ShardContext;
  readonly #replies: ChunkReplies;
  readonly #beats: EntryBeats;

  constructor(context: ShardContext, replies: ChunkReplies, beats: EntryBeats) {
    this.#context = context;
    this.#replies = replies;
    this.#beats = beats;
  }

  /**
   * Takes a push in; false where it has to wait: until the chunk's entry is committed, or the
   * limits of a cut are known.
   */
  take(event: PushEvent, state: ChunkState, view: View): boolean {
    const { header, slot, channel } = event;
    const { rank, incarnation, step, chunk } = header;
    const before = state.seen(rank, incarnation, step);
    if (before !== null) {
      this.#context.release(slot);
      this.#context.counts.duplicates++;
      this.#replies.answer(state, view, waiterFor(header, channel, before));
      return true;
    }
    if (!event.finite) {
      this.#context.release(slot);
      const whose = `from worker ${rank} at step ${step}`;
      const detail = `gradient of chunk ${chunk} ${whose} is not finite`;
      const { version } = state;
      this.#context.reply(channel, header, { outcome: "nonfinite", version, detail });
      return true;
    }
    if (state.isBusy || state.cut?.isMarked === true) return false;
    this.#judge(event, state, view);
    return true;
  }

  /** One that has not been seen, on a chunk whose entries are committed. */
  #judge(event: PushEvent, state: ChunkState, view: View): void {
    const { header, slot, channel } = event;
    const { rank, incarnation, step, examples } = header;
    const staleness = Math.max(0, state.version - header.version);
    const arrival = this.#verdictOn(header, staleness, state, view);
    const scale = this.#context.pace.judges ? scaleOf(arrival) : null;
    if (arrival.kind === "refuse") {
      this.#context.release(slot);
      this.#context.refuse(header, channel, arrival.reason);
      return;
    }
    this.#replies.heard(header);
    if (this.#context.pace.isTimed) state.pulses.pushed(header, this.#context.nowMs);
    const decide = (verdict: Omit<PushVerdict, "scale">): ContributorMark => {
      const whole = { ...verdict, scale };
      state.await(waiterFor(header, channel, whole));
      return { rank, incarnation, step, examples, verdict: whole };
    };
    switch (arrival.kind) {
      case "hold":
        this.#hold(event, state);
        decide(heldVerdict);
        break;
      case "apply": {
        const mark = decide({ outcome: "applied", staleness, detail: arrival.reason });
        if (examples > 0) {
          const applied = { gradient: { slot, examples }, scale: arrival.scale };
          this.#beats.enterPush(state, mark, header.leads ? staleness : null, applied);
        } else {
          this.#context.release(slot);
          this.#beats.enterPush(state, mark, null, null);
        }
        break;
      }
      case "reject": {
        this.#context.release(slot);
        const mark = decide({ outcome: "rejected", staleness, detail: arrival.reason });
        this.#beats.enterPush(state, mark, header.leads ? staleness : null, null);
        break;
      }
      case "drop": {
        this.#context.release(slot);
        const mark = decide({ outcome: "dropped", staleness: 0, detail: arrival.reason });
        this.#beats.enterPush(state, mark, null, null);
        break;
      }
      default:
        arrival satisfies never;
    }
    this.#beats.advance(state, view);
  }

  /** The pace is asked by the chunk that leads the push; the others carry what it said. */
  #verdictOn(header: ChunkHeader, staleness: number, state: ChunkState, view: View): Arrival {
    const { step, examples, scale, leads, rank } = header;
    const { pace } = this.#context;
    const isJudged = pace.judges && examples > 0;
    const whose = `push of chunk ${header.chunk} from worker ${rank} at step ${step}`;
    if (isJudged && (scale === null) !== leads) {
      const which = leads ? "leads and carries a verdict" : "has no verdict and does not lead";
      return { kind: "refuse", reason: `${whose} ${which}: the first pushed is judged for all` };
    }
    if (scale === null) return pace.onPush(view, state, { step, examples, staleness });
    if (!isJudged) {
      return { kind: "refuse", reason: `${whose} carries a verdict, and nobody judges it` };
    }
    const reason = `its first chunk was ${scale === 0 ? "rejected" : `scaled by ${scale}`}`;
    return scale === 0 ? { kind: "reject", reason } : { kind: "apply", scale, reason };
  }

  #hold({ header, slot }: PushEvent, state: ChunkState): void {
    const { rank, incarnation, step, examples } = header;
    if (state.holds(header)) {
      this.#context.counts.duplicates++;
      this.#context.release(slot);
    } else {
      const cameMs = this.#context.nowMs;
      const contribution = { rank, incarnation, step, examples, cameMs, slot };
      state.hold(contribution);
      this.#beats.came(state, contribution);
    }
  }
}

/** What other chunks of the push are to carry. */
function scaleOf(arrival: Arrival): number | null {
  if (arrival.kind === "reject") return 0;
  return arrival.kind === "apply" ? arrival.scale : null;
}

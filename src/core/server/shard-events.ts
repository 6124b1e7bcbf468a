/**
 * What a server's machine eats and what it has its host do, as data. Effects are performed in the
 * order in which they stand, each finished before the next begins; `channel` names where an answer
 * goes, slots name memory of the host.
 */
import type { CutLimit } from "../../protocol/cut.js";
import type { ParameterGroup } from "../../protocol/layout.js";
import type { ChunkHeader, ChunkMarks, ChunkPart, MemberMessage } from "../../protocol/messages.js";
import type { Reduce } from "../../protocol/reduction.js";
import type { View } from "../../protocol/view.js";
import type { Entry } from "./entry.js";
import type { StepDecision } from "./step-decisions.js";

/** What a shard can be told. */
export type ShardEvent =
  | { readonly type: "view"; readonly view: View }
  | {
      readonly type: "push";
      readonly header: ChunkHeader;
      /** Slot with the decoded gradient; -1 for an empty one. */
      readonly slot: number;
      /** False when a value of the gradient is NaN or infinite. */
      readonly finite: boolean;
      readonly channel: number;
    }
  | { readonly type: "pull"; readonly header: ChunkHeader; readonly channel: number }
  | {
      readonly type: "load";
      readonly chunk: number;
      /** Of the state that the chunk is brought to. */
      readonly generation: number;
      readonly part: ChunkPart;
      readonly slot: number;
      /** With the weights, which are the last part; null otherwise. */
      readonly marks: ChunkMarks | null;
      readonly channel: number;
    }
  /** The coordinator, at the channel, wants the chunk as it is, while it is trained on. */
  | { readonly type: "copy"; readonly chunk: number; readonly channel: number }
  /**
   * The coordinator, at the channel, begins a cut: the chunk is kept as it is, and pushes to it
   * wait.
   */
  | { readonly type: "mark"; readonly chunk: number; readonly channel: number }
  /** It knows the limits of the cut for which it had the chunk marked. */
  | {
      readonly type: "cut";
      readonly chunk: number;
      readonly channel: number;
      readonly limits: readonly CutLimit[];
    }
  /** A server asks for a chunk that this one leads. */
  | { readonly type: "follow"; readonly header: ChunkHeader; readonly channel: number }
  /** It has what it was sent up to a seq; only over the channel by which it asked it may say so. */
  | { readonly type: "received"; readonly header: ChunkHeader; readonly channel: number }
  /** A server asks who is in the steps that the chunk seals which decides that. */
  | { readonly type: "watch"; readonly header: ChunkHeader; readonly channel: number }
  /** The primary of that chunk says so of the last step. */
  | { readonly type: "sealed"; readonly decision: StepDecision }
  /** The time has come for which it had asked to be woken. */
  | { readonly type: "woken" }
  /** A channel has ended. */
  | { readonly type: "closed"; readonly channel: number }
  /** The way to a server whose chunks this one follows is open, for the first time or again. */
  | { readonly type: "linked"; readonly server: number }
  /** A part of a chunk that this server follows. */
  | (FollowedChunk & {
      readonly type: "snapshot";
      readonly chunk: number;
      readonly part: ChunkPart;
      readonly slot: number;
      readonly seq: number;
      /** With the weights, which are the last part; null otherwise. */
      readonly marks: ChunkMarks | null;
    })
  /** A change of it; its gradient is in a slot of this server's. */
  | (FollowedChunk & { readonly type: "entry"; readonly entry: Entry });

/** What tells which asking something answers. */
export interface FollowedChunk {
  /** Who sent it. */
  readonly server: number;
  /** The view under which it was asked for. */
  readonly fence: number;
  readonly generation: number;
}

/** A push or a pull, or another server's wish to follow, or to be told of steps. */
export type AskingEvent = ShardEvent & { readonly type: "push" | "pull" | "follow" | "watch" };

/** A gradient that takes part in a fold. */
export interface FoldedGradient {
  readonly slot: number;
  readonly examples: number;
}

/**
 * Which state of a chunk a reply brings its receiver to, where replies are differences: the same id
 * is the same values, bit for bit.
 */
export interface SentCopy {
  readonly id: number;
  /** The copy that the receiver has, to which the difference goes; null where weights go whole. */
  readonly base: number | null;
}

/** What the host has to do, in order. */
export type ShardEffect =
  /** Folds gradients, in ascending rank, into the slot of the first. */
  | {
      readonly type: "fold";
      readonly chunk: number;
      readonly gradients: readonly FoldedGradient[];
      readonly reduce: Reduce;
    }
  /** Updates the chunk's values by a committed entry that moves them; its gradient is kept. */
  | { readonly type: "apply"; readonly entry: Entry; readonly group: ParameterGroup }
  | { readonly type: "release"; readonly slot: number }
  | {
      readonly type: "install";
      readonly chunk: number;
      readonly part: ChunkPart;
      readonly slot: number;
    }
  /** Frees the values of a chunk that is held no more, or is about to be loaded anew. */
  | { readonly type: "forget"; readonly chunk: number }
  | {
      readonly type: "reply";
      readonly channel: number;
      readonly header: ChunkHeader;
      /** Send the chunk's present weights as payload. */
      readonly withWeights: boolean;
      /** How, where replies with this chunk are differences; null for whole weights to nobody's. */
      readonly copy: SentCopy | null;
      /** The weights go as they are, whatever codec replies have. */
      readonly isRaw?: boolean;
    }
  /** No worker has this copy, or will have it. */
  | { readonly type: "forgetCopy"; readonly chunk: number; readonly id: number }
  /**
   * Keep every part of the chunk as it is for a channel, instead of what was kept for another;
   * `header` is what each goes out with, but for `part`.
   */
  | { readonly type: "keepCopy"; readonly channel: number; readonly header: ChunkHeader }
  /** Update what was kept of the chunk for the channel by an entry that its chunk has applied. */
  | {
      readonly type: "applyToCopy";
      readonly channel: number;
      readonly entry: Entry;
      readonly group: ParameterGroup;
    }
  /** What was kept for the channel is whole: this header is what each part goes out with. */
  | { readonly type: "closeCopy"; readonly channel: number; readonly header: ChunkHeader }
  /** Send every part of the chunk; `header` is the same for each but for `part`. */
  | { readonly type: "sendParts"; readonly channel: number; readonly header: ChunkHeader }
  /** Send an entry to who follows, with its gradient if it has one. */
  | {
      readonly type: "sendEntry";
      readonly channel: number;
      readonly entry: Entry;
      /** The view under which it was asked for. */
      readonly fence: number;
    }
  /** Tell it when so much time has passed. */
  | { readonly type: "wake"; readonly afterMs: number }
  /** Say something to a server that one of its chunks depends on; lost while no way leads to it. */
  | { readonly type: "tell"; readonly server: number; readonly header: ChunkHeader }
  | (MemberMessage & { readonly type: "viewAck" | "caughtUp" })
  | { readonly type: "log"; readonly level: "info" | "warn"; readonly text: string };

/** What a server has of the run that it serves, and of a message that is on its way to it. */
import type { ReplyEncoder } from "../compression/reply-encoder.js";
import type { RunCodecs } from "../compression/run-codecs.js";
import type { Shard } from "../core/server/shard.js";
import type { ShardEffect, ShardEvent } from "../core/server/shard-events.js";
import type { Arena } from "../kernels/arena.js";
import type { Layout } from "../protocol/layout.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { View } from "../protocol/view.js";
import type { ChunkStore } from "./chunk-store.js";
import type { EffectLoop } from "./effect-loop.js";
import type { KeptCopies } from "./kept-copies.js";
import type { ReplicaInbox } from "./replica-inbox.js";

/** One run. */
export interface ServedRun {
  readonly spec: RunSpec;
  readonly arena: Arena;
  readonly layout: Layout;
  readonly shard: Shard;
  readonly loop: EffectLoop<ShardEvent, ShardEffect>;
  readonly store: ChunkStore;
  readonly codecs: RunCodecs;
  readonly replies: ReplyEncoder;
  readonly inbox: ReplicaInbox;
  readonly copies: KeptCopies;
  /** Slots with gradients that were folded to something that is not finite. */
  readonly overflown: Set<number>;
  /** The last that was heard of. */
  view: View | null;
}

/** A message whose payload is on its way; null where there is nothing to be kept of it. */
export interface Arriving {
  readonly job: ServedRun | null;
  /** Where the payload goes, -1 for nowhere: the values, or their encoding. */
  readonly slot: number;
  readonly bytes: Uint8Array | null;
  readonly objection: string | null;
}

/** Nothing is on its way. */
export const nothing: Arriving = { job: null, slot: -1, bytes: null, objection: null };

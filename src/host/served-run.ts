/** What is around a server's host, what it has of its run, and of a message on its way to it. */
import type { ReplyEncoder } from "../compression/reply-encoder.js";
import type { RunCodecs } from "../compression/run-codecs.js";
import type { Entry } from "../core/server/entry.js";
import type { Shard } from "../core/server/shard.js";
import type { ShardEffect, ShardEvent } from "../core/server/shard-events.js";
import type { Arena } from "../kernels/arena.js";
import type { KernelsChoice } from "../kernels/choice.js";
import type { Layout } from "../protocol/layout.js";
import type { CoordinatorMessage } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { View, ViewServer } from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import type { ChunkStore } from "./chunk-store.js";
import type { Clock, Timer } from "./clock.js";
import type { EffectLoop } from "./effect-loop.js";
import type { KeptCopies } from "./kept-copies.js";
import type { NormWatch } from "./norm-watch.js";
import type { ReplicaInbox } from "./replica-inbox.js";
import type { HeardTerm } from "./session/heard-term.js";
import type { Trace } from "./trace.js";

/** What a server needs around it. */
export interface ServerHostParts {
  readonly clock: Clock;
  /** By which it reaches other servers. */
  readonly transport: Transport;
  /** Where a server takes chunks; its address if left out. */
  readonly route?: (server: ViewServer) => string;
  /** Silence after which an open channel to a server is taken for dead; 30 s if left out. */
  readonly ioTimeoutMs?: number;
  readonly index: number;
  /** The highest term that the process has heard of: transfers under a lower one are refused. */
  readonly heard: HeardTerm;
  /** The memory of a job, empty. */
  openArena(): Arena;
  /** Which kernels fold and apply; all have the same bits, and the fastest is taken if left out. */
  readonly kernels?: KernelsChoice;
  layoutOf(spec: RunSpec): Layout;
  /** The coordinator has ended the job. */
  onStop(message: CoordinatorMessage & { type: "stop" }): void;
  /** Told of each update, if given. */
  readonly trace?: Trace | null;
  /** Told of each entry that moves values, its generation, and its chunk's weights and state. */
  onApplied?(entry: Entry, generation: number, values: readonly Float32Array[]): void;
  log(text: string): void;
}

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
  /** Null where the run watches no norms. */
  readonly norms: NormWatch | null;
  /** Slots with gradients that were folded to something that is not finite. */
  readonly overflown: Set<number>;
  /** The last that was heard of. */
  view: View | null;
  /** When its machine asked to be woken; null before it did. */
  wake: Timer | null;
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

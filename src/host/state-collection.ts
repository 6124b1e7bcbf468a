/**
 * Collects a model's whole state from the servers, in two rounds: every chunk is copied where it
 * lies, which takes no time and after which training may go on; then the copies are sent.
 *
 * Where nobody stands still each chunk's primary marks it instead, and its pushes wait; when all
 * are marked the limits of the cut are known and told, and the chunk is copied once its primary has
 * all pushes within them (protocol/cut.ts). Nobody but workers is waited for in between.
 *
 * Each chunk's primary copies it, and so does the backup that is to give it (copy-sources.ts). At
 * rest both have the same entries; where the backup is behind, the primary's copy is taken.
 * A copy is kept for its channel. One that is lost with it is taken again while nobody has gone on;
 * after that the state of that moment can't be had any more.
 */
import { copySources } from "../core/coordinator/copy-sources.js";
import { PacelineError, toPacelineError } from "../errors.js";
import { type CutLimit, cutLimitsOf } from "../protocol/cut.js";
import { termOf } from "../protocol/ids.js";
import type { Layout } from "../protocol/layout.js";
import {
  type ChunkHeader,
  type ChunkKind,
  type ChunkMarks,
  chunkParts,
  emptyHeader,
} from "../protocol/messages.js";
import type { View, ViewServer } from "../protocol/view.js";
import type { BackgroundPace } from "./background-pace.js";
import { readMarks } from "./chunk-marks.js";
import { AwakeTime, type Timer } from "./clock.js";
import { ServerLink } from "./server-link.js";
import { bytesOf, type ModelState, type TransferParts } from "./state-transfer.js";

/** What is to be collected. */
export interface CollectionOrder {
  /** All servers stand on it; where it is of no cut, nobody pushes until `onCopied`. */
  readonly view: View;
  readonly layout: Layout;
  /** Vectors besides the weights. */
  readonly stateParts: number;
  /** Where training goes on from `onCopied` on, at which pace copies are sent; else null. */
  readonly beside: BackgroundPace | null;
  /** Every chunk is marked, and the limits are about to be told; null where all stand still. */
  readonly onMarked: ((limits: readonly CutLimit[]) => void) | null;
  /** Every chunk is copied. */
  onCopied(): void;
}

/** A server, and what it is asked for. */
interface Giver {
  readonly server: ViewServer;
  /** Chunks that it copies. */
  readonly chunks: readonly number[];
  link: ServerLink | null;
  wasOpen: boolean;
  /** As `AwakeTime` has it. */
  heardMs: number;
  /** Copies that it is yet to be asked for. */
  queue: number[];
  /** By chunk the parts that it was asked for and that are to come. */
  readonly coming: Map<number, number>;
}

/** Chunks that one server is asked for at one time where nothing is left to others. */
const chunksInFlight = 16;
/** How often it is looked who is silent. */
const lookMs = 250;

/** Collects it. @throws PacelineError when it can't be had, or the signal ends it. */
export function collectState(parts: TransferParts, order: CollectionOrder): Promise<ModelState> {
  return new Promise((resolve, reject) => {
    const collection = new Collection(parts, order, (end) => {
      if (end instanceof PacelineError) reject(end);
      else resolve(end);
    });
    collection.begin();
  });
}

class Collection {
  readonly #parts: TransferParts;
  readonly #order: CollectionOrder;
  readonly #onEnd: (end: ModelState | PacelineError) => void;
  readonly #givers = new Map<number, Giver>();
  readonly #wanted: readonly number[];
  /** By chunk and server the seq of its copy; -1 where it has none. */
  readonly #copied: readonly Map<number, number>[];
  /** By chunk whose copy is taken, once that is known. */
  readonly #sources: (number | null)[];
  /** By chunk the marks that it was marked with; none where all stand still. */
  readonly #marked: ChunkMarks[] = [];
  #markedLeft: number;
  #isCopied = false;
  readonly #vectors: readonly Float32Array[];
  readonly #marks: ChunkMarks[] = [];
  #chunksLeft: number;
  /** When a chunk was last asked for. */
  #askedMs = 0;
  readonly #awake: AwakeTime;
  #watch: Timer | null = null;
  #isOver = false;

  constructor(
    parts: TransferParts,
    order: CollectionOrder,
    onEnd: (end: ModelState | PacelineError) => void,
  ) {
    this.#parts = parts;
    this.#order = order;
    this.#onEnd = onEnd;
    this.#awake = new AwakeTime(parts.clock, 2 * lookMs);
    const { layout, view, stateParts, onMarked } = order;
    const isCut = onMarked !== null;
    this.#wanted = isCut ? view.replicas.map(([primary]) => primary!) : copySources(view, layout);
    this.#markedLeft = isCut ? layout.chunks.length : 0;
    this.#copied = layout.chunks.map(() => new Map<number, number>());
    this.#sources = layout.chunks.map(() => null);
    this.#chunksLeft = layout.chunks.length;
    const vectors = chunkParts.slice(0, 1 + stateParts);
    this.#vectors = vectors.map(() => new Float32Array(layout.values));
  }

  begin(): void {
    const { view, layout } = this.#order;
    this.#parts.signal?.addEventListener("abort", () => {
      this.#end(new PacelineError("unavailable", "the servers are asked no more"));
    });
    try {
      for (const server of view.servers) {
        const chunks = layout.chunks
          .map(({ index }) => index)
          .filter((chunk) => this.#copiersOf(chunk).includes(server.index));
        if (chunks.length > 0) this.#open(server, chunks);
      }
    } catch (thrown) {
      this.#end(toPacelineError(thrown));
    }
    if (!this.#isOver) this.#look();
  }

  #copiersOf(chunk: number): number[] {
    return [...new Set([this.#order.view.replicas[chunk]![0]!, this.#wanted[chunk]!])];
  }

  #open(server: ViewServer, chunks: readonly number[]): void {
    const heardMs = this.#awake.nowMs();
    const state = { wasOpen: false, heardMs, queue: [], coming: new Map<number, number>() };
    const giver: Giver = { server, chunks, link: null, ...state };
    this.#givers.set(server.index, giver);
    const find = () => this.#parts.route?.(server) ?? server.address;
    const identity = { run: this.#order.view.run, rank: -1, incarnation: 0 };
    giver.link = new ServerLink(this.#parts, find, identity, {
      onOpen: () => this.#onOpen(giver),
      onHeader: (header, payloadBytes) => this.#destination(giver, header, payloadBytes),
      onChunk: (header) => this.#onChunk(giver, header),
      onTrouble: () => {},
    });
  }

  #say(giver: Giver, kind: ChunkKind, chunk: number, detail = ""): void {
    const { run, number, generation } = this.#order.view;
    giver.heardMs = this.#awake.nowMs();
    const tags = { run, term: termOf(number), generation };
    giver.link?.send({ ...emptyHeader, ...tags, kind, chunk, detail }, null);
  }

  /** What was kept for an earlier channel is gone. */
  #onOpen(giver: Giver): void {
    const isAgain = giver.wasOpen;
    giver.wasOpen = true;
    if (!isAgain) {
      const kind = this.#order.onMarked === null ? "copy" : "mark";
      for (const chunk of giver.chunks) this.#say(giver, kind, chunk);
      return;
    }
    const { index } = giver.server;
    const isDone = (chunk: number) => chunk in this.#marks;
    const isOther = (chunk: number) => ![index, null].includes(this.#sources[chunk]!);
    const gone = giver.chunks.filter((chunk) => !isDone(chunk) && !isOther(chunk));
    if (gone.length === 0) return;
    if ((this.#isCopied && this.#order.beside !== null) || this.#order.onMarked !== null) {
      const what = `the link to server-${index} broke, and ${gone.length} copies are lost with it`;
      this.#end(new PacelineError("unavailable", what));
      return;
    }
    giver.queue = [];
    giver.coming.clear();
    for (const chunk of gone) {
      if (!this.#isCopied) this.#sources[chunk] = null;
      for (const copier of this.#isCopied ? [index] : this.#copiersOf(chunk)) {
        this.#copied[chunk]!.delete(copier);
        this.#say(this.#givers.get(copier)!, "copy", chunk);
      }
    }
  }

  #destination({ coming }: Giver, header: ChunkHeader, payloadBytes: number): Uint8Array | null {
    const chunk = this.#order.layout.chunks[header.chunk];
    const vector = this.#vectors[chunkParts.indexOf(header.part)];
    if (chunk === undefined || vector === undefined || !coming.has(chunk.index)) return null;
    return payloadBytes === chunk.length * 4 ? bytesOf(vector, chunk.offset, chunk.length) : null;
  }

  #onChunk(giver: Giver, header: ChunkHeader): void {
    giver.heardMs = this.#awake.nowMs();
    try {
      this.#take(giver, header);
    } catch (thrown) {
      this.#end(toPacelineError(thrown));
    }
  }

  #take(giver: Giver, header: ChunkHeader): void {
    const { chunk } = header;
    const { index } = giver.server;
    if (header.kind === "saved") {
      this.#onSaved(giver, header);
    } else if (header.kind === "copied" && this.#markedLeft > 0) {
      this.#onMarked(giver, header);
    } else if (header.kind === "copied") {
      this.#onCopied(giver, chunk, header.step);
    } else if (index !== this.#order.view.replicas[chunk]?.[0] && !this.#isCopied) {
      // The primary has it.
      this.#onCopied(giver, chunk, -1);
    } else {
      throw new PacelineError("refused", `server-${index} refused: ${header.detail}`);
    }
  }

  #onMarked(giver: Giver, { chunk, detail }: ChunkHeader): void {
    const { onMarked } = this.#order;
    if (onMarked === null || !giver.chunks.includes(chunk) || chunk in this.#marked) return;
    this.#marked[chunk] = readMarks(detail, chunk);
    this.#markedLeft--;
    if (this.#markedLeft > 0) return;
    const limits = cutLimitsOf(this.#marked.map(({ applied }) => applied));
    onMarked(limits);
    const told = JSON.stringify(limits);
    for (const one of this.#givers.values()) {
      for (const index of one.chunks) this.#say(one, "cut", index, told);
    }
  }

  #onCopied(giver: Giver, chunk: number, seq: number): void {
    const { index } = giver.server;
    const copied = this.#copied[chunk];
    if (copied === undefined || copied.has(index) || !giver.chunks.includes(chunk)) return;
    copied.set(index, seq);
    if (this.#isCopied) {
      // Taken again, at rest: nothing has changed since.
      giver.queue.push(chunk);
      this.#askMore(giver);
      return;
    }
    const copiers = this.#copiersOf(chunk);
    if (!copiers.every((copier) => copied.has(copier))) return;
    const primary = copiers[0]!;
    const wanted = this.#wanted[chunk]!;
    const source = copied.get(wanted) === copied.get(primary) ? wanted : primary;
    this.#sources[chunk] = source;
    for (const copier of copiers) {
      if (copier !== source) this.#say(this.#givers.get(copier)!, "discard", chunk);
    }
    if (this.#sources.includes(null)) return;
    this.#isCopied = true;
    this.#sources.forEach((server, of) => void this.#givers.get(server!)!.queue.push(of));
    this.#order.onCopied();
    for (const one of this.#givers.values()) this.#askMore(one);
  }

  #askMore(giver: Giver): void {
    const { beside } = this.#order;
    const isPaced = beside !== null && !beside.isHurried;
    // Beside training one chunk after the other is enough.
    if (isPaced && [...this.#givers.values()].some(({ coming }) => coming.size > 0)) return;
    while (giver.coming.size < (isPaced ? 1 : chunksInFlight)) {
      const chunk = giver.queue.shift();
      if (chunk === undefined) return;
      giver.coming.set(chunk, this.#vectors.length);
      this.#askedMs = this.#parts.clock.nowMs();
      this.#say(giver, "save", chunk);
    }
  }

  async #goOn(chunk: number): Promise<void> {
    const { beside, layout } = this.#order;
    const bytes = 4 * this.#vectors.length * layout.chunks[chunk]!.length;
    await beside?.rest(this.#askedMs, bytes);
    if (this.#isOver) return;
    for (const giver of this.#givers.values()) this.#askMore(giver);
  }

  #onSaved(giver: Giver, { chunk, part, detail }: ChunkHeader): void {
    const left = giver.coming.get(chunk);
    if (left === undefined) return;
    giver.coming.set(chunk, left - 1);
    if (left > 1) return;
    giver.coming.delete(chunk);
    if (part !== "weights") {
      throw new PacelineError("protocol", `part ${part} of chunk ${chunk} follows the weights`);
    }
    this.#marks[chunk] = readMarks(detail, chunk);
    this.#chunksLeft--;
    if (this.#chunksLeft > 0) void this.#goOn(chunk);
    else this.#end(null);
  }

  /**
   * One that is asked for something and says nothing is not waited for without end, unless it may
   * wait for a slow worker's push.
   */
  #look(): void {
    const { clock, ioTimeoutMs } = this.#parts;
    const isCut = this.#order.onMarked !== null;
    for (const { server, chunks, coming, heardMs } of this.#givers.values()) {
      const lacks = (chunk: number) =>
        isCut ? !(chunk in this.#marked) : !this.#copied[chunk]!.has(server.index);
      const isAsked = coming.size > 0 || chunks.some(lacks);
      const silentMs = this.#awake.nowMs() - heardMs;
      if (!isAsked || silentMs < ioTimeoutMs) continue;
      const silence = `has not answered for ${(silentMs / 1000).toFixed(0)} s`;
      const name = `server-${server.index} at ${server.address}`;
      this.#end(new PacelineError("timeout", `${name} ${silence}`));
      return;
    }
    this.#watch = clock.after(lookMs, () => this.#look());
  }

  #end(error: PacelineError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watch?.cancel();
    for (const { link } of this.#givers.values()) link?.close();
    const [weights, ...state] = this.#vectors;
    this.#onEnd(error ?? { weights: weights!, state, marks: this.#marks });
  }
}

/**
 * Watches the copies of chunks: what each server has acknowledged of each, from the messages that
 * it sends, and what primaries say meanwhile.
 *
 * What is looked at: no version leaves a primary before every backup of its view has acknowledged
 * it, and no candidate is promoted before it has acknowledged all that somebody has seen. An
 * acknowledgement counts here from its sending on, which is sooner than its primary may count it.
 * All who have applied the same entry have the same bits of weights and state.
 */
import type { Entry } from "../../core/server/entry.js";
import type { ChunkHeader, MemberMessage } from "../../protocol/messages.js";
import { serverOfIndex, type View } from "../../protocol/view.js";
import { digestOf } from "../toy-model.js";

/** What a copy watch stands beside. */
export interface CopySurroundings {
  /** The last view that a server was told; null before the first. */
  viewOf(server: number): View | null;
  /** The highest version of a chunk that somebody has seen. */
  seen(chunk: number): number;
  violated(kind: string, sentence: string): void;
}

/** Watches one part of a run. */
export class CopyWatch {
  readonly #around: CopySurroundings;
  /** By chunk and seq the version. */
  readonly #versions = new Map<string, number>();
  /** By chunk and life of a server the highest version that it has acknowledged. */
  readonly #acknowledged = new Map<string, number>();
  readonly #promoted = new Set<string>();
  /** Lives of servers that are members no more: the coordinator takes nothing from them. */
  readonly #lost = new Set<number>();
  /** By chunk and version the bits that the first server had. */
  readonly #bits = new Map<string, { readonly server: string; readonly digest: string }>();

  constructor(around: CopySurroundings) {
    this.#around = around;
  }

  /** The run has gone back: what was acknowledged before is nobody's. */
  wentBack(): void {
    this.#versions.clear();
    this.#acknowledged.clear();
    this.#promoted.clear();
    this.#bits.clear();
  }

  /** A server has applied an entry, as the first to do so or as others have before. */
  applied(
    server: string,
    { chunk, version }: Pick<Entry, "chunk" | "version">,
    values: readonly Float32Array[],
    isCopy: boolean,
  ): void {
    const key = `${chunk}/${version}`;
    const digest = values.map((part) => digestOf(part)).join();
    const first = this.#bits.get(key);
    if (!isCopy || first === undefined) {
      this.#bits.set(key, { server, digest });
      return;
    }
    if (first.digest === digest) return;
    const sentence = `${server} has other bits of chunk ${chunk} at version ${version} than`;
    this.#around.violated("copies differ", `${sentence} ${first.server}`);
  }

  /** A server has sent a chunk message; of none that is part of the run any more. */
  sent(server: number, header: ChunkHeader): void {
    const { kind, chunk, step: seq, version, incarnation } = header;
    if (kind === "snapshot" || kind === "entry") this.#versions.set(`${chunk}/${seq}`, version);
    else if (kind === "received" || kind === "follow") {
      const known = this.#versions.get(`${chunk}/${seq}`) ?? 0;
      const key = `${chunk}/${incarnation}`;
      const before = this.#acknowledged.get(key) ?? 0;
      if (seq >= 0) this.#acknowledged.set(key, Math.max(before, known));
    } else if (kind === "reply" && header.outcome !== "refused") this.#weighReply(server, header);
  }

  #weighReply(server: number, { chunk, version }: ChunkHeader): void {
    const view = this.#around.viewOf(server);
    if (view?.replicas[chunk]?.[0] !== server) return;
    for (const backup of view.replicas[chunk].slice(1)) {
      const life = serverOfIndex(view, backup)?.incarnation ?? 0;
      const has = this.#acknowledged.get(`${chunk}/${life}`);
      if (has === undefined || has >= version) continue;
      const what = `server ${server} says version ${version} of chunk ${chunk}`;
      const sentence = `${what}, of which server ${backup} has acknowledged ${has}`;
      this.#around.violated("said before a backup has it", sentence);
    }
  }

  /** A server is lost: nobody waits for what it has. */
  lost(incarnation: number): void {
    this.#lost.add(incarnation);
    for (const key of this.#acknowledged.keys()) {
      if (key.endsWith(`/${incarnation}`)) this.#acknowledged.delete(key);
    }
  }

  /**
   * A primary, this life of a server, says that a candidate has caught up; what it says again is
   * older than it seems.
   */
  caughtUp(primary: number, message: MemberMessage & { readonly type: "caughtUp" }): void {
    const { chunk, server, incarnation } = message;
    const key = `${chunk}/${incarnation}`;
    const has = this.#acknowledged.get(key);
    if (has === undefined || this.#promoted.has(key) || this.#lost.has(primary)) return;
    this.#promoted.add(key);
    const seen = this.#around.seen(chunk);
    if (has >= seen) return;
    const what = `server ${server} is promoted with version ${has} of chunk ${chunk}`;
    this.#around.violated("promoted before it has all", `${what}, ${seen} has been seen`);
  }
}

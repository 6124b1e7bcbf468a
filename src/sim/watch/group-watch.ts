/**
 * What must hold where workers step in groups: an update has workers of one group, by what the
 * decider's primary says of its groups; every chunk has the same ones in it, but for those who were
 * lost meanwhile; and it has the share of the rate that they are of all workers.
 */
import type { Entry } from "../../core/server/entry.js";
import { deciderChunk } from "../../core/server/step-decisions.js";

/** Whom the watch asks and tells. */
export interface GroupWatchParts {
  readonly workersMax: number;
  /** True of a life that has ended, or that the run went back behind. */
  isGone(incarnation: number): boolean;
  violated(kind: string, sentence: string): void;
}

/** Looks at the updates of one part of a run. */
export class GroupWatch {
  readonly #parts: GroupWatchParts;
  /** By server the ranks in each group, as it has said last. */
  readonly #groups = new Map<string, readonly (readonly number[])[]>();
  /** By the name of an update and chunk the lives that are in it. */
  readonly #updates = new Map<number, Map<number, ReadonlySet<number>>>();

  constructor(parts: GroupWatchParts) {
    this.#parts = parts;
  }

  /** A server has said something: maybe who steps with whom from here on. */
  logged(server: string, text: string): void {
    const [, groups] = /^workers step in groups: (.*)$/.exec(text) ?? [];
    if (groups === undefined) return;
    const ranksOf = (group: string) =>
      group
        .replace(/\(.*\)/, "")
        .trim()
        .split(" ")
        .map(Number);
    this.#groups.set(server, groups.split(", ").map(ranksOf));
  }

  /** A chunk has applied an entry; `isPrimary`: on the server that has made it. */
  applied(server: string, { chunk, marks, scale, pushes }: Entry, isPrimary: boolean): void {
    const name = marks[0]?.inStep ?? 0;
    if (name >= 0) {
      this.#parts.violated("no group", `chunk ${chunk} has an update of no group`);
      return;
    }
    const share = Math.fround(pushes / this.#parts.workersMax);
    if (scale !== share) {
      const sentence = `an update of ${pushes} workers of ${this.#parts.workersMax}`;
      this.#parts.violated("share", `${sentence} has ${scale} of the rate, not ${share}`);
    }
    if (chunk === deciderChunk && isPrimary) this.#compareGroup(server, marks);
    const chunks = this.#updates.get(name) ?? new Map<number, ReadonlySet<number>>();
    const lives = new Set(marks.map(({ incarnation }) => incarnation));
    this.#updates.set(name, chunks.set(chunk, lives));
    for (const other of chunks.keys()) {
      if (other === chunk || (other !== deciderChunk && chunk !== deciderChunk)) continue;
      this.#compare(name, [chunk, other], chunks);
    }
  }

  /** The run has gone back to a checkpoint. */
  wentBack(): void {
    this.#updates.clear();
  }

  #compareGroup(server: string, marks: Entry["marks"]): void {
    if (marks.length < 2) return;
    const ranks = marks.map(({ rank }) => rank);
    const groups = this.#groups.get(server) ?? [];
    if (groups.some((group) => ranks.every((rank) => group.includes(rank)))) return;
    const told = groups.map((group) => group.join(" ")).join(", ");
    this.#parts.violated("mixed groups", `an update of workers ${ranks}, the groups are ${told}`);
  }

  #compare(
    name: number,
    [one, other]: readonly [number, number],
    chunks: ReadonlyMap<number, ReadonlySet<number>>,
  ): void {
    const [mine, theirs] = [chunks.get(one)!, chunks.get(other)!];
    const apart = [...mine, ...theirs].filter((life) => mine.has(life) !== theirs.has(life));
    if (apart.every((life) => this.#parts.isGone(life))) return;
    const sets = `chunk ${one} has ${[...mine]}, chunk ${other} ${[...theirs]}`;
    this.#parts.violated("torn group", `update ${-name} of the decider: ${sets}`);
  }
}

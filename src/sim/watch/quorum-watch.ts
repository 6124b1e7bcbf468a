/**
 * What must hold of steps that are sealed without all workers: every chunk has the same
 * contributors in a step, but for those who were lost meanwhile, and these had computed on the same
 * versions, if they were in time.
 */
import type { Entry } from "../../core/server/entry.js";
import { deciderChunk } from "../../core/server/step-decisions.js";
import type { Ledger } from "./ledger.js";

/** Whom the watch asks and tells. */
export interface QuorumWatchParts {
  readonly ledger: Ledger;
  /** False where workers may have other values than servers. */
  readonly knowsVersions: boolean;
  /** True of a life that has ended, or that the run went back behind. */
  isGone(incarnation: number): boolean;
  violated(kind: string, sentence: string): void;
}

/** Looks at the steps of one part of a run. */
export class QuorumWatch {
  readonly #parts: QuorumWatchParts;
  /** By chunk the last step sealed where late pushes are merged, and the version that it led to. */
  readonly #sealed = new Map<number, { readonly step: number; readonly version: number }>();
  /** By step and chunk the lives that are in it. */
  readonly #steps = new Map<number, Map<number, ReadonlySet<number>>>();

  constructor(parts: QuorumWatchParts) {
    this.#parts = parts;
  }

  /**
   * A chunk has applied an entry of a phase whose steps are sealed without all. `isMerged`: what is
   * late there may be an update by itself, between the beginnings of workers that are in a step.
   */
  applied({ chunk, marks, version, sealedStep: step }: Entry, isMerged: boolean): void {
    // The entry of a push that came too late, or of a later phase, seals nothing.
    const isLate = marks.length > 0 && marks.every(({ verdict }) => verdict.outcome === "dropped");
    if (isLate || marks.some((mark) => (mark.inStep ?? mark.step) !== step)) return;
    const applied = marks.filter(({ verdict }) => verdict.outcome === "applied");
    const lives = applied.map(({ incarnation }) => incarnation);
    const inTime = applied.filter((mark) => mark.step === step);
    const chunks = this.#steps.get(step) ?? new Map<number, ReadonlySet<number>>();
    this.#steps.set(step, chunks.set(chunk, new Set(lives)));
    for (const other of chunks.keys()) {
      if (other === chunk || (other !== deciderChunk && chunk !== deciderChunk)) continue;
      this.#compare(step, [chunk, other], chunks);
    }
    if (!this.#parts.knowsVersions) return;
    const onTime = inTime.map(({ incarnation }) => incarnation);
    if (isMerged) this.#weighVersions({ chunk, step, version }, onTime);
    else this.#compareVersions(step, onTime);
  }

  /** The run has gone back to a checkpoint. */
  wentBack(): void {
    this.#sealed.clear();
    this.#steps.clear();
  }

  #compare(
    step: number,
    [one, other]: readonly [number, number],
    chunks: ReadonlyMap<number, ReadonlySet<number>>,
  ): void {
    const [mine, theirs] = [chunks.get(one)!, chunks.get(other)!];
    const apart = [...mine, ...theirs].filter((life) => mine.has(life) !== theirs.has(life));
    const torn = apart.filter((life) => !this.#parts.isGone(life));
    if (torn.length === 0) return;
    const sets = `chunk ${one} has ${[...mine]}, chunk ${other} ${[...theirs]}`;
    this.#parts.violated("torn step", `step ${step}: ${sets}`);
  }

  /** What is in time was computed on what the step before led to, or on what is behind that. */
  #weighVersions(
    { chunk, step, version }: Pick<Entry, "chunk" | "version"> & { readonly step: number },
    lives: readonly number[],
  ): void {
    const before = this.#sealed.get(chunk);
    this.#sealed.set(chunk, { step, version });
    const least = before?.step === step - 1 ? before.version : 0;
    for (const life of lives) {
      const found = this.#parts.ledger.stepOf(life, step)?.versions[chunk];
      if (found === undefined || (found >= least && found <= version)) continue;
      const range = `version ${found} of chunk ${chunk}, not one from ${least} to ${version}`;
      this.#parts.violated("parameters out of step", `step ${step} has a gradient of ${range}`);
    }
  }

  #compareVersions(step: number, lives: readonly number[]): void {
    const { ledger, violated } = this.#parts;
    const versions = lives.flatMap((life) => ledger.stepOf(life, step)?.versions.join() ?? []);
    if (new Set(versions).size <= 1) return;
    violated("parameters out of step", `step ${step} has gradients of ${versions.join("; ")}`);
  }
}

/**
 * Looks at the first step of each life of a worker: where nothing bounds how far others go on
 * meanwhile, it is of weights no older than the moment in which it heard of work, if it had all of
 * them by then. So its first push is stale by what others push while it computes, and no more.
 */
import type { Ledger, LedgerStep } from "./ledger.js";

/** Of one part of a run. */
export class FirstStepWatch {
  readonly #ledger: Ledger;
  readonly #violated: (kind: string, sentence: string) => void;
  /** By life that has heard of work: by chunk the version that had left the servers by then. */
  readonly #heard = new Map<number, readonly number[]>();
  readonly #begun = new Set<number>();

  constructor(ledger: Ledger, violated: (kind: string, sentence: string) => void) {
    this.#ledger = ledger;
    this.#violated = violated;
  }

  /** A life that had all its weights has heard of work. */
  heardWork(incarnation: number): void {
    if (this.#begun.has(incarnation)) return;
    const { chunks } = this.#ledger.layout;
    this.#heard.set(
      incarnation,
      chunks.map(({ index }) => this.#ledger.seen(index)),
    );
  }

  /** The run has gone back: so have versions. */
  wentBack(): void {
    this.#heard.clear();
  }

  /** A life computes a step, of these versions where they are known. */
  computed({ rank, incarnation, step, versions }: LedgerStep, isUnbounded: boolean): void {
    const heard = this.#heard.get(incarnation);
    const isFirst = !this.#begun.has(incarnation);
    this.#begun.add(incarnation);
    this.#heard.delete(incarnation);
    if (!isFirst || !isUnbounded || heard === undefined) return;
    const old = versions.findIndex((version, chunk) => version < heard[chunk]!);
    if (old < 0) return;
    const who = `worker ${rank} begins with step ${step}`;
    const what = `version ${versions[old]} of chunk ${old}`;
    this.#violated("old weights", `${who} on ${what}, and had work at version ${heard[old]}`);
  }
}

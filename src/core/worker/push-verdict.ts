/**
 * One verdict for all chunks of a push. The chunk that is final first leads: it is pushed at once,
 * and where the pace judges pushes its answer says what becomes of the whole. Until then the
 * others are held here; then they carry the verdict in their headers, as does whatever is sent
 * again. Where nobody judges, nothing is held.
 *
 * Invariant: of a step's chunks exactly one leads, and no other is pushed before its answer where
 * the pace judges.
 */

/** What is known of the verdict on one step's push. */
export class PushVerdict {
  readonly #isJudged: boolean;
  #leader: number | null = null;
  #scale: number | null = null;
  readonly #held: number[] = [];

  /** `isJudged` says whether the others have to wait for what the first is answered. */
  constructor(isJudged: boolean) {
    this.#isJudged = isJudged;
  }

  /** A chunk's gradient is final; may it be pushed? If not, `decided` returns it later. */
  admits(chunk: number): boolean {
    this.#leader ??= chunk;
    if (this.#leader === chunk || !this.#isJudged || this.#scale !== null) return true;
    this.#held.push(chunk);
    return false;
  }

  /** A chunk is answered, with this verdict if any; the chunks that may be pushed from here on. */
  decided(chunk: number, scale: number | null): readonly number[] {
    if (chunk !== this.#leader || !this.#isJudged || this.#scale !== null) return [];
    this.#scale = scale;
    return scale === null ? [] : this.#held.splice(0);
  }

  /** True once the leading chunk has rejected it, which then holds for all. */
  get isRejected(): boolean {
    return this.#scale === 0;
  }

  /** What the header of a chunk's push says. */
  tagsOf(chunk: number): { readonly leads: boolean; readonly scale: number | null } {
    const leads = chunk === this.#leader;
    return { leads, scale: leads ? null : this.#scale };
  }
}

/**
 * The timing policy of Sync-Switch (Li, Mangoubi, Xu, Guo: "Sync-Switch: Hybrid Parameter
 * Synchronization for Distributed Deep Learning", ICDCS 2021): the least share of a run's work to
 * do in step (BSP), before the rest is done asynchronously, that keeps the accuracy of BSP alone.
 *
 * It halves the range: the middle is tried, and where its mean accuracy comes within a margin of
 * BSP's it becomes the upper end, else the lower. So it takes accuracy to rise with the share, and
 * is done after a given number of trials.
 */

/** What the search depends on. */
export interface SearchSettings {
  /** How far below BSP's mean accuracy a share's may be; both are fractions. */
  readonly margin: number;
  /** Shares that are tried at the most. */
  readonly trialsMax: number;
}

/** What is known of one share. */
export interface Measured {
  /** Mean accuracy over its runs, as a fraction. */
  readonly accuracy: number;
  readonly runs: number;
  /** The share that was measured, where another stands for the one that was asked for. */
  readonly share: number;
}

/** One share that was tried. */
export interface Trial extends Measured {
  /** The share that was asked for. */
  readonly asked: number;
  readonly isEnough: boolean;
  /** With the numbers. */
  readonly reason: string;
}

/** What the search came to. */
export interface SearchResult {
  /** The least share that is enough, as far as was looked; 1 where BSP alone is. */
  readonly share: number;
  /** BSP's own. */
  readonly reference: Measured;
  readonly trials: readonly Trial[];
}

/** Searches; `measure` has a share's runs carried out, or looks them up. */
export async function searchSwitch(
  { margin, trialsMax }: SearchSettings,
  measure: (share: number) => Measured | Promise<Measured>,
): Promise<SearchResult> {
  const reference = await measure(1);
  const wanted = reference.accuracy - margin;
  const trials: Trial[] = [];
  let [lower, upper] = [0, 1];
  while (trials.length < trialsMax) {
    const asked = (lower + upper) / 2;
    const measured = await measure(asked);
    const isEnough = measured.accuracy >= wanted;
    trials.push({ ...measured, asked, isEnough, reason: reasonOf(asked, measured, wanted) });
    if (isEnough) upper = asked;
    else lower = asked;
  }
  return { share: upper, reference, trials };
}

function reasonOf(asked: number, { accuracy, share, runs }: Measured, wanted: number): string {
  const measured = share === asked ? "" : `, taken as ${percent(share)},`;
  const of = `${percent(asked)} in step${measured} reaches ${percent(accuracy)}`;
  const over = `over ${runs} run${runs === 1 ? "" : "s"}`;
  const verdict = accuracy >= wanted ? "at least" : "less than";
  return `${of} ${over}: ${verdict} the ${percent(wanted)} wanted`;
}

/** A fraction as people read it: 6.25%. */
export function percent(fraction: number): string {
  return `${Number((fraction * 100).toFixed(4))}%`;
}

/**
 * The choice of `--compress auto`: what a push costs as each codec is the time of its bytes on the
 * link and the time of encoding and decoding; the cheapest is taken where it is worth it, and
 * where it is not values stay as they are.
 *
 * The rule is pure and answers with a sentence that holds the numbers it was drawn from. What is
 * worth it: a tenth of the step and two milliseconds, so that neither a link as fast as memory nor
 * what noise a measurement has ever costs bits. Within one computer bytes wait for its processors,
 * which codecs would keep busier still: there only what is as slow as a small network (as behind a
 * shaping proxy) counts as a link.
 */
import { type Compression, compressionTitle } from "../protocol/compression.js";

/** What was measured of the link and of the steps. */
export interface LinkMeasure {
  /** Infinity where a large message took no longer than a small one. */
  readonly bytesPerSecond: number;
  readonly stepSeconds: number;
  /** The servers are on this computer. */
  readonly isLocal: boolean;
}

/** What pushing every weight's gradient once takes as one codec. */
export interface PushCost {
  readonly compression: Compression;
  readonly bytes: number;
  /** Of encoding and decoding. */
  readonly codecSeconds: number;
}

/** The choice and why it was made. */
export interface CompressionChoice {
  readonly compression: Compression;
  readonly reason: string;
}

const worthShare = 0.1;
const worthSeconds = 0.002;
/** 160 Mb/s. */
const localBytesPerSecond = 20e6;

/** Chooses; `raw` is what the others must beat. */
export function chooseCompression(
  link: LinkMeasure,
  raw: PushCost,
  others: readonly PushCost[],
): CompressionChoice {
  const secondsOf = ({ bytes, codecSeconds }: PushCost) =>
    bytes / link.bytesPerSecond + codecSeconds;
  const best = others.reduce(
    (least, one) => (secondsOf(one) < secondsOf(least) ? one : least),
    raw,
  );
  const worth = Math.max(worthSeconds, worthShare * link.stepSeconds);
  const isLink = !link.isLocal || link.bytesPerSecond < localBytesPerSecond;
  const isWorth = isLink && secondsOf(raw) - secondsOf(best) >= worth;
  const compression = isWorth ? best.compression : raw.compression;
  const costs = [raw, ...others].map(
    (cost) => `${milliseconds(secondsOf(cost))} as ${compressionTitle(cost.compression)}`,
  );
  const rate = Number.isFinite(link.bytesPerSecond)
    ? `the link carries ${(link.bytesPerSecond / 1e6).toPrecision(3)} MB/s`
    : "the link is as fast as memory";
  const step = `a step takes ${milliseconds(link.stepSeconds)}, ${rate}`;
  const push = `pushing ${(raw.bytes / 1e6).toPrecision(3)} MB costs ${costs.join(", ")}`;
  const why = isLink
    ? `no codec saves the ${milliseconds(worth)} that make it worth it`
    : "the servers are on this computer, where bytes wait for processors";
  const verdict = isWorth
    ? `pushes are sent as ${compressionTitle(compression)}`
    : `${why}, pushes stay uncompressed`;
  return { compression, reason: `--compress auto: ${step}; ${push}: ${verdict}` };
}

function milliseconds(seconds: number): string {
  return `${Number((seconds * 1000).toPrecision(3))} ms`;
}

/**
 * What the proxy that stands in for a link really carries on this machine: it copies every byte in
 * one thread, so a link may be faster than the proxy. Measured with both directions full at once,
 * as pushes and replies fill them, by one other process.
 */
import { fileURLToPath } from "node:url";
import { PacelineError } from "../../errors.js";
import { startShapingProxy } from "../../transport/shaping/shaping-proxy.js";
import { type Link, linkTitle } from "../harness/link.js";
import { LineProcess } from "../harness/peer-process.js";

const measuredMs = 500;
/** A link whose proxy carries less than this share of it is said to be slower than its name. */
const faithfulShare = 0.9;

/** Throws "usage" where a transport was asked for that goes past every link. */
export function demandLinkable(
  links: readonly (Link | null)[],
  transports: readonly string[],
): void {
  const link = links.find((one) => one !== null);
  if (link === undefined || !transports.includes("unix")) return;
  const sentence = `--transport unix bypasses --link ${linkTitle(link)}`;
  throw new PacelineError("usage", `${sentence}; write tcp or grpc, or leave the link out`);
}

/** Measures each link for half a second, tells it, and gives lines on those that fall short. */
export async function tellCeilings(
  links: readonly (Link | null)[],
  log: (line: string) => void,
): Promise<string[]> {
  const short: string[] = [];
  for (const link of links) {
    if (link === null) continue;
    const { bitsPerSecond } = link;
    const carried = 8 * (await carriedBytesPerSecond(bitsPerSecond / 8));
    const title = linkTitle({ bitsPerSecond, delayMs: 0 });
    const line = `link ${title}: the proxy carries ${gigabits(carried)} each way at a time here`;
    log(line);
    if (carried < faithfulShare * bitsPerSecond) {
      short.push(`${line}: rows over ${linkTitle(link)} are those of what it carries`);
    }
  }
  return short;
}

/** Of each direction, with both full. */
async function carriedBytesPerSecond(bytesPerSecond: number): Promise<number> {
  const entry = fileURLToPath(new URL("./link-child.js", import.meta.url));
  const ends = new LineProcess(process.execPath, [entry]);
  const proxy = await startShapingProxy({ bytesPerSecond });
  try {
    const { address } = await ends.ask({ address: null, forMs: 0 });
    proxy.aim(String(address));
    const answer = await ends.ask({ address: proxy.address, forMs: measuredMs });
    return Number(answer.bytesPerSecond);
  } finally {
    await ends.close();
    await proxy.close();
  }
}

function gigabits(bitsPerSecond: number): string {
  return `${Number((bitsPerSecond / 1e9).toPrecision(3))} Gb/s`;
}

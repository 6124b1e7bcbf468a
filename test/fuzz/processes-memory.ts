/** What processes hold while they are beset: sampled, with the peak and the slope. */
import { readFile } from "node:fs/promises";

const mebibyte = 2 ** 20;

/** Memory of some processes over time. */
export class ProcessesMemory {
  readonly #pids: ReadonlyMap<string, number>;
  readonly #samples = new Map<string, { readonly atMs: number; readonly bytes: number }[]>();

  constructor(pids: ReadonlyMap<string, number>) {
    this.#pids = pids;
  }

  /** Reads each process once; one that has ended is left out. */
  async sample(): Promise<void> {
    for (const [name, pid] of this.#pids) {
      const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      const kibibytes = Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
      if (kibibytes === 0) continue;
      const samples = this.#samples.get(name) ?? [];
      samples.push({ atMs: performance.now(), bytes: kibibytes * 1024 });
      this.#samples.set(name, samples);
    }
  }

  /** Of each process the most that it held, and by how much it grew in the second half. */
  grown(): { readonly name: string; readonly peakMiB: number; readonly slopeMiB: number }[] {
    return [...this.#samples].map(([name, samples]) => {
      const later = samples.slice(samples.length >> 1);
      const peak = Math.max(...samples.map(({ bytes }) => bytes));
      return { name, peakMiB: peak / mebibyte, slopeMiB: slopeOf(later) };
    });
  }
}

/** MiB a minute, as the line says that lies closest to the samples. */
function slopeOf(samples: readonly { readonly atMs: number; readonly bytes: number }[]): number {
  const count = samples.length;
  if (count < 2) return 0;
  const meanMs = samples.reduce((sum, { atMs }) => sum + atMs, 0) / count;
  const mean = samples.reduce((sum, { bytes }) => sum + bytes, 0) / count;
  let [products, squares] = [0, 0];
  for (const { atMs, bytes } of samples) {
    products += (atMs - meanMs) * (bytes - mean);
    squares += (atMs - meanMs) ** 2;
  }
  return squares === 0 ? 0 : ((products / squares) * 60_000) / mebibyte;
}

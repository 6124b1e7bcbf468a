/**
 * A disk that stands still for a time, as one that is overloaded or whose controller resets does:
 * whatever is asked of it in that time is done at its end.
 */

let heldUntilMs = 0;

/** Has the disk of this process stand still from now on. */
export function holdDisk(forMs: number): void {
  heldUntilMs = performance.now() + forMs;
}

/** Resolves once the disk goes on. */
export async function untilDiskGoesOn(): Promise<void> {
  for (;;) {
    const leftMs = heldUntilMs - performance.now();
    if (leftMs <= 0) return;
    await new Promise((resolve) => setTimeout(resolve, leftMs));
  }
}

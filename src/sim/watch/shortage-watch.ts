/**
 * Watches how long a run waits for workers when fewer are there than must be: it may not give up
 * before its time is over, unless so many processes are started no more that waiting is in vain.
 */
import type { RunEvent } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { simulatedTimes } from "../cluster-plan.js";

/** What the coordinator makes durable first may take so long, and be frozen meanwhile. */
const slackMs = 200;

/** Watches one part of a run. */
export class ShortageWatch {
  readonly #spec: Pick<RunSpec, "workersMin" | "workersMax">;
  readonly #violated: (kind: string, sentence: string) => void;
  #present = new Set<number>();
  /** Since when fewer are there than must be; null while enough are. */
  #sinceMs: number | null = null;
  /** Ranks of which the coordinator was told that nobody starts them again. */
  readonly #givenUp = new Set<number>();

  constructor(
    spec: Pick<RunSpec, "workersMin" | "workersMax">,
    violated: (kind: string, sentence: string) => void,
  ) {
    this.#spec = spec;
    this.#violated = violated;
  }

  /** A worker's process has ended, as the coordinator is told. */
  exited(rank: number, restarts: boolean): void {
    if (!restarts) this.#givenUp.add(rank);
  }

  /** A worker's process begins. */
  started(rank: number): void {
    this.#givenUp.delete(rank);
  }

  /** The coordinator has said something. */
  told(event: RunEvent, nowMs: number): void {
    if (event.kind === "view") this.#present = new Set(event.workers);
    const isGone = event.kind === "lost" || event.kind === "left";
    if (isGone && event.role === "worker") this.#present.delete(event.rank);
    if (event.kind === "view" || isGone) {
      const isShort = this.#present.size < this.#spec.workersMin;
      this.#sinceMs = isShort ? (this.#sinceMs ?? nowMs) : null;
    }
    if (/^\d+ workers? (is|are) left and at least \d+ must be/.test(event.text)) {
      this.#gaveUp(event.text, nowMs);
    }
  }

  #gaveUp(text: string, nowMs: number): void {
    const waitedMs = nowMs - (this.#sinceMs ?? nowMs);
    const { workersMin, workersMax } = this.#spec;
    if (waitedMs >= simulatedTimes.waitForWorkersMs - slackMs) return;
    if (workersMax - this.#givenUp.size < workersMin) return;
    const waited = `after ${waitedMs.toFixed(0)} ms of waiting`;
    this.#violated("gave up too soon", `${text}: said ${waited}`);
  }
}

/**
 * Looks at where the phases of a run begin: global steps go on from one to the next without a hole,
 * so a phase begins no further than behind the last step that anybody took or sealed, or the count
 * of what was applied one by one.
 */
import type { MemberMessage } from "../../protocol/messages.js";
import type { ViewPhase } from "../../protocol/view.js";
import type { Ledger } from "./ledger.js";

/** Of one part of a run. */
export class PhaseWatch {
  readonly #ledger: Ledger;
  readonly #violated: (kind: string, sentence: string) => void;
  #phase = -1;
  /** No step before this one is left to be taken: what was told of steps, whatever they count. */
  #reached = 0;
  /** The global step with which the phase began, and the entries of each chunk by then. */
  #from: { readonly step: number; readonly entries: readonly number[] } | null;

  /** @param step the global step that the part begins with. */
  constructor(ledger: Ledger, step: number, violated: (kind: string, sentence: string) => void) {
    this.#ledger = ledger;
    this.#violated = violated;
    this.#from = { step, entries: this.#counts() };
  }

  #counts(): number[] {
    const { layout } = this.#ledger;
    return layout.chunks.map(({ index }) => this.#ledger.entriesOf(index).length);
  }

  /** Somebody has taken or sealed this step. */
  reached(step: number): void {
    this.#reached = Math.max(this.#reached, step + 1);
  }

  /** A member has said something that tells of steps. */
  said(message: MemberMessage): void {
    if (message.type === "pausing") this.reached(message.step);
    if (message.type === "viewAck") this.reached(message.sealedStep);
  }

  /** The run has gone back: how its steps count from here on is known with the next phase. */
  wentBack(): void {
    [this.#from, this.#reached, this.#phase] = [null, 0, -1];
  }

  /** A server may have followed a view of another phase. */
  look(phases: readonly ViewPhase[]): void {
    const present = phases.at(-1);
    if (present === undefined || present.phase <= this.#phase) return;
    const isFirst = this.#phase < 0;
    this.#phase = present.phase;
    if (isFirst) return;
    const { phaseFromStep } = present;
    const entries = this.#counts();
    if (this.#from !== null) {
      const { step, entries: before } = this.#from;
      const applied = Math.max(0, ...entries.map((count, chunk) => count - before[chunk]!));
      const most = Math.max(step + applied, this.#reached);
      const sentence = `phase ${present.phase} begins with step ${phaseFromStep}, not by ${most}`;
      if (phaseFromStep > most) this.#violated("hole in steps", sentence);
    }
    this.#from = { step: phaseFromStep, entries };
  }
}

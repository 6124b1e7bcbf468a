/**
 * Which engine computes. The choice is the user's (`--engine`); `auto` takes the fastest there is
 * and says which one that was.
 *
 * Invariant: a wish that can't be met is an error, never another engine in silence.
 */
import { PacelineError } from "../errors.js";
import type { Engine } from "../nn/engine.js";
import { referenceEngine } from "./reference.js";

/** What the user may ask for. */
export const engineChoices = ["auto", "onednn", "reference"] as const;

/** One of the choices. */
export type EngineChoice = (typeof engineChoices)[number];

/** An engine and a sentence for the log on why it is this one. */
export interface ChosenEngine {
  readonly engine: Engine;
  readonly reason: string;
}

/**
 * The engine for a choice.
 * @throws PacelineError `usage` when the choice is unknown or not to be had.
 */
export function createEngine(choice: string): ChosenEngine {
  switch (choice) {
    case "reference":
      return {
        engine: referenceEngine,
        reason: "engine reference: plain TypeScript, as asked for",
      };
    case "auto":
      return {
        engine: referenceEngine,
        reason:
          "engine reference: plain TypeScript, slower than oneDNN, which is not part of this build",
      };
    case "onednn":
      throw new PacelineError(
        "usage",
        "engine onednn is not part of this build; use --engine reference or --engine auto",
      );
    default:
      throw new PacelineError(
        "usage",
        `there is no engine "${choice}"; choose one of ${engineChoices.join(", ")}`,
      );
  }
}

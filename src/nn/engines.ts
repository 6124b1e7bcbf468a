/**
 * Which engine computes. The choice is the user's (`--engine`); `auto` takes the fastest there is
 * and says which one that was.
 *
 * Invariant: a request that can't be met is an error, never another engine in silence.
 */
import { PacelineError } from "../errors.js";
import { type EngineChoice, engines } from "../protocol/run-spec.js";
import type { Engine } from "./engine.js";
import { createOneDnnEngine, type OneDnnOptions } from "./onednn/engine.js";
import type { OpenedDnnl } from "./onednn/library.js";
import { referenceEngine } from "./reference/reference.js";
import { syntheticEngine } from "./synthetic.js";

/** What an engine is to be chosen for. */
export interface EngineRequest extends Partial<OneDnnOptions> {
  /** The library, if it is not to be looked for. */
  readonly opened?: OpenedDnnl;
}

/** An engine and a sentence for the log on why it is this one. */
export interface ChosenEngine {
  readonly engine: Engine;
  readonly reason: string;
  /** What of the request could not be met, if anything. */
  readonly warning: string | null;
}

const makers: Readonly<Record<EngineChoice, (request: EngineRequest) => ChosenEngine>> = {
  auto: automatic,
  onednn: oneDnn,
  reference: () => reference("as asked for"),
  synthetic: () => {
    const reason = "engine synthetic: computes nothing, for measuring what is around it";
    return { engine: syntheticEngine, reason, warning: null };
  },
};

/**
 * The engine for a choice.
 * @param request f32 and one thread if not given.
 * @throws PacelineError `usage` when the choice is unknown or unavailable.
 */
export function createEngine(choice: string, request: EngineRequest = {}): ChosenEngine {
  const known = engines.find((engine) => engine === choice);
  if (known !== undefined) return makers[known](request);
  throw new PacelineError(
    "usage",
    `there is no engine "${choice}"; choose one of ${engines.join(", ")}`,
  );
}

function oneDnn(request: EngineRequest): ChosenEngine {
  const chosen = createOneDnnEngine(optionsOf(request), request.opened);
  if (chosen.engine !== null) return { ...chosen, reason: `engine onednn: ${chosen.reason}` };
  throw new PacelineError(
    "usage",
    `engine onednn is unavailable: ${chosen.reason}; ` +
      "or use --engine reference or --engine auto",
  );
}

function automatic(request: EngineRequest): ChosenEngine {
  const chosen = createOneDnnEngine(optionsOf(request), request.opened);
  if (chosen.engine === null) return reference(`slower than oneDNN; ${chosen.reason}`);
  return { ...chosen, reason: `engine onednn: ${chosen.reason}` };
}

function reference(why: string): ChosenEngine {
  const reason = `engine reference: plain TypeScript, ${why}`;
  return { engine: referenceEngine, reason, warning: null };
}

function optionsOf({ dtype = "f32", threads = 1, kernels }: EngineRequest): OneDnnOptions {
  return { dtype, threads, ...(kernels && { kernels }) };
}

/**
 * The ways to keep pace: one line each. A mode is looked up here, by the protocol of the run or of
 * the view's phase; adding one is its file and its line.
 *
 * Invariant: a protocol that came from elsewhere is given a pace only when its mode is known and
 * finds nothing wrong with its parameters.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type { PlannedRun } from "../../protocol/plan/plan.js";
import type { Protocol } from "../../protocol/run-spec.js";
import { asp } from "./asp.js";
import { bsp } from "./bsp.js";
import { dssp } from "./dssp.js";
import { group } from "./group.js";
import { kOfN } from "./k-of-n.js";
import { local } from "./local.js";
import { localAsync } from "./local-async.js";
import type { Mode, Pace, PaceSettings } from "./pace.js";
import { quorum } from "./quorum.js";
import { ringmaster } from "./ringmaster.js";
import { ssp } from "./ssp.js";

const known = new Map<string, Mode>();
addMode(bsp);
addMode(ssp);
addMode(dssp);
addMode(asp);
addMode(ringmaster);
addMode(kOfN);
addMode(quorum);
addMode(group);
addMode(local);
addMode(localAsync);

/** Makes a mode known, under a name that none has. */
export function addMode(mode: Mode): void {
  assert(!known.has(mode.name), "a mode has a name of its own", { name: mode.name });
  known.set(mode.name, mode);
}

/** All modes, in the order in which they are listed. */
export function modes(): readonly Mode[] {
  return [...known.values()];
}

/** The mode that everybody begins with. */
export const defaultMode = bsp.name;

/** The protocol of a run with this mode and these settings. */
export function protocolOf(mode: string, settings: PaceSettings): Protocol {
  const chosen = known.get(mode);
  if (chosen === undefined) throw new PacelineError("usage", unknownMode(mode));
  return chosen.protocolOf(settings);
}

/** The mode of this name or alias; null where there is none. */
export function modeNamed(word: string): string | null {
  const found = modes().find(({ name, aliases }) => name === word || aliases.includes(word));
  return found?.name ?? null;
}

/** What is wrong with a protocol that came from elsewhere; null when nothing is. */
export function protocolProblem(protocol: Protocol): string | null {
  const mode = known.get(protocol.mode);
  if (mode === undefined) return unknownMode(protocol.mode);
  const problem = mode.problem(protocol);
  return problem === null ? null : `mode ${mode.name}: ${problem}`;
}

/** The same of all that a run goes through. */
export function planProblem({ protocol, plan }: PlannedRun): string | null {
  for (const one of [protocol, ...plan.map((phase) => phase.protocol)]) {
    const problem = protocolProblem(one);
    if (problem !== null) return problem;
  }
  return null;
}

/** The pace of a protocol; a `protocol` error where something is wrong with it. */
export function paceOf(protocol: Protocol): Pace {
  const problem = protocolProblem(protocol);
  if (problem !== null) throw new PacelineError("protocol", problem);
  return known.get(protocol.mode)!.paceOf(protocol);
}

function unknownMode(mode: string): string {
  return `mode ${JSON.stringify(mode)} is not known: ${[...known.keys()].join(", ")} are`;
}

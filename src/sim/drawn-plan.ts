/**
 * Plans of protocols as seeds draw them: two to four phases, the first of the run's own mode, each
 * after so many examples; and somebody who asks for another mode while a run is on.
 *
 * Invariant: no phase follows one of the same mode, and ends ascend within the run's work.
 */
import { protocolOf } from "../core/sync/modes.js";
import type { PaceSettings } from "../core/sync/pace.js";
import { localProblem, localStepsOf, mixedProblem } from "../protocol/local/local-steps.js";
import { momentumBehindSwitch, switchMomenta } from "../protocol/plan/phase-momentum.js";
import type { PlannedPhase } from "../protocol/plan/plan.js";
import type { Protocol, RunSpec } from "../protocol/run-spec.js";
import { Random } from "../random.js";
import type { Fault } from "./fault-plan.js";

/** Modes that a run may switch between. */
const switchable = [
  "bsp",
  "ssp",
  "asp",
  "ringmaster",
  "k-of-n",
  "quorum",
  "dssp",
  "group",
] as const;

/** What modes that somebody asks for are made with. */
export const switchedSettings: PaceSettings = {
  ...{ staleness: 1, stalenessRule: "none", stalenessScale: 0.1, stalenessFloor: 0.1 },
  ...{
    stalenessMax: 4,
    delayBound: 3,
    backupWorkers: 1,
    quorumSize: 2,
    stalenessMin: 0,
    grace: "auto",
    groups: "auto",
    localSteps: 1,
    outerOptimizer: "average",
  },
  ...{ outerLr: 0.7, outerMomentum: 0.9 },
};

/** What of a spec a plan decides. */
type PlannedParts = Pick<RunSpec, "plan" | "maxSteps" | "reduce" | "switchLr" | "switchMomentum">;
/** What says whether local steps may be in it. */
type LocalParts = Pick<RunSpec, "feed" | "compression" | "updateRule">;

/** One run of three has a plan, which knows no limit on steps and folds by the mean. */
export function withPlan(
  random: Random,
  spec: PlannedParts & LocalParts & Pick<RunSpec, "protocol" | "epochs" | "trainExamples" | "seed">,
  settings: PaceSettings,
): PlannedParts {
  const { protocol, epochs, trainExamples, maxSteps, reduce, switchLr } = spec;
  const changes = new Random("what changes at a switch", protocol.mode, spec.seed);
  const switchMomentum = switchMomenta[changes.below(switchMomenta.length)]!;
  const unplanned = { plan: [], maxSteps, reduce, switchLr, switchMomentum };
  const isLocal = localStepsOf({ protocol }) !== null;
  const isMixable = (one: Protocol) =>
    (localProblem({ feed: spec.feed, protocol: one }) ?? mixedProblem([one], spec)) === null;
  if ((isLocal && !isMixable(protocol)) || random.below(3) > 0) return unplanned;
  const protocols: Protocol[] = [protocol];
  while (protocols.length < 2 || (protocols.length < 4 && random.below(2) === 0)) {
    const mode = otherThan(random, protocols.at(-1)!.mode);
    protocols.push(protocolOf(mode, settings));
  }
  putLocal(new Random("local phase", protocol.mode, spec.seed), protocols, settings, isMixable);
  const work = epochs * trainExamples;
  const ends = protocols.slice(1).map(() => 1 + random.below(work - 1));
  ends.sort((left, right) => left - right);
  const plan = protocols.map((one, index): PlannedPhase => {
    const end = ends[index] ?? null;
    const lrFactor = index === 0 ? 1 : 0.5 + index / 4;
    return { protocol: one, end, plateau: null, lrFactor, ...drawChange(changes) };
  });
  return {
    plan,
    maxSteps: null,
    reduce: "mean",
    switchMomentum,
    switchLr: random.below(2) > 0 ? "keep" : "linear",
  };
}

/** In one plan of three a phase behind the first has local steps, with a stream of its own. */
function putLocal(
  random: Random,
  protocols: Protocol[],
  settings: PaceSettings,
  isMixable: (protocol: Protocol) => boolean,
): void {
  if (random.below(3) > 0) return;
  const mode = ["local", "local-async"][random.below(2)]!;
  const protocol = protocolOf(mode, { ...settings, outerOptimizer: "average" });
  const place = 1 + random.below(protocols.length - 1);
  const twins = [place - 1, place + 1].some((next) => protocols[next]?.mode === mode);
  if (!twins && isMixable(protocol)) protocols[place] = protocol;
}

/** Momentum and checkpoints of a phase, the first one too, as --hparams may say them of it. */
function drawChange(random: Random): Pick<PlannedPhase, "momentum" | "checkpointEvery"> {
  const way = switchMomenta[random.below(switchMomenta.length)]!;
  const momentum = momentumBehindSwitch(way, 0.9, 1 + random.below(8));
  const every = { unit: "step", count: 1 + random.below(6) } as const;
  return { momentum, checkpointEvery: random.below(3) === 0 ? every : null };
}

/** In one part of four somebody asks for other modes; who folds by more than one step, for none. */
export function drawSwitches(
  random: Random,
  { protocol, reduce, seed }: Pick<RunSpec, "protocol" | "reduce" | "seed">,
  untilMs: number,
): Fault[] {
  const isLocal = localStepsOf({ protocol }) !== null;
  if (isLocal || reduce !== "mean" || random.below(4) > 0) return [];
  const local = new Random("local by hand", protocol.mode, seed);
  return Array.from({ length: 1 + random.below(3) }, (): Fault => {
    const drawn = switchable[random.below(switchable.length)]!;
    const mode = local.below(4) === 0 ? "local" : drawn;
    return { kind: "switch", atMs: random.float() * untilMs, mode };
  });
}

function otherThan(random: Random, mode: string): string {
  const others = switchable.filter((one) => one !== mode);
  return others[random.below(others.length)]!;
}

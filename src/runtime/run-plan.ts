/**
 * From the plan that a user wrote to the phases of a run spec: lengths become examples of the run,
 * and each phase has the learning rate that belongs to its updates. Sync-Switch's own options
 * (`--switch-order`, `--train-steps`) say the same in global steps, of which one takes a batch of
 * every worker where they keep step, and a batch of one worker elsewhere.
 *
 * Invariant: what it gives is a plan whose phases all take place if the epochs last so long.
 */

import { momentumOfSwitch } from "../core/phases/plan-progress.js";
import { defaultMode, paceOf, protocolOf } from "../core/sync/modes.js";
import { batchesOfGlobalStep } from "../core/sync/pace.js";
import { PacelineError } from "../errors.js";
import { compressionSpecFields } from "../protocol/compression.js";
import { localProblem, localStepsOf, mixedProblem } from "../protocol/local/local-steps.js";
import { fixedMomentum } from "../protocol/plan/phase-hparams.js";
import type { PlannedPhase } from "../protocol/plan/plan.js";
import { type PhaseWords, planText } from "../protocol/plan/plan-text.js";
import type { Protocol } from "../protocol/run-spec.js";
import { filled } from "../protocol/spec-option.js";
import { factsOf } from "../protocol/update-rules.js";
import type { RunSettings } from "./run-settings.js";

/** The phases of a run, the first protocol among them. */
export interface RunPlan {
  readonly protocol: Protocol;
  /** Empty where it keeps one protocol. */
  readonly plan: readonly PlannedPhase[];
}

/**
 * The plan of resolved options.
 * @throws PacelineError `usage` where options contradict each other.
 */
export function runPlanOf(settings: RunSettings, trainExamples: number): RunPlan {
  const phases = wordsOf(settings, trainExamples);
  if (phases === null) {
    demandForEach(settings, []);
    return { protocol: protocolOf(settings.mode, settings), plan: [] };
  }
  demandAlone(settings, phases);
  demandForEach(settings, phases);
  const work = settings.epochs * trainExamples;
  const protocols = phases.map(({ words }) => protocolOf(words.mode, settings));
  demandMixable(settings, protocols, planText(phases.map(({ words }) => words)));
  const first = batchesOf(protocols[0]!, settings);
  let end = 0;
  const plan = phases.map(({ words, examples }, index): PlannedPhase => {
    const protocol = protocols[index]!;
    const { length } = words;
    const isLast = index === phases.length - 1;
    end += examples;
    const lrFactor = settings.switchLr === "keep" ? 1 : batchesOf(protocol, settings) / first;
    const plateau = length?.kind === "plateau" ? length.plateau : null;
    const hasEnd = !isLast && plateau === null;
    const isSwitchedTo = index > 0;
    const momentum = isSwitchedTo ? momentumBehind(protocol, settings) : null;
    const usual = { lrFactor, momentum, checkpointEvery: null };
    const own = ownOf(settings, index, usual);
    return { protocol, end: hasEnd ? Math.round(end) : null, plateau, ...own };
  });
  demandWithin(plan, phases, work);
  return { protocol: protocols[0]!, plan };
}

/** How a run of these options keeps pace, in a word, as its result says it where it went so. */
export function plannedPace(settings: RunSettings): string {
  const phases = wordsOf(settings, 1);
  return phases === null ? settings.mode : phases.map(({ words }) => words.mode).join("-");
}

/** A phase, and how many examples it takes; 0 where that is not known. */
interface MeasuredPhase {
  readonly words: PhaseWords;
  readonly examples: number;
}

function batchesOf(protocol: Protocol, { workers }: RunSettings): number {
  return batchesOfGlobalStep(paceOf(protocol), workers.max);
}

function momentumBehind(protocol: Protocol, settings: RunSettings): PlannedPhase["momentum"] {
  const { switchMomentum, momentum, workers } = settings;
  const choice = { switchMomentum, updateRule: { momentum }, workersMax: workers.max };
  return hasMomentum(settings) ? momentumOfSwitch(choice, paceOf(protocol)) : null;
}

function hasMomentum({ optimizer }: RunSettings): boolean {
  return factsOf(optimizer).reads.includes("momentum");
}

/** What a phase has instead of the usual where its user says so. */
function ownOf(
  { hparams, ckptFrequency, lr }: RunSettings,
  index: number,
  usual: Pick<PlannedPhase, "lrFactor" | "momentum" | "checkpointEvery">,
): typeof usual {
  const own = hparams[index];
  return {
    lrFactor: own === undefined || own.lr === null ? usual.lrFactor : own.lr / lr,
    momentum:
      own === undefined || own.momentum === null ? usual.momentum : fixedMomentum(own.momentum),
    checkpointEvery: ckptFrequency[index] ?? usual.checkpointEvery,
  };
}

/** Whatever is said for each phase is said for as many as there are. */
function demandForEach(settings: RunSettings, phases: readonly MeasuredPhase[]): void {
  const { hparams, ckptFrequency, optimizer } = settings;
  const lists = [
    ["hparams", hparams.length, "lr=0.8;lr=0.1"],
    ["ckpt-frequency", ckptFrequency.length, "500it,2000it"],
  ] as const;
  for (const [name, length, example] of lists) {
    if (length === 0 || length === phases.length) continue;
    if (phases.length === 0) {
      throw usage(`--${name} is for the phases of a plan; write --plan bsp:6.25%,asp as well`);
    }
    const text = planText(phases.map(({ words }) => words));
    const counts = `--${name} has ${length} values and the plan ${text} ${phases.length} phases`;
    throw usage(`${counts}; write one for each, such as --${name} "${example}" for two`);
  }
  const said = hparams.find(({ momentum }) => momentum !== null);
  if (said === undefined || hasMomentum(settings)) return;
  const contradiction = `momentum=${said.momentum} and --optimizer ${optimizer} reads none`;
  throw usage(`--hparams has ${contradiction}; leave it out or set --optimizer momentum`);
}

function wordsOf(settings: RunSettings, trainExamples: number): MeasuredPhase[] | null {
  const { plan, switchOrder, trainSteps, epochs } = settings;
  if (switchOrder === null && trainSteps.length > 0) {
    throw usage("--train-steps has no effect without --switch-order; write --switch-order 10");
  }
  if (plan !== null && switchOrder !== null) {
    throw usage("--plan and --switch-order both say a plan; write one of them");
  }
  if (plan === null) return switchOrder === null ? null : ofSteps(settings, switchOrder);
  const work = epochs * trainExamples;
  return plan.map((words) => {
    const { length } = words;
    if (length?.kind === "share") return { words, examples: length.share * work };
    const passes = length?.kind === "epochs" ? length.epochs : 0;
    return { words, examples: passes * trainExamples };
  });
}

/** What Sync-Switch's digits stand for. */
const modesOfDigits: Readonly<Record<string, string>> = { "1": "bsp", "0": "asp" };

/** Ends in global steps, each counted from the beginning of the run. */
function ofSteps(settings: RunSettings, order: string): MeasuredPhase[] {
  const { trainSteps, batchSize } = settings;
  const modes = [...order].map((digit) => modesOfDigits[digit]!);
  if (trainSteps.length !== modes.length && trainSteps.length !== modes.length - 1) {
    const phases = `--switch-order ${order} has ${modes.length} phases`;
    const ends = `--train-steps ${trainSteps.join(",") || "none"} has ${trainSteps.length} ends`;
    throw usage(`${phases} and ${ends}; write one for each, such as --train-steps 500,60500`);
  }
  const falls = trainSteps.findIndex((end, index) => end <= (trainSteps[index - 1] ?? 0));
  if (falls >= 0) {
    throw usage(`--train-steps ${trainSteps.join(",")} do not ascend; each counts from the start`);
  }
  return modes.map((mode, index) => {
    const end = trainSteps[index];
    const steps = end === undefined ? 0 : end - (trainSteps[index - 1] ?? 0);
    const examples = steps * batchSize * batchesOf(protocolOf(mode, settings), settings);
    return { words: { mode, length: null }, examples };
  });
}

function demandAlone(
  { mode, maxSteps, evalEvery }: RunSettings,
  phases: readonly MeasuredPhase[],
): void {
  const text = planText(phases.map(({ words }) => words));
  const [first] = phases;
  if (mode !== defaultMode && mode !== first!.words.mode) {
    throw usage(`--mode ${mode} with the plan ${text}: a plan says the modes; leave --mode out`);
  }
  const hasPlateau = phases.some(({ words }) => words.length?.kind === "plateau");
  if (hasPlateau && evalEvery === null) {
    throw usage(`${text}: a plateau needs evaluations; write --eval-every 1e`);
  }
  if (maxSteps === null) return;
  const sentence = `--max-steps ${maxSteps} with the plan ${text}, whose steps are of two kinds`;
  throw usage(`${sentence}; say by --epochs how long it is`);
}

/** What local steps and other phases can't have in one run. */
function demandMixable(settings: RunSettings, protocols: readonly Protocol[], text: string): void {
  const index = protocols.findIndex((protocol) => localStepsOf({ protocol }) !== null);
  const local = protocols[index];
  if (local === undefined) return;
  const { feed, hparams } = settings;
  const own = hparams[index]?.momentum ?? null;
  const problem =
    localProblem({ protocol: local, feed }) ??
    mixedProblem(protocols, {
      compression: filled(compressionSpecFields, settings),
      updateRule: { name: settings.optimizer },
    }) ??
    (own === null
      ? null
      : `workers apply --momentum there, not what --hparams says of a phase; leave it out`);
  if (problem !== null) throw usage(`the plan ${text} has ${local.mode}: ${problem}`);
}

function demandWithin(
  plan: readonly PlannedPhase[],
  phases: readonly MeasuredPhase[],
  work: number,
): void {
  let before = 0;
  for (const [index, { end }] of plan.entries()) {
    if (end !== null && end <= before) {
      const which = `phase ${index + 1} of the plan, ${phases[index]!.words.mode},`;
      throw usage(`${which} has none of ${work} examples: write a larger share, or leave it out`);
    }
    before = end ?? before;
  }
  const late = plan.findIndex(({ end }) => end !== null && end >= work);
  if (late < 0) return;
  const { mode } = phases[late]!.words;
  const sentence = `phase ${late + 1} of the plan, ${mode}, ends after ${plan[late]!.end} examples`;
  const remedy = "raise --epochs or shorten the phase";
  throw usage(`${sentence} and the epochs after ${work}: what follows never begins; ${remedy}`);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

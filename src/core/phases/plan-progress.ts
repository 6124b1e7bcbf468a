/**
 * How far a run has come in its plan of protocols, and what the next phase is. A phase is over when
 * so many examples of the run are used, or when the loss of evaluations has flattened; or somebody
 * asks for another protocol, and then the run keeps that until it is asked again.
 *
 * Global steps go on over phases: where pushes count, a step is a version of the model, plus what
 * the count was ahead of versions when the phase began.
 *
 * Invariant: a phase is entered while everybody rests, and never the one that is on.
 */
import type { TimedCadence } from "../../protocol/plan/cadence.js";
import {
  momentumBehindSwitch,
  momentumText,
  type PhaseMomentum,
} from "../../protocol/plan/phase-momentum.js";
import {
  isFlat,
  type PlannedPhase,
  type PlannedRun,
  phasesMax,
  type RunPhase,
} from "../../protocol/plan/plan.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { firstPhase, type ViewPhase } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import { batchesOfGlobalStep, type Pace } from "../sync/pace.js";

/** Where a run stands in its plan, in a form that is kept. */
export interface PlanStand {
  readonly phase: ViewPhase;
  /** Index of the phase in the plan; its length where somebody has asked for another protocol. */
  readonly place: number;
  /** Global steps less versions in this phase; null until servers have said their versions. */
  readonly stepsAhead: number | null;
  /** Of evaluations, those before this phase. */
  readonly evaluations: number;
  /** Examples at which the plan's phase was left for a while; null where it is on. */
  readonly leftAt: number | null;
  /** So many examples later the ends of phases lie: for such whiles, and phases without an end. */
  readonly away: number;
  /** What somebody has asked for and does not have yet; left out where nobody has. */
  readonly asked?: NextPhase;
  /** The phases entered so far, the latest last; left out by a writer that did not note them. */
  readonly taken?: readonly RunPhase[];
}

/** How far a run had come in other ways to keep pace. */
export interface PhaseGroundwork {
  /** Global steps, and the lowest version of the model. */
  readonly step: number;
  readonly version: number;
  /** That were used. */
  readonly examples: number;
  readonly evaluations: number;
}

const nothing: PhaseGroundwork = { step: 0, version: 0, examples: 0, evaluations: 0 };

/**
 * Where a run begins: with its first phase, behind what it had come to in other ways to keep pace,
 * if in any.
 */
export function firstStand(
  { protocol, plan }: PlannedRun,
  { step, version, examples, evaluations }: PhaseGroundwork = nothing,
): PlanStand {
  const phase = { ...firstPhase(protocol, plan[0]), phaseFromStep: step };
  const taken = [{ mode: protocol.mode, fromStep: step, fromExamples: examples }];
  return { phase, place: 0, stepsAhead: step - version, evaluations, leftAt: null, away: 0, taken };
}

/** The global step of a step, or of the lowest version of the model. */
export type StepCounter = (step: number, version: number) => number;

/** A phase that is to be entered. */
export interface NextPhase {
  readonly protocol: Protocol;
  readonly lrFactor: number;
  readonly momentum: PhaseMomentum | null;
  readonly place: number;
  readonly reason: string;
  /** True where the plan's phase is only left for a while. */
  readonly isAway: boolean;
}

/** The place of one run in its plan. */
export class PlanProgress {
  readonly #spec: RunSpec;
  #stand: PlanStand;
  #pace: Pace;
  #asked: NextPhase | null;

  /** @param kept where a checkpoint or a record says how far it had come. */
  constructor(spec: RunSpec, kept?: PlanStand) {
    this.#spec = spec;
    this.#stand = kept ?? firstStand(spec);
    this.#asked = kept?.asked ?? null;
    this.#pace = paceOf(this.#stand.phase.protocol);
  }

  /** The phase that is on. */
  get phase(): ViewPhase {
    return this.#stand.phase;
  }

  /** The phases entered so far, the latest last. */
  get taken(): readonly RunPhase[] {
    return this.#stand.taken ?? [];
  }

  /** How workers keep pace in it. */
  get pace(): Pace {
    return this.#pace;
  }

  /** Global steps less versions where pushes are counted; null where steps are. */
  get stepsAhead(): number | null {
    return this.#pace.globalStep === "step" ? null : (this.#stand.stepsAhead ?? 0);
  }

  /** Examples of the run after which the phase ends; infinite where work does not end it. */
  get end(): number {
    const { leftAt, away } = this.#stand;
    if (leftAt !== null) return Number.POSITIVE_INFINITY;
    return (this.#present?.end ?? Number.POSITIVE_INFINITY) + away;
  }

  /** True where no phase in step is on, or has been left for a while. */
  get isSyncDone(): boolean {
    return this.#stand.leftAt === null && this.#pace.globalStep !== "step";
  }

  /** How often a checkpoint is written in it. */
  get checkpointEvery(): TimedCadence | null {
    return this.#present?.checkpointEvery ?? this.#spec.checkpointEvery;
  }

  get #present(): PlannedPhase | undefined {
    return this.#spec.plan[this.#stand.place];
  }

  /** Asks for another protocol: what is wrong with that, null where it will be entered. */
  ask(asked: Protocol): string | null {
    const { protocol, lrFactor } = this.phase;
    if (asked.mode === protocol.mode) return `the run keeps pace by ${asked.mode} already`;
    const { plan } = this.#spec;
    const own = [this.#spec.protocol, ...plan.map((one) => one.protocol)];
    const wanted = own.find(({ mode }) => mode === asked.mode) ?? asked;
    const place = plan.length;
    const reason = "as paceline admin switch asked for";
    const rate = lrFactor * this.#lrRatio(wanted);
    const momentum = momentumOfSwitch(this.#spec, paceOf(wanted));
    const phase = { protocol: wanted, lrFactor: rate, momentum };
    this.#asked = { ...phase, place, reason, isAway: false };
    return null;
  }

  /** Leaves a phase in step for the plan's next one that is not; true where there are both. */
  leave(reason: string): boolean {
    if (this.#asked !== null) return false;
    const { place } = this.#stand;
    const isNext = ({ protocol }: PlannedPhase) => paceOf(protocol).globalStep !== "step";
    const next = this.#spec.plan.slice(place + 1).find(isNext);
    if (next === undefined || this.#stand.leftAt !== null || this.isSyncDone) return false;
    const { protocol, lrFactor, momentum } = next;
    this.#asked = { protocol, lrFactor, momentum, place, reason, isAway: true };
    return true;
  }

  /** Comes back to the phase that was left; true where one was. */
  comeBack(reason: string): boolean {
    const present = this.#present;
    if (this.#asked !== null || this.#stand.leftAt === null || present === undefined) return false;
    const { protocol, lrFactor, momentum } = present;
    const { place } = this.#stand;
    this.#asked = { protocol, lrFactor, momentum, place, reason, isAway: false };
    return true;
  }

  /** By the linear rule the learning rate follows the examples of an update. */
  #lrRatio(next: Protocol): number {
    const { switchLr, workersMax } = this.#spec;
    if (switchLr === "keep") return 1;
    const [before, after] = [this.#pace, paceOf(next)];
    return batchesOfGlobalStep(after, workersMax) / batchesOfGlobalStep(before, workersMax);
  }

  /** True when another phase is due, after so many examples and these losses of evaluations. */
  isDue(examples: () => number, losses: () => readonly number[]): boolean {
    if (this.#asked !== null) return true;
    const present = this.#present;
    if (present === undefined || this.#spec.plan[this.#stand.place + 1] === undefined) return false;
    if (this.#stand.leftAt !== null) return false;
    if (present.end !== null && examples() >= this.end) return true;
    const { plateau } = present;
    return plateau !== null && isFlat(plateau, losses().slice(this.#stand.evaluations));
  }

  /** Enters the next phase, to which steps from this one on belong: one sentence on it. */
  enter(fromStep: number, examples: number, evaluations: number): string {
    const next = this.#asked ?? this.#planned();
    const { lrFactor: factorBefore } = this.phase;
    const before = this.phase.protocol.mode;
    const away = this.#awayAfter(examples);
    this.#asked = null;
    const { protocol, lrFactor, place, reason } = next;
    const momentum = next.momentum && { ...next.momentum, fromExamples: examples };
    const leftAt = next.isAway ? examples : null;
    const number = this.phase.phase + 1;
    const phase = { phase: number, phaseFromStep: fromStep, protocol, lrFactor, momentum };
    const entered = { mode: protocol.mode, fromStep, fromExamples: examples };
    const taken = [...this.taken, entered].slice(-phasesMax);
    this.#stand = { phase, place, stepsAhead: null, evaluations, leftAt, away, taken };
    this.#pace = paceOf(protocol);
    const [was, is] = [factorBefore, lrFactor].map((factor) => Number(factor.toPrecision(4)));
    const rate = was === is ? "" : `, learning rate ${is} of the schedule's instead of ${was}`;
    const where = `from step ${fromStep}, after ${examples} examples`;
    const words = `${where}${rate}${momentumText(momentum)}`;
    return `switch from ${before} to ${protocol.mode} ${words}: ${reason}`;
  }

  /** A phase that the loss ends has no length in the plan: what follows lies later by its own. */
  #awayAfter(examples: number): number {
    const { place, leftAt, away } = this.#stand;
    if (leftAt !== null) return away + examples - leftAt;
    if (this.#asked !== null || this.#present?.end !== null) return away;
    const before = this.#spec.plan.slice(0, place).findLast(({ end }) => end !== null);
    return examples - (before?.end ?? 0);
  }

  #planned(): NextPhase {
    const place = this.#stand.place + 1;
    const { protocol, lrFactor, momentum } = this.#spec.plan[place]!;
    const { end, plateau } = this.#present!;
    const isByLoss = plateau !== null && end === null;
    const reason = isByLoss
      ? `the loss of ${plateau.window} evaluations fell by less than ${plateau.delta}`
      : `phase ${place} of ${this.#spec.plan.length} of the plan has ended`;
    return { protocol, lrFactor, momentum, place, reason, isAway: false };
  }

  /** All servers have said the lowest version while everybody rests at the phase's beginning. */
  settle(version: number): void {
    if (this.#stand.stepsAhead !== null) return;
    const stepsAhead = this.phase.phaseFromStep - version;
    this.#stand = { ...this.#stand, stepsAhead };
  }

  /** What versions that servers have told come to, in global steps. */
  stepOfVersion(version: number): number {
    const { stepsAhead, phase } = this.#stand;
    return stepsAhead === null ? phase.phaseFromStep : version + stepsAhead;
  }

  /** How a step or a version of this phase counts, whatever phase comes next. */
  counter(): StepCounter {
    const { stepsAhead } = this;
    return (step, version) => (stepsAhead === null ? step : version + stepsAhead);
  }

  /** What of the plan was not reached; null where nothing is left. */
  unreached(): string | null {
    const left = this.#spec.plan.slice(this.#stand.place + 1);
    if (left.length === 0) return null;
    const names = left.map(({ protocol }) => protocol.mode).join(", ");
    return `the epochs ended before the plan's ${names}`;
  }

  /** True where another phase was asked for, and is not entered yet. */
  get isAsked(): boolean {
    return this.#asked !== null;
  }

  /** To be kept. */
  record(): PlanStand {
    const { asked: _, ...stand } = this.#stand;
    return this.#asked === null ? stand : { ...stand, asked: this.#asked };
  }
}

/**
 * The momentum of a phase that is not a run's first: what the run's user chose where an update is a
 * single push, the run's own in step.
 */
export function momentumOfSwitch(
  { switchMomentum, updateRule, workersMax }: MomentumChoice,
  { globalStep, localSteps }: Pick<Pace, "globalStep" | "localSteps">,
): PhaseMomentum | null {
  if (globalStep === "step" || localSteps !== null) return null;
  return momentumBehindSwitch(switchMomentum, updateRule.momentum, workersMax);
}

/** What of a spec decides it. */
export interface MomentumChoice extends Pick<RunSpec, "switchMomentum" | "workersMax"> {
  readonly updateRule: Pick<RunSpec["updateRule"], "momentum">;
}

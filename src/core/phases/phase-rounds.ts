/**
 * How a run goes from one phase of its plan to the next while members go on: everybody is brought
 * to rest (standstill.ts), a view says the new way to keep pace and the step that all stand before,
 * and when it stands work is dealt in the new way. Where workers had seen different models, each
 * takes the weights anew before it goes on.
 *
 * The first step of a phase is past every step that anybody has taken, and past the count of global
 * steps, so that these only grow. No checkpoint is begun meanwhile, and none of a cut is under way.
 *
 * Invariant: when a phase begins nothing is in flight and no assignment is out.
 */

import { lastingLocalSteps, localProblem, mixedProblem } from "../../protocol/local/local-steps.js";
import type { TimedCadence } from "../../protocol/plan/cadence.js";
import type { RunPhase } from "../../protocol/plan/plan.js";
import { isRobust } from "../../protocol/reduction.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import type { OrderAnswer } from "../coordinator/coordinator-events.js";
import { stepOfAll } from "../coordinator/member-counts.js";
import type { Saves } from "../coordinator/saves.js";
import type { Standstill } from "../coordinator/standstill.js";
import type { TrainingPort } from "../coordinator/training-port.js";
import type { ViewRounds } from "../coordinator/view-rounds.js";
import { stragglerPolicies } from "../stragglers/straggler-policy.js";
import { paceOf } from "../sync/modes.js";
import { examplesOfStep, type Pace } from "../sync/pace.js";
import type { Evaluator } from "../work/evaluator.js";
import type { RunAccount } from "../work/run-account.js";
import type { WorkFloor } from "../work/work-floor.js";
import type { PlanProgress, StepCounter } from "./plan-progress.js";

/** What the phases of a run depend on. */
export interface PhaseGround {
  readonly spec: RunSpec;
  readonly account: RunAccount;
  readonly evaluator: Evaluator;
  readonly saves: Saves;
  readonly still: Standstill;
  readonly views: ViewRounds;
  readonly port: TrainingPort;
}

/** The phases of one run. */
export class PhaseRounds {
  readonly #ground: PhaseGround;
  readonly #plan: PlanProgress;
  /** The rest in which servers are asked for their versions, and the lowest once they have said. */
  #rest: { readonly limit: number; version: number | null } | null = null;

  constructor(ground: PhaseGround, plan: PlanProgress) {
    this.#ground = ground;
    this.#plan = plan;
    // A run may go on under another policy than the one that has left a phase for a while.
    const { leavesPhases = false } = stragglerPolicies[ground.spec.stragglerPolicy];
    if (!leavesPhases)
      plan.comeBack("it was left for stragglers, and --straggler-policy is another");
    // Another coordinator may have said that it is done.
    if (plan.isAsked) ground.still.want("switch");
  }

  /** How workers keep pace in the present phase. */
  get pace(): Pace {
    return this.#plan.pace;
  }

  /** The phases entered so far, the latest last. */
  get taken(): readonly RunPhase[] {
    return this.#plan.taken;
  }

  /** How often a checkpoint is written in it. */
  get checkpointEvery(): TimedCadence | null {
    return this.#plan.checkpointEvery;
  }

  /** Global steps less versions where pushes are counted; null where steps are. */
  get stepsAhead(): number | null {
    return this.#plan.stepsAhead;
  }

  /** How a step or a version of the present phase counts, whatever phase comes next. */
  counter(): StepCounter {
    return this.#plan.counter();
  }

  /** Steps, or pushes, that every chunk has applied. */
  globalSteps(): number {
    const { saves, evaluator, port, account } = this.#ground;
    // What servers tell from time to time may be from before the last checkpoint or evaluation.
    const evaluatedStep = evaluator.records.at(-1)?.step ?? 0;
    const knownStep = Math.max(saves.reachedStep, evaluatedStep);
    // Behind the last checkpoint nothing is trained, and some servers may have left.
    if (saves.finalSaved && saves.unsaved === null) return knownStep;
    const updates = this.#plan.stepOfVersion(stepOfAll(port.serverStatistics()));
    // Late pushes that are an update by themselves are no step.
    const toldStep = this.pace.late === null ? updates : Math.min(updates, account.work.reach);
    return Math.max(knownStep, toldStep);
  }

  /** Examples that were used; where workers tell only now and then, as far as they have told. */
  usedExamples(): number {
    const { account, port } = this.#ground;
    const examples = account.epochs.examples();
    if (this.pace.meetsAtBoundaries) return examples;
    const told = Object.values(port.workerCounts()).map((one) => one.examples);
    return Math.max(
      examples,
      told.reduce((sum, one) => sum + one, 0),
    );
  }

  /** True when the present phase is over; everybody is then brought to rest. */
  endsPhase(): boolean {
    const isDue = this.#isDue();
    if (isDue) this.#ground.still.want("switch");
    return isDue;
  }

  #isDue(): boolean {
    const losses = () => this.#ground.evaluator.records.map(({ loss }) => loss);
    return this.#plan.isDue(() => this.usedExamples(), losses);
  }

  /** Steps that so many workers take at most before the phase is over; at least one. */
  stepsLeft(workers: number): number {
    const { spec } = this.#ground;
    const examples = this.#plan.end - this.usedExamples();
    const each = examplesOfStep(spec, this.pace);
    return Math.max(1, Math.ceil(examples / (each * Math.max(1, workers))));
  }

  /** All servers have answered a view that stands, and have at least this version. */
  stands(version: number): void {
    this.#plan.settle(version);
    if (this.#rest !== null) this.#rest.version ??= version;
  }

  /** Gives assignments that did not reach their workers; of a phase with its view. */
  giveLost(floor: Pick<WorkFloor, "give">): void {
    const { views, account } = this.#ground;
    if (views.busy && this.#plan.phase.phase > 0) return;
    for (const [rank, lost] of account.takeLost()) floor.give(rank, lost, null);
  }

  /** Everybody rests after `limit`: true where the next phase begins with a view. */
  enter(limit: number): boolean {
    if (!this.#isDue()) return false;
    const { views, account, evaluator, port } = this.#ground;
    // What servers tell from time to time is of before: steps must not be counted twice.
    const version = this.#rest?.limit === limit ? this.#rest.version : null;
    if (this.stepsAhead !== null && version === null) {
      if (this.#rest?.limit !== limit) views.ask();
      this.#rest = { limit, version };
      return true;
    }
    const counted = this.#plan.stepOfVersion(version ?? 0);
    this.#rest = null;
    const told = Math.max(counted, this.globalSteps());
    // Who was to come in later than all others stand has taken no step, and comes in with them.
    const fromStep = Math.max(limit + 1, views.openStep, told);
    const text = this.#plan.enter(fromStep, this.usedExamples(), evaluator.records.length);
    views.enter(this.#plan.phase, account.work.keepPace(this.pace, fromStep));
    port.emit({ kind: "info", text });
    return true;
  }

  /** True where no phase in step is on, or has been left for a while. */
  get isSyncDone(): boolean {
    return this.#plan.isSyncDone;
  }

  /** Leaves a phase in step for a while, or comes back to it, where there is one. */
  detour(reason: string): void {
    const isInStep = this.pace.globalStep === "step";
    const isDue = isInStep ? this.#plan.leave(reason) : this.#plan.comeBack(reason);
    if (isDue) this.#ground.still.want("switch");
  }

  /** The run's work is done: what of the plan was not reached is told. */
  ended(): void {
    const text = this.#plan.unreached();
    if (text !== null) this.#ground.port.emit({ kind: "warning", text });
  }

  /** What stands against going from local steps to others, or back; null where nothing does. */
  #localObjection(protocol: Protocol): string | null {
    const { spec } = this.#ground;
    const { mode } = spec.protocol;
    if (lastingLocalSteps(spec) !== null) {
      const state = "servers and workers keep the state of local steps from its start to its end";
      return `the run is ${mode} alone: ${state}; begin one with a plan, such as ${mode}:50%,bsp`;
    }
    const problem = localProblem({ feed: spec.feed, protocol }) ?? mixedProblem([protocol], spec);
    return problem === null ? null : `${protocol.mode} in a run that has other modes: ${problem}`;
  }

  /** Somebody asks for another protocol: what comes of it. */
  ask(protocol: Protocol): OrderAnswer {
    const { reduce, maxSteps } = this.#ground.spec;
    const { globalStep, localSteps } = paceOf(protocol);
    // A limit that is laid out in batches is not one of as many rounds of local steps.
    const isOfOtherSize = (localSteps ?? 1) !== (this.pace.localSteps ?? 1);
    const { mode } = this.#plan.phase.protocol;
    const isApart = globalStep !== "step";
    const isRobustlyReduced = isRobust(reduce) && isApart;
    const localObjection = this.#localObjection(protocol);
    const objection = isRobustlyReduced
      ? `--reduce ${reduce} needs gradients of one step, ${protocol.mode} applies each alone`
      : localObjection !== null
        ? localObjection
        : maxSteps !== null && (globalStep !== this.pace.globalStep || isOfOtherSize)
          ? `--max-steps ${maxSteps} counts steps of ${mode}, another kind than those of ` +
            `${protocol.mode}; a run whose length --epochs says can switch`
          : this.#plan.ask(protocol);
    if (objection !== null) return { isAccepted: false, text: objection };
    this.#ground.still.want("switch");
    return { isAccepted: true, text: `workers go from ${mode} to ${protocol.mode}` };
  }
}

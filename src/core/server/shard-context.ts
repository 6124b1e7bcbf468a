/**
 * What the parts of a server's machine share: the run, the view that is in force with its pace, and
 * the list of effects that an event leads to.
 *
 * Invariant: `effects` are those of the present event alone, in the order in which they came.
 */
import type { Layout, ParameterGroup } from "../../protocol/layout.js";
import { appliedRule, servedRate } from "../../protocol/local/local-steps.js";
import type { ChunkHeader, PushOutcome } from "../../protocol/messages.js";
import { momentumAt } from "../../protocol/plan/phase-momentum.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import { type Pace, partnersAt } from "../sync/pace.js";
import { ShardCounts } from "./shard-counts.js";
import type { ShardEffect } from "./shard-events.js";

/** The ground that a shard stands on. */
export class ShardContext {
  readonly spec: RunSpec;
  readonly layout: Layout;
  readonly counts = new ShardCounts();
  effects: ShardEffect[] = [];
  /** When the present event was taken. */
  nowMs = 0;
  #view: View | null = null;
  #pace: Pace;
  #rule: ReturnType<typeof appliedRule>;

  constructor(spec: RunSpec, layout: Layout) {
    this.spec = spec;
    this.layout = layout;
    this.#pace = paceOf(spec.protocol);
    this.#rule = appliedRule(spec, spec.protocol);
  }

  /** Null before the first. */
  get view(): View | null {
    return this.#view;
  }

  /** The pace of the view's phase. */
  get pace(): Pace {
    return this.#pace;
  }

  /** Puts a view in force. */
  follow(view: View): void {
    this.#view = view;
    this.#pace = paceOf(view.protocol);
    this.#rule = appliedRule(this.spec, view.protocol);
  }

  /** True where what workers push are the differences that local steps made. */
  get takesDifferences(): boolean {
    return this.#rule.takesDifferences === true;
  }

  /** The group that a chunk's tensors are of. */
  groupOf(chunk: number): ParameterGroup {
    return this.layout.chunks[chunk]!.group;
  }

  /**
   * The learning rate of a chunk's next entry, after so many examples; where it grows with the
   * workers, those count who take part in the step.
   */
  learningRate(examples: number, step: number): number {
    const view = this.#view;
    const partners = view === null ? 0 : partnersAt(view, this.#pace, step);
    return servedRate(this.spec, { examples, partners }, view ?? undefined);
  }

  /** The momentum coefficient of a chunk's next entry, after so many examples. */
  momentum(examples: number): number {
    const momentum = this.takesDifferences ? null : (this.#view?.momentum ?? null);
    return momentum === null ? this.#rule.momentum : momentumAt(momentum, examples, this.spec);
  }

  /** Has the host do something after all that it was told so far. */
  emit(effect: ShardEffect): void {
    this.effects.push(effect);
  }

  /** Gives a slot up, if there is one. */
  release(slot: number): void {
    if (slot >= 0) this.emit({ type: "release", slot });
  }

  /** Answers a message that changes nothing, without weights. */
  reply(
    channel: number,
    header: ChunkHeader,
    about: { readonly outcome: PushOutcome; readonly version: number; readonly detail: string },
  ): void {
    const answer = { ...header, ...about, kind: "reply", examples: 0 } as const;
    this.emit({ type: "reply", channel, header: answer, withWeights: false, copy: null });
  }

  /** Refuses a message; the answer's version is the number of the view that this stands on. */
  refuse(header: ChunkHeader, channel: number, detail: string): void {
    this.reply(channel, header, { outcome: "refused", version: this.#view?.number ?? 0, detail });
  }
}

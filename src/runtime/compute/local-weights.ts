/**
 * A worker's weights of its own, for steps that are made of local steps (local-steps.ts): they
 * begin as the parameters that the servers gave, are moved by the run's update rule after each
 * batch, and what they then differ by is what the step pushes. The kernels are those of the
 * servers, so that one local step has the bits of one of theirs.
 *
 * Running statistics move with each batch as they would on a server, and their difference is pushed
 * like that of weights. Counters count what servers apply, and stay as they are.
 *
 * Invariants: the parameters that were given are only read; the rule's state is a rank's, and goes
 * on from step to step. It lies in `kept` between steps, where its keeper reads and fills it.
 */
import { assert } from "../../assert.js";
import { Arena, slotAlignmentValues } from "../../kernels/arena.js";
import { createKernels, type KernelsChoice } from "../../kernels/choice.js";
import type { Kernels } from "../../kernels/kernels.js";
import { updateScalars } from "../../kernels/update-rule.js";
import { type Layout, type ParameterGroup, parameterGroups } from "../../protocol/layout.js";
import { localStateSize, localUpdatesMax } from "../../protocol/local/local-state.js";
import type { UpdateRuleSpec } from "../../protocol/update-rules.js";

/** A part of the flat vector that one update takes. */
interface Extent {
  readonly group: ParameterGroup;
  readonly offset: number;
  readonly length: number;
}

/** The memory of one process. */
export class LocalWeights {
  /** The flat vectors that an engine reads and writes. */
  readonly parameters: Float32Array;
  readonly gradients: Float32Array;
  readonly #layout: Layout;
  readonly #rule: UpdateRuleSpec;
  readonly #kernels: Kernels;
  readonly #extents: readonly Extent[];
  /** Offsets in the arena: weights, gradients, each part of the state. */
  readonly #slots: readonly number[];
  readonly #states: readonly Float32Array[];

  constructor(layout: Layout, rule: UpdateRuleSpec, choice: KernelsChoice = "auto") {
    this.#layout = layout;
    this.#rule = rule;
    const { parts } = localStateSize(rule, layout);
    const count = 2 + parts;
    const arena = new Arena(count * (layout.values + slotAlignmentValues));
    this.#kernels = createKernels(arena, { choice });
    this.#slots = Array.from({ length: count }, () => arena.allocate(layout.values));
    const views = this.#slots.map((slot) => arena.view(slot, layout.values));
    [this.parameters, this.gradients] = views as [Float32Array, Float32Array];
    this.#states = views.slice(2);
    this.#extents = extentsOf(layout);
  }

  /** Begins with these parameters, and goes on with this state of the rule. */
  begin(parameters: Float32Array, kept: Float32Array): void {
    const { trained, values } = localStateSize(this.#rule, this.#layout);
    assert(kept.length === values, "the rule's state is kept", { values, found: kept.length });
    this.parameters.set(parameters);
    this.#states.forEach((state, part) => {
      state.set(kept.subarray(part * trained, (part + 1) * trained));
    });
  }

  /** Moves the weights by what lies in the gradients; `kept` counts the update. */
  update(lr: number, kept: Float32Array): void {
    const updateCount = countUpdate(kept);
    const [weights, gradient, state1, state2] = this.#slots as [number, number, number?, number?];
    for (const { group, offset, length } of this.#extents) {
      const scalars = updateScalars(this.#rule, { lr, scale: 1, group, updateCount });
      this.#kernels.update(scalars, {
        weightsIn: weights + offset,
        weightsOut: weights + offset,
        gradient: gradient + offset,
        state1: state1 === undefined ? null : state1 + offset,
        state2: state2 === undefined ? null : state2 + offset,
        length,
      });
    }
  }

  /** Writes what the step pushes, and the rule's state to where it is kept. */
  finish(parameters: Float32Array, differences: Float32Array, kept: Float32Array): void {
    const { trained } = localStateSize(this.#rule, this.#layout);
    this.#states.forEach((state, part) => {
      kept.set(state.subarray(0, trained), part * trained);
    });
    const own = this.parameters;
    for (let index = 0; index < own.length; index++) {
      differences[index] = parameters[index]! - own[index]!;
    }
  }
}

/** Counters are not moved here: their difference is none. */
function extentsOf({ chunks }: Layout): Extent[] {
  return parameterGroups
    .filter((group) => group !== "counter")
    .map((group) => {
      const own = chunks.filter((chunk) => chunk.group === group);
      const length = own.reduce((sum, chunk) => sum + chunk.length, 0);
      return { group, offset: own[0]?.offset ?? 0, length };
    })
    .filter(({ length }) => length > 0);
}

/** The last value counts updates, as far as f32 can: a correction for bias is 1 by then. */
function countUpdate(kept: Float32Array): number {
  const last = kept.length - 1;
  if (last < 0) return 1;
  kept[last] = Math.min(kept[last]! + 1, localUpdatesMax);
  return kept[last]!;
}

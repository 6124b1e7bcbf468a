/**
 * The account that a simulation keeps beside the cluster's own: which gradients were computed, on
 * which parameters, and which of them each chunk has applied. It applies them to values of its own
 * in the order of the servers' entries, so that every value that shows anywhere can be compared.
 */
import type { Entry } from "../../core/server/entry.js";
import { paceOf } from "../../core/sync/modes.js";
import { Arena } from "../../kernels/arena.js";
import { createKernels } from "../../kernels/choice.js";
import type { Kernels } from "../../kernels/kernels.js";
import { statePartCount, updateScalars } from "../../kernels/update-rule.js";
import { type Layout, reduceOf } from "../../protocol/layout.js";
import { appliedRule, servedRate, servedRule } from "../../protocol/local/local-steps.js";
import type { Range } from "../../protocol/messages.js";
import { momentumAt } from "../../protocol/plan/phase-momentum.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { firstPhase, type View, type ViewPhase } from "../../protocol/view.js";
import { digestOf } from "../toy-model.js";

/** A step that some worker has computed. */
export interface LedgerStep {
  readonly rank: number;
  readonly incarnation: number;
  readonly step: number;
  readonly epoch: number;
  readonly range: Range;
  readonly gradients: Float32Array;
  /** By chunk the version of the parameters; -1 where it is not known. */
  readonly versions: readonly number[];
}

/** What one chunk has applied by one entry. */
export interface LedgerEntry {
  readonly step: number;
  readonly steps: readonly LedgerStep[];
  readonly examples: number;
  /** What its gradient was multiplied by. */
  readonly scale: number;
}

/** What the values of a chunk are moved by. */
interface Moment {
  /** Of one of the pushes: it tells the phase. */
  readonly step: number;
  readonly steps: readonly LedgerStep[];
  readonly lr: number;
  readonly momentum: number;
  readonly scale: number;
  readonly version: number;
  readonly isFolded: boolean;
}

/** Values and order of a chunk. */
interface LedgerChunk {
  readonly entries: LedgerEntry[];
  /** Examples of all entries. */
  examples: number;
  /** Offsets in the arena: the weights, then the state. */
  readonly parts: readonly number[];
  /** By the digest of the weights their versions. */
  readonly versions: Map<number, number>;
  /** By version the values, from the last one on that a checkpoint was compared with. */
  readonly history: Map<number, readonly Float32Array[]>;
  /** The highest version that a worker or the coordinator was sent. */
  seen: number;
}

/** What a ledger begins with: a fresh start, or what a checkpoint has. */
export interface LedgerStart {
  readonly weights: Float32Array;
  readonly state: readonly Float32Array[];
  /** By chunk; none where nothing was applied. */
  readonly entries: readonly (readonly LedgerEntry[])[];
  /** None where nothing was rejected. */
  readonly rejected: readonly LedgerStep[];
}

/** The ledger of one run, or of one part of a run that was resumed. */
export class Ledger {
  readonly spec: RunSpec;
  readonly layout: Layout;
  /** False where pushes are not the gradients that were computed. */
  readonly knowsValues: boolean;
  /** Steps that some server has said to be too stale: nothing of them counts as used. */
  readonly rejected: Set<LedgerStep>;
  #chunks: LedgerChunk[];
  /** Ascending, as far as servers have followed. */
  #phases: ViewPhase[] = [];
  #viewNumber = -1;
  /** By life of a worker the clock that it starts with. */
  #starts: ReadonlyMap<number, number> = new Map();
  readonly #steps = new Map<string, LedgerStep>();
  readonly #arena = new Arena(32_768);
  readonly #kernels: Kernels = createKernels(this.#arena, { choice: "scalar" });
  readonly #scratch: number;
  readonly #complain: (what: string) => void;

  constructor(spec: RunSpec, layout: Layout, start: LedgerStart, complain: (what: string) => void) {
    this.spec = spec;
    this.layout = layout;
    this.knowsValues = spec.compression.push.codec === "none";
    this.#complain = complain;
    this.rejected = new Set(start.rejected);
    this.#scratch = this.#arena.allocate(layout.values);
    this.#chunks = this.#chunksOf(start);
  }

  /** Goes back to what a checkpoint has, or to the fresh start; computed steps stay known. */
  goBack(start: LedgerStart): void {
    for (const slot of this.#chunks.flatMap(({ parts }) => parts)) this.#arena.free(slot);
    this.rejected.clear();
    for (const step of start.rejected) this.rejected.add(step);
    this.#chunks = this.#chunksOf(start);
  }

  #chunksOf(start: LedgerStart): LedgerChunk[] {
    const state = Array.from({ length: statePartCount(servedRule(this.spec)) }, (_, index) => {
      return start.state[index] ?? new Float32Array(this.layout.values);
    });
    return this.layout.chunks.map(({ index, offset, length }) => {
      const parts = [start.weights, ...state].map((values) => {
        const slot = this.#arena.allocate(length);
        this.#arena.view(slot, length).set(values.subarray(offset, offset + length));
        return slot;
      });
      const entries = [...(start.entries[index] ?? [])];
      const versions = new Map([[digestOf(this.#arena.view(parts[0]!, length)), entries.length]]);
      const examples = entries.reduce((sum, entry) => sum + entry.examples, 0);
      const values = parts.map((slot) => this.#arena.view(slot, length).slice());
      const history = new Map([[entries.length, values]]);
      return { entries, examples, parts, versions, history, seen: entries.length };
    });
  }

  /** A worker has computed a step; returns what is known of it. */
  computed(step: Omit<LedgerStep, "versions">, parameters: Float32Array): LedgerStep {
    const versions = this.layout.chunks.map(({ index, offset, length }) => {
      const values = parameters.subarray(offset, offset + length);
      return this.#chunks[index]!.versions.get(digestOf(values)) ?? -1;
    });
    const kept = { ...step, gradients: step.gradients.slice(), versions };
    const key = keyOf(step.incarnation, step.step);
    if (this.#steps.has(key)) this.#complain(`step ${step.step} of ${step.rank} is computed twice`);
    this.#steps.set(key, kept);
    return kept;
  }

  /** The step of a life, if it was computed. */
  stepOf(incarnation: number, step: number): LedgerStep | undefined {
    return this.#steps.get(keyOf(incarnation, step));
  }

  /** A server follows a view: from it on the run may be in another phase. */
  follow(view: View | null): void {
    if (view === null || view.number <= this.#viewNumber) return;
    this.#viewNumber = view.number;
    this.#starts = new Map(view.workers.map((one) => [one.incarnation, one.fromStep]));
    const last = this.#phases.at(-1);
    if (last?.phase === view.phase && last.phaseFromStep === view.phaseFromStep) return;
    this.#phases = [...this.#phases.filter(({ phase }) => phase < view.phase), view];
  }

  /** Those that the run has gone through, ascending; none before servers have followed a view. */
  get phases(): readonly ViewPhase[] {
    return this.#phases;
  }

  /** The clock with which servers count a life of a worker that they have not heard of since. */
  startOf(incarnation: number): number {
    return this.#starts.get(incarnation) ?? 0;
  }

  /** The phase that a step belongs to. */
  phaseOf(step: number): ViewPhase {
    const known = this.#phases.findLast(({ phaseFromStep }) => phaseFromStep <= step);
    return known ?? this.#phases[0] ?? firstPhase(this.spec.protocol);
  }

  /** Every step that was computed. */
  steps(): Iterable<LedgerStep> {
    return this.#steps.values();
  }

  /** What a chunk has applied, in its order. */
  entriesOf(chunk: number): readonly LedgerEntry[] {
    return this.#chunks[chunk]!.entries;
  }

  /** The highest version that has left the servers. */
  seen(chunk: number): number {
    return this.#chunks[chunk]!.seen;
  }

  /** A version has left the servers: it must never be lost. */
  sent(chunk: number, version: number): void {
    const known = this.#chunks[chunk]!;
    known.seen = Math.max(known.seen, version);
  }

  /**
   * A server has applied an entry; of those who have copies the first one counts. The last entry
   * may be taken back while nobody has seen it, where its primary is gone and another leads that
   * has it not. True where another has applied the same before.
   */
  applied(entry: Entry): boolean {
    const chunk = this.#chunks[entry.chunk]!;
    const { length: count } = chunk.entries;
    if (entry.version <= count) {
      if (this.#isCopy(entry, chunk.entries[entry.version - 1]!)) return true;
      if (entry.version < count || chunk.seen >= count) {
        const found = `${entry.marks.length} pushes of ${entry.examples} examples`;
        const place = `entry ${entry.version} of chunk ${entry.chunk}`;
        this.#complain(`${place} is one of ${found} now, and had been another, which was seen`);
        return false;
      }
      this.#undo(chunk);
    }
    const steps = entry.marks
      .filter(({ verdict }) => verdict.outcome !== "dropped")
      .map(({ incarnation, step }) => this.stepOf(incarnation, step))
      .filter((step): step is LedgerStep => step !== undefined)
      .sort((left, right) => left.rank - right.rank);
    const examples = steps.reduce((sum, { range }) => sum + range.end - range.start, 0);
    const where = `entry ${entry.version} of chunk ${entry.chunk}`;
    if (examples !== entry.examples || steps.length !== entry.pushes) {
      const found = `${entry.pushes} pushes of ${entry.examples} examples`;
      this.#complain(`${where} has ${found}, computed were ${steps.length} of ${examples}`);
    }
    const moved = entry.marks[0]?.step ?? entry.sealedStep;
    const lr = this.#rateAfter(chunk.examples, moved);
    const momentum = this.#momentumAfter(chunk.examples, moved);
    chunk.examples += entry.examples;
    if (lr !== entry.lr) this.#complain(`${where} has the rate ${entry.lr} instead of ${lr}`);
    if (momentum !== entry.momentum) {
      this.#complain(`${where} has the momentum ${entry.momentum} instead of ${momentum}`);
    }
    if (entry.version !== chunk.entries.length + 1) {
      this.#complain(`${where} follows version ${chunk.entries.length}`);
    }
    const { scale, version } = entry;
    chunk.entries.push({ step: entry.marks[0]?.step ?? -1, steps, examples, scale });
    const length = this.layout.chunks[entry.chunk]!.length;
    if (this.knowsValues && steps.length > 0) {
      const isFolded = paceOf(this.phaseOf(moved).protocol).globalStep !== "push";
      this.#move(entry.chunk, chunk.parts, {
        step: moved,
        steps,
        lr,
        momentum,
        scale,
        version,
        isFolded,
      });
      chunk.versions.set(digestOf(this.#arena.view(chunk.parts[0]!, length)), version);
    }
    const values = chunk.parts.map((slot) => this.#arena.view(slot, length).slice());
    chunk.history.set(entry.version, values);
    return false;
  }

  /**
   * A chunk is at rest at a version: an entry behind it that nobody has seen, which its primary had
   * sent to some before it was lost or replaced, is taken back for good.
   */
  atRest(index: number, version: number): void {
    const chunk = this.#chunks[index]!;
    if (chunk.entries.length === version + 1 && chunk.seen <= version) this.#undo(chunk);
  }

  /** True where a copy applies what another has. */
  #isCopy({ marks, examples }: Entry, entry: LedgerEntry): boolean {
    const steps = marks
      .filter(({ verdict }) => verdict.outcome !== "dropped")
      .flatMap(({ incarnation, step }) => this.stepOf(incarnation, step) ?? []);
    return steps.every((step) => entry.steps.includes(step)) && examples === entry.examples;
  }

  #undo(chunk: LedgerChunk): void {
    const last = chunk.entries.pop();
    chunk.examples -= last?.examples ?? 0;
    const { length: count } = chunk.entries;
    chunk.history.delete(count + 1);
    chunk.history.get(count)?.forEach((values, part) => {
      this.#arena.view(chunk.parts[part]!, values.length).set(values);
    });
    for (const [digest, version] of chunk.versions) {
      if (version > count) chunk.versions.delete(digest);
    }
  }

  /** The values of a part of a chunk. */
  valuesOf(chunk: number, part: number): Float32Array {
    const { length } = this.layout.chunks[chunk]!;
    return this.#arena.view(this.#chunks[chunk]!.parts[part]!, length);
  }

  /** The same as they were at a version; nobody asks for an earlier one from here on. */
  valuesAt(chunk: number, version: number): readonly Float32Array[] {
    const { history } = this.#chunks[chunk]!;
    for (const earlier of [...history.keys()]) if (earlier < version) history.delete(earlier);
    return history.get(version) ?? [];
  }

  /**
   * The values of a chunk that has applied these of its entries, in this order, and no other; none
   * where they are not known. Nobody asks for what is before the first that it lacks from here on.
   */
  valuesWith(chunk: number, entries: readonly LedgerEntry[]): readonly Float32Array[] {
    const all = this.entriesOf(chunk);
    const lacked = entries.findIndex((entry, index) => entry !== all[index]);
    const base = lacked < 0 ? entries.length : lacked;
    const { length } = this.layout.chunks[chunk]!;
    const slots = this.valuesAt(chunk, base).map((values) => {
      const slot = this.#arena.allocate(length);
      this.#arena.view(slot, length).set(values);
      return slot;
    });
    if (slots.length === 0) return [];
    let examples = entries.slice(0, base).reduce((sum, entry) => sum + entry.examples, 0);
    for (const [index, entry] of entries.slice(base).entries()) {
      const { steps, scale, examples: more } = entry;
      const lr = this.#rateAfter(examples, entry.step);
      const momentum = this.#momentumAfter(examples, entry.step);
      const version = base + index + 1;
      const { step } = entry;
      this.#move(chunk, slots, { step, steps, lr, momentum, scale, version, isFolded: false });
      examples += more;
    }
    const found = slots.map((slot) => this.#arena.view(slot, length).slice());
    for (const slot of slots) this.#arena.free(slot);
    return found;
  }

  /** How many vectors there are: weights and state. */
  get partCount(): number {
    return 1 + statePartCount(servedRule(this.spec));
  }

  /** All weights. */
  weights(): Float32Array {
    const weights = new Float32Array(this.layout.values);
    for (const { index, offset } of this.layout.chunks) {
      weights.set(this.valuesOf(index, 0), offset);
    }
    return weights;
  }

  /** No run here scales its rate by workers. */
  #rateAfter(examples: number, step: number): number {
    const moment = { examples, partners: this.spec.workersMax };
    return servedRate(this.spec, moment, this.phaseOf(step));
  }

  #momentumAfter(examples: number, step: number): number {
    const { momentum, protocol } = this.phaseOf(step);
    const rule = appliedRule(this.spec, protocol);
    if (momentum === null || rule.takesDifferences === true) return rule.momentum;
    return momentumAt(momentum, examples, this.spec);
  }

  #move(chunk: number, parts: readonly number[], moment: Moment): void {
    const { steps, lr, momentum, scale, version, isFolded } = moment;
    const rule = appliedRule(this.spec, this.phaseOf(moment.step).protocol);
    const { offset, length, group } = this.layout.chunks[chunk]!;
    const kernels = this.#kernels;
    const slots = steps.map(({ gradients }) => {
      const slot = this.#arena.allocate(length);
      this.#arena.view(slot, length).set(gradients.subarray(offset, offset + length));
      return slot;
    });
    const inputs = steps.map(({ range }, index) => {
      return { offset: slots[index]!, examples: range.end - range.start };
    });
    const reduce = reduceOf(group, this.spec.reduce);
    if (isFolded) kernels.fold(this.#scratch, inputs, length, reduce);
    else kernels.copy(slots[0]!, this.#scratch, length);
    const [weights, first, second] = parts;
    kernels.update(updateScalars(rule, { lr, momentum, scale, group, updateCount: version }), {
      weightsIn: weights!,
      weightsOut: weights!,
      gradient: this.#scratch,
      state1: first ?? null,
      state2: second ?? null,
      length,
    });
    for (const slot of slots) this.#arena.free(slot);
  }
}

function keyOf(incarnation: number, step: number): string {
  return `${incarnation}/${step}`;
}

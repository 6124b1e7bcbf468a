/**
 * How slow a worker is in each of its steps, as injected faults say. A step has a number: the
 * global step that its push is for at the earliest, counted from 1, which is one more than both the
 * worker's clock and the highest version that it has received. In BSP that is the step itself, so
 * that a fault is exact to the step; where pushes are applied one by one it is the update.
 *
 * Invariant: a step's slowness is decided once, when the step begins, and holds for its computing,
 * its pushes and the answers to them. Of several faults delays add up, the narrowest bandwidth
 * counts, and slowing multiplies.
 */
import { type InjectedStraggler, prompt, type Slowness } from "../../protocol/injected-fault.js";

/** A straggler begins to straggle, or is prompt again. */
export interface StragglerChange {
  readonly straggler: InjectedStraggler;
  readonly straggles: boolean;
  /** The first step of which that holds. */
  readonly step: number;
  /** Steps in which it has straggled. */
  readonly steps: number;
}

/** What is around them. */
export interface StragglingParts {
  nowMs(): number;
  tell(change: StragglerChange): void;
}

/** A fault, and how far it has come. */
interface Course {
  readonly straggler: InjectedStraggler;
  /** When its first step began; null before. */
  beganMs: number | null;
  straggles: boolean;
  steps: number;
}

/** The steps of one worker in one run after the other. */
export class StragglingSteps {
  readonly #parts: StragglingParts;
  readonly #stragglers: readonly InjectedStraggler[];
  #courses: readonly Course[] = [];
  #heard = 0;
  #step = -1;
  #slowness: Slowness = prompt;

  constructor(stragglers: readonly InjectedStraggler[], parts: StragglingParts) {
    this.#parts = parts;
    this.#stragglers = stragglers;
    this.begin();
  }

  /** A run begins. */
  begin(): void {
    const fresh = { beganMs: null, straggles: false, steps: 0 };
    this.#courses = this.#stragglers.map((straggler) => ({ straggler, ...fresh }));
    [this.#heard, this.#step, this.#slowness] = [0, -1, prompt];
  }

  /** A chunk of this version has been received. */
  heard(version: number): void {
    this.#heard = Math.max(this.#heard, version);
  }

  /** The slowness of the worker's step, from 0; of one that lies behind, that of the present. */
  of(step: number): Slowness {
    if (step <= this.#step) return this.#slowness;
    this.#step = step;
    const number = Math.max(step, this.#heard) + 1;
    const nowMs = this.#parts.nowMs();
    const present = this.#courses.filter((course) => this.#look(course, number, nowMs));
    this.#slowness = together(present.map(({ straggler }) => straggler));
    return this.#slowness;
  }

  #look(course: Course, number: number, nowMs: number): boolean {
    const { straggler } = course;
    const { at, to, forMs } = straggler;
    if (number >= at) course.beganMs ??= nowMs;
    const isOver =
      (to !== null && number > to) ||
      (forMs !== null && course.beganMs !== null && nowMs - course.beganMs >= forMs);
    const straggles = course.beganMs !== null && !isOver;
    if (straggles !== course.straggles) {
      course.straggles = straggles;
      this.#parts.tell({ straggler, straggles, step: number, steps: course.steps });
    }
    if (straggles) course.steps++;
    return straggles;
  }
}

function together(all: readonly Slowness[]): Slowness {
  const widths = all.flatMap(({ bitsPerSecond }) =>
    bitsPerSecond === null ? [] : [bitsPerSecond],
  );
  return {
    delayMs: all.reduce((sum, { delayMs }) => sum + delayMs, prompt.delayMs),
    bitsPerSecond: widths.length === 0 ? prompt.bitsPerSecond : Math.min(...widths),
    slow: all.reduce((product, { slow }) => product * slow, prompt.slow),
  };
}

/** In words: who is slow, in what way, since which step. */
export function straggledWords(change: StragglerChange, text: string): string {
  const { straggler, straggles, step, steps } = change;
  const name = `worker-${straggler.rank}`;
  if (straggles) return `${name} straggles from step ${step} on, as injected: ${text}`;
  return `${name} is prompt again from step ${step} on, after ${steps} steps: ${text}`;
}

/**
 * The groups of workers that step together, as the primary of the decider divides them: by how long
 * their last steps took, from the answer with which each could begin to its push. They are divided
 * anew when as many pushes have come as there are workers, and a division that is another than the
 * present one counts once it has been found three times running.
 *
 * What becomes of it is written in the decider's entries, whose marks say who is in which update
 * (step-decisions.ts). So the groups themselves need be known by nobody else: another primary
 * measures anew, and until then each worker is alone.
 *
 * Invariant: a worker of the view is in one group.
 */
import type { View } from "../../protocol/view.js";
import type { GroupRule, StepTime } from "../sync/pace.js";
import type { ChunkState } from "./chunk-state.js";

/** Steps of a worker that its time is the middle of. */
const stepsMax = 5;
/** So often another division is found before it counts. */
const findingsMin = 3;

/** What of the groups may be an update, or when to look again. */
export interface GroupDecision {
  /** The lives in it; null where nothing may be one. */
  readonly lives: ReadonlySet<number> | null;
  readonly againMs: number | null;
}

/** The groups of one server, as long as it leads the decider. */
export class WorkerGroups {
  /** By life how long its last steps took. */
  readonly #times = new Map<number, number[]>();
  #groups: readonly (readonly number[])[] = [];
  /** Another division than the present one, and how often it was found running. */
  #other = { key: "", findings: 0 };
  #pushes = 0;

  /** A worker's push has come, of a step that took so long; null where that is not known. */
  came(incarnation: number, tookMs: number | null): void {
    this.#pushes++;
    if (tookMs === null) return;
    const before = this.#times.get(incarnation) ?? [];
    this.#times.set(incarnation, [...before, tookMs].slice(-stepsMax));
  }

  /** Divides the workers anew where it is time: true where the groups are others then. */
  divide(rule: GroupRule, view: View): boolean {
    if (this.#pushes < view.workers.length) return false;
    this.#pushes = 0;
    const lives = new Set(view.workers.map(({ incarnation }) => incarnation));
    for (const life of [...this.#times.keys()]) if (!lives.has(life)) this.#times.delete(life);
    const times = [...this.#times.keys()].map((incarnation): StepTime => {
      return { incarnation, tookMs: this.#timeOf(incarnation) };
    });
    const found = rule.divide(times).map((group) => group.toSorted((one, other) => one - other));
    const key = keyOf(found);
    const findings = this.#other.key === key ? this.#other.findings + 1 : 1;
    this.#other = { key, findings };
    if (findings < findingsMin || key === keyOf(this.#groups)) return false;
    this.#groups = found;
    return true;
  }

  /** The lives of the view in their groups; who is in none is alone. */
  of(view: View): readonly (readonly number[])[] {
    const lives = new Set(view.workers.map(({ incarnation }) => incarnation));
    const here = this.#groups.map((group) => group.filter((life) => lives.has(life)));
    const grouped = new Set(here.flat());
    const alone = [...lives].filter((life) => !grouped.has(life)).map((life) => [life]);
    return [...here.filter((group) => group.length > 0), ...alone];
  }

  /** What may be an update of what the decider holds: first where a push has waited longest. */
  next(rule: GroupRule, view: View, decider: ChunkState, nowMs: number): GroupDecision {
    const since = new Map(decider.heldBy().map(({ incarnation, cameMs }) => [incarnation, cameMs]));
    const waiting = this.of(view)
      .map((group) => ({ group, here: group.filter((life) => since.has(life)) }))
      .filter(({ here }) => here.length > 0)
      .map(({ group, here }) => {
        const sinceMs = Math.min(...here.map((life) => since.get(life)!));
        const stepMs = Math.max(0, ...group.map((life) => this.#timeOf(life)));
        return { lives: new Set(here), size: group.length, here: here.length, sinceMs, stepMs };
      })
      .sort((one, other) => one.sinceMs - other.sinceMs);
    let againMs: number | null = null;
    for (const { lives, ...progress } of waiting) {
      const sealing = rule.maySeal(progress, nowMs);
      if (sealing.allowed) return { lives, againMs: null };
      if (sealing.againMs !== undefined) againMs = Math.min(againMs ?? Infinity, sealing.againMs);
    }
    return { lives: null, againMs };
  }

  /** Who steps with whom, and how long a step takes, in words. */
  words(view: View): string {
    const ranks = new Map(view.workers.map(({ incarnation, rank }) => [incarnation, rank]));
    const groups = this.of(view).map((group) => {
      const stepMs = Math.max(...group.map((life) => this.#timeOf(life)));
      const known = stepMs > 0 ? ` (${stepMs.toFixed(1)} ms)` : "";
      const members = group.map((life) => ranks.get(life)).sort((one, other) => one! - other!);
      return `${members.join(" ")}${known}`;
    });
    return `workers step in groups: ${groups.join(", ")}`;
  }

  /** The decider is led elsewhere. */
  forget(): void {
    this.#times.clear();
    this.#groups = [];
    this.#other = { key: "", findings: 0 };
    this.#pushes = 0;
  }

  /** The middle of its last steps' times; 0 where none is known. */
  #timeOf(incarnation: number): number {
    const sorted = (this.#times.get(incarnation) ?? []).toSorted((one, other) => one - other);
    return sorted[sorted.length >> 1] ?? 0;
  }
}

function keyOf(groups: readonly (readonly number[])[]): string {
  return groups.map((group) => group.join(" ")).join(", ");
}

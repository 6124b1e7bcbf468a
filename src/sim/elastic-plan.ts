/**
 * How the numbers of a simulated run's workers move: a range that is written, with a crowd that
 * comes at once while others train; a minimum below which nobody does; members whose processes are
 * told to end, as machines are taken away, with others in their place after a while or none.
 */
import type { Random } from "../random.js";
import { simulatedTimes } from "./cluster-plan.js";
import type { Fault, FaultScene } from "./fault-plan.js";

/** What is drawn of one part. */
export interface Elasticity {
  readonly workersMin: number;
  /** Null for all of them. */
  readonly workersAtStart: number | null;
  /** By rank when those of a crowd come; 0 of the others. */
  readonly crowdMs: readonly number[];
  readonly faults: readonly Fault[];
}

/** Draws it; with no faults at most, a run of as many as there are. */
export function drawElasticity(random: Random, scene: FaultScene, most: number): Elasticity {
  const { workers } = scene;
  const plain = { workersMin: 1, workersAtStart: null, crowdMs: [], faults: [] };
  if (most === 0) return plain;
  const isRange = workers > 1 && random.below(3) === 0;
  const hasMinimum = isRange || random.below(4) === 0;
  const workersMin = hasMinimum ? 1 + random.below(workers) : 1;
  return {
    workersMin,
    workersAtStart: isRange ? workersMin : null,
    crowdMs: isRange ? drawCrowd(random, scene, workersMin) : [],
    faults: random.below(3) === 0 ? drawSignals(random, scene, most) : [],
  };
}

/** Ranks from this one on come while the others train, within a tenth of a second. */
function drawCrowd(random: Random, { workers, untilMs }: FaultScene, from: number): number[] {
  const atMs = 100 + random.float() * untilMs * 0.6;
  return Array.from({ length: workers }, (_, rank) =>
    rank < from ? 0 : atMs + random.float() * 100,
  );
}

/** Processes that are told to end; some are replaced too late for a run that waits for workers. */
function drawSignals(random: Random, { workers, servers, untilMs }: FaultScene, most: number) {
  const count = Math.min(most, 1 + random.below(4));
  return Array.from({ length: count }, (): Fault => {
    const atMs = random.float() * untilMs;
    const soonMs = 50 + random.float() * 400;
    if (random.below(4) === 0) {
      const node = `server-${random.below(servers)}`;
      return { kind: "signal", atMs, node, restartMs: soonMs };
    }
    const node = `worker-${random.below(workers)}`;
    const lateMs = random.float() * 1.5 * simulatedTimes.waitForWorkersMs;
    const restartMs = [null, soonMs, soonMs, lateMs][random.below(4)]!;
    return { kind: "signal", atMs, node, restartMs };
  });
}

/**
 * Coordinators that stand by, and what goes wrong with the one that leads and with the store that
 * they share: it is killed or stands still at any moment, for less than its lease or for more, with
 * its clock or without; it is cut off from the store but not from members, or the reverse; the
 * store is slow, away, or makes what it gives no answer to.
 */
import type { Random } from "../../random.js";
import { simulatedTimes } from "../cluster-plan.js";
import { drawMoments, type Fault, type FaultScene } from "../fault-plan.js";

/** What is drawn of one part. */
export interface StandbyPlan {
  readonly standbys: number;
  /** How long a leader's lease lasts, in whole seconds. */
  readonly leadMs: number;
  readonly faults: readonly Fault[];
}

/** Etcd gives no lease below two seconds. */
const leadsMs = [2000, 2000, 6000] as const;

/** Draws it; with no faults at most, a coordinator alone. */
export function drawStandbys(random: Random, scene: FaultScene, most: number): StandbyPlan {
  if (most === 0 || random.below(4) > 0) return { standbys: 0, leadMs: 0, faults: [] };
  const standbys = 1 + random.below(2);
  const leadMs = leadsMs[random.below(leadsMs.length)]!;
  const troubles = Array.from({ length: Math.min(most, random.below(4)) }, () =>
    drawTrouble(random, scene, leadMs),
  );
  const role = "coordinator";
  const moments = [
    ...drawMoments(random, scene, { role, count: random.below(3), restarts: true }),
    // One fewer than there are is lost for good.
    ...drawMoments(random, scene, { role, count: random.below(1 + standbys), restarts: false }),
  ].slice(0, most);
  const lasting = moments.map((one) => asLongAsALease(one, random, leadMs));
  return { standbys, leadMs, faults: [...troubles, ...lasting] };
}

/** Who stands still at a moment does so for about a lease: longer, or not. */
function asLongAsALease(fault: Fault, random: Random, leadMs: number): Fault {
  if (fault.kind !== "moment" || fault.strike.kind !== "freeze") return fault;
  const durationMs = aboutALease(random, leadMs);
  return { ...fault, strike: { kind: "freeze", durationMs, isSuspended: random.below(2) === 0 } };
}

function aboutALease(random: Random, leadMs: number): number {
  return leadMs * (0.3 + random.float() * 2.5);
}

function drawTrouble(
  random: Random,
  { workers, servers, untilMs }: FaultScene,
  leadMs: number,
): Fault {
  const atMs = random.float() * untilMs;
  const member =
    random.below(2) === 0 ? `worker-${random.below(workers)}` : `server-${random.below(servers)}`;
  const node = "coordinator";
  switch (random.below(8)) {
    case 0: {
      const isSuspended = random.below(2) === 0;
      return { kind: "freeze", atMs, node, durationMs: aboutALease(random, leadMs), isSuspended };
    }
    case 1: {
      const restartMs = 100 + random.float() * 3000;
      return { kind: "kill", atMs, node, isSilent: random.below(2) === 0, restartMs };
    }
    case 2:
      return { kind: "storeAway", atMs, durationMs: aboutALease(random, leadMs) };
    case 3: {
      const mostMs = [100, 1000, 5000][random.below(3)]!;
      return { kind: "storeSlow", atMs, durationMs: aboutALease(random, leadMs), mostMs };
    }
    case 4:
      return { kind: "storeCut", atMs, node, durationMs: aboutALease(random, leadMs) };
    case 5:
      return { kind: "storeLosesAnswers", atMs, count: 1 + random.below(4) };
    case 6: {
      const durationMs = simulatedTimes.leaseMs * (0.2 + random.float());
      return { kind: "block", atMs, from: node, to: member, durationMs };
    }
    default: {
      const durationMs = simulatedTimes.leaseMs * (0.2 + random.float());
      return { kind: "block", atMs, from: member, to: node, durationMs };
    }
  }
}

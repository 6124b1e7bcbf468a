/**
 * What goes wrong in a simulated run, as plain data: when, where and for how long. A plan is drawn
 * from a seed, and each fault ends: a run that stands still after the last one has no excuse.
 */
import type { MemberRole } from "../protocol/identity.js";
import type { Random } from "../random.js";

/** One fault. Nodes are named by role and rank, the coordinator by its role. */
export type Fault = { readonly atMs: number } & (
  | {
      /** A process ends; its machine may be silent about it, and it may be started again. */
      readonly kind: "kill";
      readonly node: string;
      readonly isSilent: boolean;
      readonly restartMs: number | null;
    }
  | { readonly kind: "freeze"; readonly node: string; readonly durationMs: number }
  /** Nothing passes from one node to another. */
  | {
      readonly kind: "block";
      readonly from: string;
      readonly to: string;
      readonly durationMs: number;
    }
  | { readonly kind: "break"; readonly left: string; readonly right: string }
  /** A connection is given up by one side while what it sent is still to arrive. */
  | {
      readonly kind: "leaveBehind";
      readonly from: string;
      readonly to: string;
      readonly lateMs: number;
    }
  | { readonly kind: "loseAnswer"; readonly node: string; readonly count: number }
  | { readonly kind: "lateWorker"; readonly rank: number }
  /** Another, as soon as a server sends a part of what a checkpoint is made of. */
  | { readonly kind: "amidSave"; readonly fault: Fault }
  /** Nothing goes wrong: another server comes, or a member is asked to leave. */
  | { readonly kind: "joinServer"; readonly index: number }
  | { readonly kind: "drain"; readonly role: MemberRole; readonly rank: number }
);

/** True of what happens to sound clusters as well. */
export function isOrderly({ kind }: Fault): boolean {
  return kind === "lateWorker" || kind === "joinServer" || kind === "drain";
}

/** What a plan of faults is drawn for. */
export interface FaultScene {
  readonly workers: number;
  readonly servers: number;
  /** When the last fault begins at the latest. */
  readonly untilMs: number;
  /** A member that is away for longer is lost. */
  readonly leaseMs: number;
}

/** Draws so many faults. */
export function drawFaults(random: Random, scene: FaultScene, count: number): Fault[] {
  const faults = Array.from({ length: count }, () => drawFault(random, scene));
  return faults.sort((left, right) => left.atMs - right.atMs);
}

/** Draws some faults of servers whose chunks have copies, so that one of them can be spared. */
export function drawServerFaults(random: Random, scene: FaultScene, most: number): Fault[] {
  const { servers, untilMs, leaseMs } = scene;
  const count = Math.min(most, random.below(4));
  return Array.from({ length: count }, (): Fault => {
    const atMs = random.float() * untilMs;
    const index = random.below(servers);
    const node = `server-${index}`;
    const other = `server-${(index + 1 + random.below(servers - 1)) % servers}`;
    const durationMs = leaseMs * (0.2 + random.float() * 2.5);
    switch (random.below(6)) {
      case 0:
      case 1:
      case 2: {
        const restartMs = random.below(3) === 0 ? null : 50 + random.float() * 400;
        return { kind: "kill", atMs, node, isSilent: random.below(3) === 0, restartMs };
      }
      case 3:
        return { kind: "freeze", atMs, node, durationMs };
      case 4:
        return { kind: "block", atMs, from: node, to: other, durationMs };
      default:
        return { kind: "block", atMs, from: node, to: "coordinator", durationMs };
    }
  });
}

/** Servers that may come, and what happens with it. */
export interface Comings {
  /** The most that the run takes; null for no more than it begins with. */
  readonly serversMax: number | null;
  readonly faults: readonly Fault[];
}

/** Draws servers that come while a run is on, members that are drained, and losses amid that. */
export function drawComings(random: Random, scene: FaultScene, most: number): Comings {
  const { workers, servers, untilMs } = scene;
  if (most === 0 || random.below(3) > 0) return { serversMax: null, faults: [] };
  const serversMax = servers + 1 + random.below(2);
  const atMs = () => random.float() * untilMs;
  const joins = Array.from({ length: 1 + random.below(3) }, (_, count): Fault => {
    const index = count === 0 ? servers : random.below(serversMax);
    return { kind: "joinServer", atMs: 0.6 * atMs(), index };
  });
  const drains = Array.from({ length: random.below(3) }, (): Fault => {
    if (random.below(4) === 0) {
      return { kind: "drain", atMs: atMs(), role: "worker", rank: random.below(workers) };
    }
    return { kind: "drain", atMs: atMs(), role: "server", rank: random.below(serversMax) };
  });
  const kills = Array.from({ length: random.below(4) === 0 ? 1 : 0 }, (): Fault => {
    const node = `server-${random.below(serversMax)}`;
    const restartMs = 50 + random.float() * 400;
    return { kind: "kill", atMs: atMs(), node, isSilent: random.below(3) === 0, restartMs };
  });
  return { serversMax, faults: [...joins, ...drains, ...kills] };
}

/** Draws losses of servers whose chunks have no copies, each of which is started again. */
export function drawLosses(random: Random, scene: FaultScene, most: number): Fault[] {
  const { servers, untilMs } = scene;
  const count = random.below(4) === 0 ? Math.min(most, 1 + random.below(2)) : 0;
  return Array.from({ length: count }, (): Fault => {
    const node = `server-${random.below(servers)}`;
    const restartMs = 50 + random.float() * 400;
    const isSilent = random.below(3) === 0;
    return { kind: "kill", atMs: random.float() * untilMs, node, isSilent, restartMs };
  });
}

/**
 * Draws what strikes while a checkpoint is collected, which takes so little time that faults at any
 * moment seldom meet it; `mayLose`: servers may be lost.
 */
export function drawAmidSave(random: Random, scene: FaultScene, mayLose: boolean): Fault[] {
  const { servers, workers, untilMs, leaseMs } = scene;
  if (random.below(3) !== 0) return [];
  const atMs = random.float() * untilMs;
  const server = `server-${random.below(servers)}`;
  const worker = `worker-${random.below(workers)}`;
  const restartMs = 50 + random.float() * 400;
  const strikes: readonly Fault[] = [
    { kind: "break", atMs, left: "coordinator", right: server },
    { kind: "leaveBehind", atMs, from: server, to: "coordinator", lateMs: leaseMs / 4 },
    { kind: "kill", atMs, node: worker, isSilent: false, restartMs },
    { kind: "kill", atMs, node: server, isSilent: false, restartMs },
  ];
  const fault = strikes[random.below(mayLose ? 4 : 3)]!;
  return [{ kind: "amidSave", atMs, fault }];
}

/** When everything is as it should be again. */
export function endOfFaults(faults: readonly Fault[]): number {
  return Math.max(0, ...faults.map((fault) => fault.atMs + durationOf(fault)));
}

/** True where a fault may cost a server its membership, and with it the run. */
export function mayLoseServer(fault: Fault, leaseMs: number): boolean {
  switch (fault.kind) {
    case "kill":
      return fault.node.startsWith("server");
    case "freeze":
      return fault.node.startsWith("server") && fault.durationMs >= leaseMs / 2;
    case "block": {
      const isSession = [fault.from, fault.to].includes("coordinator");
      const isServer = [fault.from, fault.to].some((node) => node.startsWith("server"));
      return isSession && isServer && fault.durationMs >= leaseMs / 2;
    }
    case "amidSave":
      return mayLoseServer(fault.fault, leaseMs);
    default:
      return false;
  }
}

/** True where a fault may cost a worker its membership. */
export function mayLoseWorker(fault: Fault, leaseMs: number): boolean {
  switch (fault.kind) {
    case "kill":
      return fault.node.startsWith("worker");
    case "freeze":
      return fault.durationMs >= leaseMs / 2;
    case "block":
      return fault.durationMs >= leaseMs / 2;
    case "leaveBehind":
      return fault.lateMs >= leaseMs / 2;
    case "amidSave":
      return mayLoseWorker(fault.fault, leaseMs);
    default:
      return false;
  }
}

function durationOf(fault: Fault): number {
  switch (fault.kind) {
    case "kill":
      return fault.restartMs ?? 0;
    case "freeze":
    case "block":
      return fault.durationMs;
    case "leaveBehind":
      return fault.lateMs;
    case "amidSave":
      return durationOf(fault.fault);
    default:
      return 0;
  }
}

function drawFault(random: Random, { workers, servers, untilMs, leaseMs }: FaultScene): Fault {
  const atMs = random.float() * untilMs;
  const worker = `worker-${random.below(workers)}`;
  const server = `server-${random.below(servers)}`;
  const between = (lowMs: number, highMs: number) => lowMs + random.float() * (highMs - lowMs);
  const shortly = () => between(5, leaseMs * 0.4);
  const long = () => between(leaseMs * 0.8, leaseMs * 3);
  const ends = [
    [worker, server],
    [server, worker],
    [worker, "coordinator"],
    ["coordinator", worker],
    [server, "coordinator"],
    ["coordinator", server],
  ] as const;
  const [from, to] = ends[random.below(ends.length)]!;
  const rank = random.below(workers);
  const isOfServer = ![from, to].includes(worker);
  switch (random.below(11)) {
    case 0:
    case 1: {
      const restartMs = random.below(4) === 0 ? null : between(50, 400);
      return { kind: "kill", atMs, node: worker, isSilent: random.below(3) === 0, restartMs };
    }
    case 2: {
      const isRare = random.below(6) === 0;
      const node = isRare ? server : worker;
      return isRare && random.below(2) === 0
        ? { kind: "kill", atMs, node, isSilent: false, restartMs: null }
        : { kind: "freeze", atMs, node, durationMs: long() };
    }
    case 3: {
      const node = [worker, server, "coordinator"][random.below(3)]!;
      return { kind: "freeze", atMs, node, durationMs: shortly() };
    }
    case 4:
      return { kind: "block", atMs, from, to, durationMs: isOfServer ? shortly() : long() };
    case 5:
      return { kind: "block", atMs, from, to, durationMs: shortly() };
    case 6:
      return { kind: "break", atMs, left: from, right: to };
    case 7:
    case 8:
      return { kind: "leaveBehind", atMs, from, to, lateMs: between(20, leaseMs * 1.5) };
    case 9:
      return { kind: "loseAnswer", atMs: 0, node: worker, count: 1 + random.below(2) };
    default:
      return { kind: "lateWorker", atMs, rank };
  }
}

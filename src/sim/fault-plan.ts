/**
 * What goes wrong in a simulated run, as plain data: when, where and for how long. A plan is drawn
 * from a seed, and each fault ends: a run that stands still after the last one has no excuse.
 */
import type { MemberRole } from "../protocol/identity.js";
import type { Random } from "../random.js";
import { simulatedTimes } from "./cluster-plan.js";
import type { Wrong } from "./stranger/stranger-plan.js";

/** One fault. Nodes are named by role and rank, the coordinator by its role. */
export type Fault = { readonly atMs: number } & (
  | {
      /** A process ends; its machine may be silent about it, and it may be started again. */
      readonly kind: "kill";
      readonly node: string;
      readonly isSilent: boolean;
      readonly restartMs: number | null;
      /** What it has sent arrives later by this much; as ever if left out. */
      readonly lateMs?: number;
    }
  | {
      readonly kind: "freeze";
      readonly node: string;
      readonly durationMs: number;
      /** True where its clock stands still with it. */
      readonly isSuspended?: boolean;
    }
  /** Something strikes a process of this role as it sends a message of some kind. */
  | {
      readonly kind: "moment";
      readonly role: FaultRole;
      /** The one that it strikes; the first that comes to it if left out. */
      readonly node?: string;
      readonly message: string;
      /** The message is the so many-th of its kind since `atMs`, from 1. */
      readonly nth: number;
      /** How long after the message it strikes; negative where the message is not sent any more. */
      readonly afterMs: number;
      readonly strike:
        | Pick<Fault & { readonly kind: "kill" }, "kind" | "isSilent" | "restartMs" | "lateMs">
        | Pick<Fault & { readonly kind: "freeze" }, "kind" | "durationMs" | "isSuspended">
        | { readonly kind: "mute" };
      /** What follows, its time counted from the strike. */
      readonly then?: readonly Fault[];
    }
  /** What a server sends to workers over their present connections is lost. */
  | { readonly kind: "mute"; readonly node: string }
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
  /** What a node sends over its present connections to another arrives nowhere. */
  | { readonly kind: "swallow"; readonly from: string; readonly to: string }
  | { readonly kind: "loseAnswer"; readonly node: string; readonly count: number }
  /** A node's calls and its askings of servers are made twice. */
  | { readonly kind: "repeat"; readonly node: string; readonly durationMs: number }
  /** A member is told an earlier view again. */
  | { readonly kind: "staleView"; readonly node: string }
  | { readonly kind: "lateWorker"; readonly rank: number }
  /** Another, as soon as a server sends a part of what a checkpoint is made of. */
  | { readonly kind: "amidSave"; readonly fault: Fault }
  /** Nothing goes wrong: another server comes, or a member is asked to leave. */
  | { readonly kind: "joinServer"; readonly index: number }
  | { readonly kind: "drain"; readonly role: MemberRole; readonly rank: number }
  /** Somebody asks for another way to keep pace. */
  | { readonly kind: "switch"; readonly mode: string }
  /** The coordinators' store takes longer over each message, by up to so much. */
  | { readonly kind: "storeSlow"; readonly durationMs: number; readonly mostMs: number }
  | { readonly kind: "storeAway"; readonly durationMs: number }
  /** Nothing passes between the store and a node, until all does that was sent meanwhile. */
  | { readonly kind: "storeCut"; readonly node: string; readonly durationMs: number }
  /** Calls of the store are made, and the answers are lost. */
  | { readonly kind: "storeLosesAnswers"; readonly count: number }
  /** One that does not belong knocks at this server, or at the coordinator. */
  | { readonly kind: "stranger"; readonly wrong: Wrong; readonly server: number }
  /** A process is told to end; another takes its place so long after it has, or none. */
  | { readonly kind: "signal"; readonly node: string; readonly restartMs: number | null }
);

/** One of the store that coordinators share. */
export type StoreFault = Fault & { readonly kind: (typeof storeFaults)[number] };

const storeFaults = ["storeSlow", "storeAway", "storeCut", "storeLosesAnswers"] as const;

/** True of what is wrong with the store. */
export function isOfStore(fault: Fault): fault is StoreFault {
  return storeFaults.some((kind) => kind === fault.kind);
}

/** Whose process it is. */
export type FaultRole = "server" | "worker" | "coordinator";

/** True of what happens to sound clusters as well. */
export function isOrderly({ kind }: Fault): boolean {
  return ["lateWorker", "joinServer", "drain", "switch", "signal", "stranger"].includes(kind);
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
    switch (random.below(9)) {
      case 6:
        return { kind: "break", atMs, left: node, right: other };
      case 7:
        return { kind: "leaveBehind", atMs, from: node, to: other, lateMs: durationMs / 2 };
      case 8:
        return { kind: "swallow", atMs, from: node, to: other };
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

/** What each role sends, as moments to strike in. */
const momentsOf: Readonly<Record<FaultRole, readonly string[]>> = {
  server: [
    ...["reply", "reply", "entry", "entry", "snapshot", "received", "follow", "saved", "loaded"],
    ...["viewAck", "caughtUp", "caughtUp", "ready"],
  ],
  worker: ["push", "push", "push", "pull", "ready", "assignmentDone", "pausing", "paused"],
  coordinator: [
    ...["persist", "view", "view", "prepare", "work", "work", "pause", "pauseAt", "resume"],
    ...["evaluate", "evaluation", "barrier", "load", "save", "write", "write", "stop"],
  ],
};

/** Draws moments in which processes of a role die, or stand still. */
export function drawMoments(
  random: Random,
  { untilMs, leaseMs }: Pick<FaultScene, "untilMs" | "leaseMs">,
  { role, count, restarts }: { role: FaultRole; count: number; restarts: boolean },
): Fault[] {
  return Array.from({ length: count }, (): Fault => {
    const moments = momentsOf[role];
    const message = moments[random.below(moments.length)]!;
    const nth = 1 + Math.floor(random.float() ** 3 * (role === "coordinator" ? 8 : 40));
    const afterMs = [-1, 0, random.float() * 8][random.below(3)]!;
    const about = { kind: "moment", atMs: random.float() * untilMs * 0.7, role, message } as const;
    const isFrozen = restarts && random.below(5) === 0;
    const durationMs = leaseMs * (0.2 + random.float() * 2.5);
    const restartMs = restarts ? 50 + random.float() * 400 : null;
    const isLate = role === "worker" && random.below(2) === 0;
    const lateMs = isLate ? random.float() * leaseMs * 1.5 : 0;
    const strike = isFrozen
      ? ({ kind: "freeze", durationMs } as const)
      : ({ kind: "kill", isSilent: random.below(3) === 0, restartMs, lateMs } as const);
    return { ...about, nth, afterMs, strike };
  });
}

/**
 * Draws losses of servers that follow each other closely, where chunks have copies: while a copy
 * is made, while one primary takes over from another, with workers that have lacked answers.
 */
export function drawFailOvers(
  random: Random,
  { servers, workers, untilMs }: FaultScene,
  count: number,
): Fault[] {
  const kill = () => {
    const restartMs = 50 + random.float() * 150;
    return { kind: "kill", isSilent: random.below(3) === 0, restartMs } as const;
  };
  const serverBeside = (index: number) => {
    return `server-${(index + 1 + random.below(servers - 1)) % servers}`;
  };
  const stale = (): Fault => {
    const node = random.below(2) === 0 ? `worker-${random.below(workers)}` : serverBeside(0);
    return { kind: "staleView", atMs: 50 + random.float() * 600, node };
  };
  return Array.from({ length: count }, (): Fault => {
    const atMs = random.float() * untilMs * 0.8;
    const index = random.below(servers);
    const node = `server-${index}`;
    const moment = (message: string, about: { node?: string; nth: number; afterMs: number }) =>
      ({ kind: "moment", atMs: 0, role: "server", message, ...about }) as const;
    const soon = () => [-1, 0, random.float() * 8][random.below(3)]!;
    const other = serverBeside(index);
    if (random.below(2) === 0) {
      // The next primary is lost as it begins to speak.
      const next = moment(["reply", "entry"][random.below(2)]!, { nth: 1, afterMs: soon() });
      const then: Fault[] = [{ ...next, strike: kill() }, stale()];
      const first = moment("entry", { node, nth: 1 + random.below(12), afterMs: soon() });
      return { ...first, atMs, strike: kill(), then };
    }
    // The server comes back, and who copies chunks to it is lost.
    const mute = moment("snapshot", { node: other, nth: 1, afterMs: 0 });
    const end = moment(["caughtUp", "entry", "snapshot"][random.below(3)]!, {
      ...{ node: other, nth: 1 + random.below(3), afterMs: soon() },
    });
    const silenced: Fault[] = random.below(2) === 0 ? [{ ...mute, strike: { kind: "mute" } }] : [];
    const then: Fault[] = [...silenced, { ...end, strike: kill() }, stale()];
    return { ...moment("entry", { node, nth: 1, afterMs: 0 }), atMs, strike: kill(), then };
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

/** How long a fault lasts once it has struck. */
export function durationOf(fault: Fault): number {
  switch (fault.kind) {
    case "kill":
      return Math.max(fault.restartMs ?? 0, fault.lateMs ?? 0);
    case "moment": {
      const { strike, then = [] } = fault;
      return Math.max(durationOf({ atMs: 0, node: "", ...strike }), endOfFaults(then));
    }
    case "amidSave":
      return durationOf(fault.fault);
    case "freeze":
    case "block":
    case "repeat":
    case "storeSlow":
    case "storeAway":
    case "storeCut":
      return fault.durationMs;
    case "leaveBehind":
      return fault.lateMs;
    case "signal":
      return simulatedTimes.drainWithinMs + (fault.restartMs ?? 0);
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
  switch (random.below(14)) {
    case 0:
    case 1: {
      const restartMs = random.below(4) === 0 ? null : between(50, 400);
      const isSilent = random.below(3) === 0;
      const lateMs = random.below(2) === 0 ? 0 : between(20, leaseMs * 1.5);
      return { kind: "kill", atMs, node: worker, isSilent, restartMs, lateMs };
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
    case 10:
      return { kind: "swallow", atMs, from, to };
    case 11: {
      const node = random.below(2) === 0 ? worker : server;
      return { kind: "repeat", atMs: atMs / 2, node, durationMs: untilMs / 2 };
    }
    case 12:
      return { kind: "staleView", atMs, node: random.below(2) === 0 ? worker : server };
    default:
      return { kind: "lateWorker", atMs, rank };
  }
}

/**
 * A fault that a run brings upon itself, to show what follows from it: a process is killed or
 * stopped, its connections are cut, or a disk stands still, when the run reaches a global step; or
 * a worker straggles, as its links or its computing are slow, from one step to another.
 */
import type { MemberRole } from "./identity.js";

/** Whose fault it may be. */
export type FaultRole = MemberRole | "coordinator";

/** What may befall whom at once; all but a kill last for a time. */
export const faultKinds = {
  /** The process is killed (SIGKILL). */
  kill: { roles: ["worker", "server", "coordinator"], lasts: false },
  /** The process is stopped (SIGSTOP) and goes on after a while (SIGCONT). */
  pause: { roles: ["worker", "server"], lasts: true },
  /** Its connections are closed in mid-message, and none opens for a while. */
  cut: { roles: ["worker", "server"], lasts: true },
  /** Nothing is read from its disk or written to it for a while. */
  "slow-disk": { roles: ["coordinator"], lasts: true },
} as const satisfies Readonly<
  Record<string, { readonly roles: readonly FaultRole[]; readonly lasts: boolean }>
>;

/** A kind of fault that comes at once. */
export type FaultKind = keyof typeof faultKinds;

/** One that comes at once. */
export interface SuddenFault {
  readonly kind: FaultKind;
  readonly role: FaultRole;
  /** Rank of the worker or index of the server; 0 of the coordinator. */
  readonly rank: number;
  /** The global step of the run at which it happens. */
  readonly at: number;
  /** How long it lasts; null of a kill. */
  readonly forMs: number | null;
}

/** How slow a worker is; of a prompt one nothing is delayed, narrowed or slowed. */
export interface Slowness {
  /** Added to what goes over its links to servers, one way. */
  readonly delayMs: number;
  /** What all its links to servers carry together, each way; null for no limit. */
  readonly bitsPerSecond: number | null;
  /** How many times its own time a step takes; 1 for as it is. */
  readonly slow: number;
}

/** The slowness of a worker that does not straggle. */
export const prompt: Slowness = { delayMs: 0, bitsPerSecond: null, slow: 1 };

/** A worker is slow in some of the run's steps. */
export interface InjectedStraggler extends Slowness {
  readonly kind: "straggler";
  readonly role: "worker";
  readonly rank: number;
  /** The first global step in which it is. */
  readonly at: number;
  /** The last one; null where a time ends it, or nothing does. */
  readonly to: number | null;
  /** How long it lasts from the first step on; null where steps end it, or nothing does. */
  readonly forMs: number | null;
}

/** One fault. */
export type InjectedFault = SuddenFault | InjectedStraggler;

/** True of a worker that is slow. */
export function isStraggler(fault: InjectedFault): fault is InjectedStraggler {
  return fault.kind === "straggler";
}

/** True of a fault that comes at once. */
export function isSudden(fault: InjectedFault): fault is SuddenFault {
  return fault.kind !== "straggler";
}

/** True of a straggler whose links are slow, so that they have to be shaped. */
export function isSlowLinked({ delayMs, bitsPerSecond }: Slowness): boolean {
  return delayMs > 0 || bitsPerSecond !== null;
}

/** As the option has it: kill:worker=2,at=50 or straggler:worker=2,slow=2x,from=100,to=400. */
export function faultText(fault: InjectedFault): string {
  if (isStraggler(fault)) return stragglerText(fault);
  const { kind, role, rank, at, forMs } = fault;
  const text = `${kind}:${role}=${rank},at=${at}`;
  return forMs === null ? text : `${text},for=${timeText(forMs)}`;
}

function stragglerText(straggler: InjectedStraggler): string {
  const { role, rank, delayMs, bitsPerSecond, slow, at, to, forMs } = straggler;
  const parts = [
    `straggler:${role}=${rank}`,
    ...(delayMs > 0 ? [`delay=${timeText(delayMs)}`] : []),
    ...(bitsPerSecond === null ? [] : [`bandwidth=${bandwidthText(bitsPerSecond)}`]),
    ...(slow > 1 ? [`slow=${slow}x`] : []),
    `from=${at}`,
    ...(to === null ? [] : [`to=${to}`]),
    ...(forMs === null ? [] : [`for=${timeText(forMs)}`]),
  ];
  return parts.join(",");
}

/** The units of a bandwidth, in bits a second. */
export const bandwidthUnits = { gbit: 1e9, mbit: 1e6, kbit: 1e3 } as const;

function bandwidthText(bitsPerSecond: number): string {
  const units = Object.entries(bandwidthUnits);
  const [unit, size] = units.find(([, bits]) => bitsPerSecond % bits === 0) ?? ["kbit", 1e3];
  return `${bitsPerSecond / size}${unit}`;
}

/** A time as an option has it: 3s, or 250ms. */
function timeText(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

/**
 * A fault that a run brings upon itself, to show what follows from it: a process is killed or
 * stopped, its connections are cut, or a disk stands still, when the run reaches a global step.
 */
import type { MemberRole } from "./identity.js";

/** Whose fault it may be. */
export type FaultRole = MemberRole | "coordinator";

/** What may befall whom; all but a kill last for a time. */
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

/** A kind of fault. */
export type FaultKind = keyof typeof faultKinds;

/** One fault. */
export interface InjectedFault {
  readonly kind: FaultKind;
  readonly role: FaultRole;
  /** Rank of the worker or index of the server; 0 of the coordinator. */
  readonly rank: number;
  /** The global step of the run at which it happens. */
  readonly at: number;
  /** How long it lasts; null of a kill. */
  readonly forMs: number | null;
}

/** As the option has it: kill:worker=2,at=50 or pause:server=1,at=50,for=3s. */
export function faultText({ kind, role, rank, at, forMs }: InjectedFault): string {
  const text = `${kind}:${role}=${rank},at=${at}`;
  return forMs === null ? text : `${text},for=${timeText(forMs)}`;
}

/** A time as an option has it: 3s, or 250ms. */
function timeText(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

/**
 * A fault that a run brings upon itself, to show what follows from it: a member is killed or paused
 * when the run reaches a global step.
 */
import type { MemberRole } from "./identity.js";

interface FaultPlace {
  readonly role: MemberRole;
  /** Rank of the worker or index of the server. */
  readonly rank: number;
  /** The global step of the run at which it happens. */
  readonly at: number;
}

/** The process is killed (SIGKILL). */
export interface KillFault extends FaultPlace {
  readonly kind: "kill";
}

/** The process is stopped (SIGSTOP) and goes on after a while (SIGCONT). */
export interface PauseFault extends FaultPlace {
  readonly kind: "pause";
  readonly forMs: number;
}

/** One fault. */
export type InjectedFault = KillFault | PauseFault;

/** As the option has it: kill:worker=2,at=50 or pause:server=1,at=50,for=3s. */
export function faultText(fault: InjectedFault): string {
  const { kind, role, rank, at } = fault;
  const text = `${kind}:${role}=${rank},at=${at}`;
  return fault.kind === "kill" ? text : `${text},for=${timeText(fault.forMs)}`;
}

/** A time as an option has it: 3s, or 250ms. */
function timeText(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

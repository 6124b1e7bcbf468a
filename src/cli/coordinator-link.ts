/**
 * What `paceline train` and the process that coordinates for it say to each other, over the channel
 * that Node opens between a process and its child.
 */
import type { ErrorCode } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import type { InjectedFault } from "../protocol/injected-fault.js";
import type { MemberExited } from "../runtime/start-coordinator.js";

/** From the supervisor. */
export type ToCoordinator =
  /** Listen and carry the run out. */
  | {
      readonly type: "begin";
      readonly options: ResolvedOptions;
      readonly io: Pick<CommandIo, "color" | "isTerminal" | "configText">;
      /** A coordinator before carried the run out, which goes on. */
      readonly returns: boolean;
    }
  | { readonly type: "exited"; readonly exit: MemberExited }
  | { readonly type: "interrupt"; readonly signal: NodeJS.Signals }
  /** A member's process is stopped on purpose. */
  | { readonly type: "paused"; readonly pid: number }
  /** The members are gone: so may the coordinator. */
  | { readonly type: "close" };

/** From the coordinator. */
export type FromCoordinator =
  /** Members may come: where to, and the run's folder. */
  | { readonly type: "prepared"; readonly address: string; readonly path: string }
  /** The coordinator is in another phase. */
  | { readonly type: "phase"; readonly phase: string }
  /** The moment of a fault that is injected into this process has come. */
  | { readonly type: "fault"; readonly fault: InjectedFault; readonly step: number }
  /** The run is over and its folder is whole; members may be ended. */
  | { readonly type: "ended"; readonly exitCode: number }
  /** The run could not begin. */
  | {
      readonly type: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
      readonly stack: string | undefined;
    };

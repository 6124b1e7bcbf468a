/**
 * What the coordinator's machine eats and what it has its host do, as data. Effects are performed
 * in the order in which they stand.
 */

import type { ErrorCode } from "../../errors.js";
import type { MemberIdentity, MemberRole } from "../../protocol/identity.js";
import type {
  CoordinatorMessage,
  MemberMessage,
  RegisterReply,
  RegisterRequest,
} from "../../protocol/messages.js";
import type { RunEvent, RunResult } from "../../protocol/run-events.js";
import type { View } from "../../protocol/view.js";
import type { RunSetup, SaveRequest } from "../work/run-setup.js";
import type { RosterConfig } from "./roster.js";
import type { ProcessEnd } from "./run-ending.js";

/** What a coordinator can be told. */
export type CoordinatorEvent =
  | { readonly type: "submit"; readonly setup: RunSetup }
  | { readonly type: "register"; readonly request: RegisterRequest }
  | { readonly type: "opened" | "closed"; readonly member: MemberIdentity }
  | { readonly type: "message"; readonly member: MemberIdentity; readonly message: MemberMessage }
  /** A supervisor saw the process end. */
  | ({ readonly type: "exited" } & ProcessEnd)
  /**
   * Answers to `load` and `save`. Where `run` is given and is not the run that is on, the answer is
   * late.
   */
  | { readonly type: "loaded"; readonly run?: string }
  | {
      readonly type: "saved";
      readonly step: number;
      readonly problem: string | null;
      readonly run?: string;
    }
  | {
      readonly type: "fail";
      readonly code: ErrorCode;
      readonly reason: string;
      readonly run?: string;
    }
  | { readonly type: "interrupt"; readonly reason: string }
  | { readonly type: "tick" };

/** What the host has to do, in order. */
export type CoordinatorEffect =
  | { readonly type: "registered"; readonly reply: RegisterReply }
  | {
      readonly type: "send";
      readonly role: MemberRole;
      readonly rank: number;
      readonly message: CoordinatorMessage;
    }
  /** End this member's session. */
  | { readonly type: "drop"; readonly member: MemberIdentity }
  /** Give every server of the view its chunks: fresh or from the checkpoint resumed. */
  | { readonly type: "load"; readonly view: View; readonly setup: RunSetup }
  /** The residuals of this rank are with a worker that takes part, or with nobody ever. */
  | { readonly type: "inherited"; readonly rank: number }
  | { readonly type: "save"; readonly request: SaveRequest; readonly setup: RunSetup }
  | { readonly type: "event"; readonly event: RunEvent }
  | { readonly type: "ended"; readonly result: RunResult };

/** Times of a coordinator. */
export interface CoordinatorConfig extends RosterConfig {
  readonly term: number;
  /** How long members may take to come and to prepare. */
  readonly startTimeoutMs: number;
  /** How long a goodbye may take. */
  readonly stopTimeoutMs: number;
  /** Stay for further runs when one is over. */
  readonly serve: boolean;
}

/**
 * What the coordinator's machine eats and what it has its host do, as data. Effects are performed
 * in the order in which they stand.
 */

import type { ErrorCode } from "../../errors.js";
import type { CutLimit } from "../../protocol/cut.js";
import type { MemberIdentity, MemberPlace, MemberRole } from "../../protocol/identity.js";
import type {
  CoordinatorMessage,
  MemberMessage,
  RegisterReply,
  RegisterRequest,
} from "../../protocol/messages.js";
import type { RunEvent, RunResult } from "../../protocol/run-events.js";
import type { Protocol } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import type { RosterConfig } from "../members/roster.js";
import type { RunSetup, SaveRequest, TrainingSnapshot } from "../work/run-setup.js";
import type { CoordinatorRecord, Return } from "./coordinator-record.js";
import type { ProcessEnd } from "./run-ending.js";
import type { SaveEnd } from "./saves.js";

/** What comes of the asking for a member to leave, in a sentence; or why nothing does. */
export interface OrderAnswer {
  readonly isAccepted: boolean;
  readonly text: string;
}

/** What a coordinator can be told. */
export type CoordinatorEvent =
  | {
      readonly type: "submit";
      readonly setup: RunSetup;
      /**
       * A term above each one under which the run was carried out before; the coordinator goes on
       * under it if its own is lower.
       */
      readonly term: number;
    }
  /** A coordinator that has ended carried the run out, which goes on in place. */
  | ({ readonly type: "return" } & Return)
  | { readonly type: "register"; readonly request: RegisterRequest }
  | { readonly type: "opened" | "closed"; readonly member: MemberIdentity }
  | { readonly type: "message"; readonly member: MemberIdentity; readonly message: MemberMessage }
  /** A supervisor saw the process end. */
  | ({ readonly type: "exited" } & ProcessEnd)
  /**
   * Answers to `load`, `save` and `persist`. Where `run` or `generation` is given and is not the
   * one that is on, the answer is late.
   */
  | {
      readonly type: "loaded";
      readonly problem: LoadProblem | null;
      readonly run?: string;
      readonly generation?: number;
    }
  | { readonly type: "persisted"; readonly problem: string | null; readonly run: string }
  | SaveEvent
  /** Answers `goBack`. */
  | { readonly type: "wentBack"; readonly run: string; readonly way: WayBack | LoadProblem }
  | {
      readonly type: "fail";
      readonly code: ErrorCode;
      readonly reason: string;
      readonly run?: string;
    }
  | { readonly type: "interrupt"; readonly reason: string }
  /** Somebody asks for a member to leave; answered by `orderAnswered`. */
  | { readonly type: "drain"; readonly request: MemberPlace }
  /**
   * Somebody asks for another way to keep pace; answered by `orderAnswered`. The name is that of
   * the run that is meant; the one that is on where it is empty or left out.
   */
  | { readonly type: "switch"; readonly request: Protocol; readonly name?: string }
  | { readonly type: "tick" };

/** What comes of a `save`. */
export type SaveEvent =
  /**
   * Servers have copied what is saved for a checkpoint amid training, which may go on; `saved`
   * follows.
   */
  | { readonly type: "copied"; readonly run?: string; readonly generation?: number }
  /** All chunks are marked for a cut: how far each worker's pushes belong before it. */
  | {
      readonly type: "marked";
      readonly run?: string;
      readonly generation?: number;
      readonly limits: readonly CutLimit[];
    }
  | ({
      readonly type: "saved";
      readonly run?: string;
      readonly generation?: number;
    } & SaveEnd);

/** Why servers could not be given their chunks. */
export interface LoadProblem {
  readonly code: ErrorCode;
  readonly reason: string;
}

/** What a run goes on from that has gone back, and under which term. */
export interface WayBack {
  readonly setup: RunSetup;
  readonly term: number;
}

/** What the host has to do, in order. */
export type CoordinatorEffect =
  | {
      readonly type: "registered";
      readonly request: RegisterRequest;
      readonly reply: RegisterReply;
    }
  | {
      readonly type: "orderAnswered";
      readonly request: MemberPlace | Protocol;
      readonly answer: OrderAnswer;
    }
  /**
   * Make this durable in place of the record before; nothing that follows is done until it is, and
   * nothing is sent where it can't be. Answered by `persisted`.
   */
  | { readonly type: "persist"; readonly record: CoordinatorRecord }
  | {
      readonly type: "send";
      readonly role: MemberRole;
      readonly rank: number;
      readonly message: CoordinatorMessage;
    }
  /** Members of an earlier coordinator's may open their sessions again. */
  | { readonly type: "expect"; readonly members: readonly MemberIdentity[] }
  /** End this member's session; should it ask again, it is told why. */
  | { readonly type: "drop"; readonly member: MemberIdentity; readonly reason: string }
  /**
   * Begin to give every server of the view its chunks: fresh or from the checkpoint resumed. Its
   * end is `loaded`.
   */
  | { readonly type: "load"; readonly view: View; readonly setup: RunSetup }
  /** The residuals of this rank are with a worker that takes part, or with nobody ever. */
  | { readonly type: "inherited"; readonly rank: number }
  /**
   * Begin to write a checkpoint; its end is `saved`, after `copied` where training goes on. Of a
   * cut `marked` comes first.
   */
  | { readonly type: "save"; readonly request: SaveRequest; readonly setup: RunSetup }
  /** What the checkpoint of a cut keeps of the coordinator: it is not written before. */
  | { readonly type: "giveAccount"; readonly snapshot: TrainingSnapshot }
  /** Somebody waits for the checkpoint that is being written: leave nothing to others any more. */
  | { readonly type: "hurrySave" }
  /** Wait for the values of the checkpoint that is being written no more. */
  | { readonly type: "abandonSave" }
  /**
   * Read the run's last checkpoint, or its fresh start where it has none, once nothing is being
   * written any more. Its end is `wentBack`.
   */
  | { readonly type: "goBack"; readonly setup: RunSetup }
  | { readonly type: "event"; readonly event: RunEvent }
  | { readonly type: "ended"; readonly result: RunResult };

/** Times of a coordinator. */
export interface CoordinatorConfig extends RosterConfig {
  /** The term to begin with, before a run is submitted. */
  readonly term: number;
  /**
   * How long a server that had the last in-sync replica of a chunk may take to come back, before
   * the run ends; nobody is waited for if left out.
   */
  readonly serverGraceMs?: number;
  /**
   * How long a run waits for workers once fewer are there than must be, before it ends; none are
   * waited for if left out.
   */
  readonly waitForWorkersMs?: number;
  /** How long a goodbye may take. */
  readonly stopTimeoutMs: number;
  /** Stay for further runs when one is over. */
  readonly serve: boolean;
}

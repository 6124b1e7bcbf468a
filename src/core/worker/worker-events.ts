/**
 * What a worker's machine eats and what it has its host do, as data. Effects are performed in the
 * order in which they stand.
 */
import type { ErrorCode } from "../../errors.js";
import type { StepRange } from "../../protocol/examples.js";
import type { Layout } from "../../protocol/layout.js";
import type { LocalMoment } from "../../protocol/local/local-steps.js";
import type {
  ChunkHeader,
  CoordinatorMessage,
  MemberMessage,
  Range,
} from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View, ViewServer } from "../../protocol/view.js";
import type { StepOutcome } from "./worker-account.js";

/** What a worker can be told. */
export type WorkerEvent =
  | { readonly type: "message"; readonly message: CoordinatorMessage }
  /** The model is built and the data found. */
  | {
      readonly type: "prepared";
      readonly run: string;
      readonly layout: Layout;
      readonly engine: string;
      readonly algorithms: readonly string[];
    }
  | { readonly type: "chunkReady"; readonly step: number; readonly chunk: number }
  | { readonly type: "computed"; readonly step: number; readonly outcome: StepOutcome }
  /** The examples of a step are not what the run spec says; nothing was computed. */
  | { readonly type: "refused"; readonly step: number; readonly reason: string }
  | { readonly type: "evaluated"; readonly correct: number; readonly lossSum: number }
  /** A reply whose weights, if any, lie in place already. */
  | { readonly type: "reply"; readonly header: ChunkHeader }
  /** The coordinator has this worker's residuals, or can't have them: `problem` says why. */
  | {
      readonly type: "residualsGiven";
      readonly barrier: number;
      readonly chunks: number;
      readonly problem: string;
    }
  /** A job can't be prepared, computed or talked about with a server. */
  | {
      readonly type: "failed";
      readonly run: string;
      readonly code: ErrorCode;
      readonly reason: string;
    }
  /** Another coordinator has taken the place of the one before. */
  | { readonly type: "returned" }
  /** The channel to a server is open, for the first time or again. */
  | { readonly type: "channelOpen"; readonly server: number };

/** What the host has to do, in order. */
export type WorkerEffect =
  | { readonly type: "tell"; readonly message: MemberMessage }
  /** Build the model, find the data and, where there are some, read this worker's residuals. */
  | { readonly type: "prepare"; readonly spec: RunSpec; readonly residuals: boolean }
  /** Keep a channel to each of these servers and to no others. */
  | { readonly type: "connect"; readonly view: View; readonly servers: readonly ViewServer[] }
  | { readonly type: "pull"; readonly server: number; readonly header: ChunkHeader }
  /** Send the header with the chunk's gradient, or with nothing when it has no examples. */
  | { readonly type: "push"; readonly server: number; readonly header: ChunkHeader }
  | ({
      readonly type: "compute";
      /** Chunks whose parameters are on their way: nothing may be computed with them yet. */
      readonly lacking: readonly number[];
      /** What will most likely be computed after this; null where that is not known. */
      readonly next: StepRange | null;
      /** What the rate follows, where the step is made of local steps. */
      readonly moment?: LocalMoment;
    } & StepRange)
  /** The parameters of a chunk that the step under way lacked are in place. */
  | { readonly type: "arrived"; readonly chunk: number }
  | { readonly type: "evaluate"; readonly range: Range }
  /** Keep the parameters as they are, whatever is pulled, until they are taken back. */
  | { readonly type: "layAside" }
  /** Put the parameters in place that were laid aside. */
  | { readonly type: "takeBack" }
  /** Give the coordinator what pushes have dropped so far; no push is made before the answer. */
  | { readonly type: "giveResiduals"; readonly barrier: number }
  | { readonly type: "log"; readonly text: string }
  /** The job is over for this worker. */
  | {
      readonly type: "finish";
      readonly outcome: "done" | "failed" | "interrupted";
      readonly reason: string;
      readonly stay: boolean;
    };

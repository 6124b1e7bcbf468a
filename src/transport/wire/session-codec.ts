/**
 * Session messages <-> bytes: what members and the coordinator say to each other, as the generated
 * messages of proto/paceline/v1/coordinator.proto. One table a message; both directions follow from
 * it.
 *
 * Invariant: what is decoded has passed every range, limit and closed list; whatever bytes come,
 * decoding throws nothing but a PacelineError of code "protocol".
 */

import type { Message } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { PacelineError } from "../../errors.js";
import type { AssignmentReport, Departure } from "../../protocol/assignment-report.js";
import type { MemberIdentity, ServerReach } from "../../protocol/identity.js";
import { termMax } from "../../protocol/ids.js";
import {
  chunkValuesMax,
  type ModelLayout,
  type PlacedChunk,
  type PlacedTensor,
  parameterGroups,
  type TensorSpec,
} from "../../protocol/layout.js";
import type {
  Assignment,
  CoordinatorMessage,
  MemberMessage,
  Range,
  ServerStatistics,
  WorkerStatistics,
} from "../../protocol/messages.js";
import { type NormShare, normSharesMax } from "../../protocol/norms.js";
import type { RecordCodec } from "./field-codec.js";
import {
  flag,
  list,
  measured,
  optional,
  record,
  small,
  text,
  union,
  whole,
  word,
} from "./field-codec.js";
import type * as wire from "./generated-coordinator.js";
import * as schemas from "./generated-coordinator.js";
import {
  algorithmBytesMax,
  algorithmsMax,
  chunksMax,
  dimensionsMax,
  membersMax,
  nameBytesMax,
  runBytesMax,
  sentenceBytesMax,
  sessionMessageBytesMax,
  stalenessCountsMax,
  tensorsMax,
} from "./limits.js";
import { runSpecCodec, viewCodec } from "./run-codec.js";

/** A member's message, or the one that opens its session. */
export type UpMessage = MemberMessage | ({ readonly type: "open" } & MemberIdentity);

type Body<Type extends MemberMessage["type"]> = Omit<
  Extract<MemberMessage, { type: Type }>,
  "type"
>;
type Order<Type extends CoordinatorMessage["type"]> = Omit<
  Extract<CoordinatorMessage, { type: Type }>,
  "type"
>;

const count = whole();
/** Steps, of which -1 says that there was none. */
const step = whole(-1);
const rank = small();
const term = small(0, termMax);
const sentence = text(sentenceBytesMax);

const serverStatistics = record<ServerStatistics, wire.ServerStatistics>(
  schemas.ServerStatisticsSchema,
  {
    generation: small(),
    versionMin: count,
    versionMax: count,
    chunks: count,
    pushes: count,
    updates: count,
    updateSeconds: measured,
    stalenessSum: count,
    stalenessCount: count,
    stalenessMax: count,
    stalenessCounts: list(count, stalenessCountsMax),
    rejected: count,
    duplicates: count,
    tornSteps: count,
    bytesIn: count,
    bytesOut: count,
    lr: measured,
  },
);

const workerStatistics = record<WorkerStatistics, wire.WorkerStatistics>(
  schemas.WorkerStatisticsSchema,
  {
    clock: count,
    steps: count,
    examples: count,
    lossSum: measured,
    lossCount: count,
    correct: count,
    inputSeconds: measured,
    computeSeconds: measured,
    waitSeconds: measured,
  },
);
const statistics = { server: optional(serverStatistics), worker: optional(workerStatistics) };

const range = record<Range, wire.Range>(
  schemas.RangeSchema,
  { start: count, end: count },
  ({ start, end }) => (start <= end ? null : `${start} to ${end} is not a range`),
);

const assignment = record<Assignment, wire.Assignment>(
  schemas.AssignmentSchema,
  { id: count, epoch: count, start: count, end: count, firstStep: count, lastStep: count },
  ({ start, end, firstStep, lastStep }) => {
    if (start > end) return `positions ${start} to ${end} are not a range`;
    return firstStep <= lastStep ? null : `steps ${firstStep} to ${lastStep} are not a range`;
  },
);

const tensorFields = {
  name: text(nameBytesMax),
  shape: list(small(), dimensionsMax),
  group: word(...parameterGroups),
} as const;
const tensor = record<TensorSpec, wire.TensorSpec>(schemas.TensorSpecSchema, tensorFields);

const modelLayout = record<ModelLayout, wire.ModelLayout>(schemas.ModelLayoutSchema, {
  tensors: list(
    record<PlacedTensor, wire.PlacedTensor>(schemas.PlacedTensorSchema, {
      ...tensorFields,
      offset: count,
      length: count,
    }),
    tensorsMax,
  ),
  chunks: list(
    record<PlacedChunk, wire.ChunkPlace>(schemas.ChunkPlaceSchema, {
      offset: count,
      length: small(1, chunkValuesMax),
      group: tensorFields.group,
    }),
    chunksMax,
  ),
});

const departure = record<Departure, wire.Departure>(schemas.DepartureSchema, {
  rank,
  incarnation: count,
  stepMin: step,
  stepMax: step,
  used: count,
});

const serverReach = record<ServerReach, wire.ServerReach>(schemas.ServerReachSchema, {
  server: rank,
  incarnation: count,
  unreachedMs: count,
  refused: flag,
});

/** Whose session it is. */
export const identityCodec = record<MemberIdentity, wire.MemberIdentity>(
  schemas.MemberIdentitySchema,
  { role: word("server", "worker"), rank, incarnation: count },
);

/** What a member says when it goes. */
export const leaveCodec = record<Body<"leave">, wire.Leave>(schemas.LeaveSchema, {
  reason: sentence,
  ...statistics,
});

const assignmentDone = record<AssignmentReport, wire.AssignmentDone>(schemas.AssignmentDoneSchema, {
  assignment: count,
  examples: count,
  skipped: count,
  dropped: count,
  lossSum: measured,
  correct: count,
  seconds: measured,
  statistics: workerStatistics,
});

const upBodies = union<UpMessage, wire.MemberMessage["body"]>({
  open: identityCodec,
  heartbeat: record<Body<"heartbeat">, wire.Heartbeat>(schemas.HeartbeatSchema, {
    sequence: count,
    received: count,
    term,
    activity: sentence,
    ...statistics,
    reach: list(serverReach, membersMax),
  }),
  ready: record<Body<"ready">, wire.Ready>(schemas.ReadySchema, {
    run: text(runBytesMax),
    tensors: list(tensor, tensorsMax),
    engine: sentence,
    algorithms: list(text(algorithmBytesMax), algorithmsMax),
  }),
  viewAck: record<Body<"viewAck">, wire.ViewAck>(schemas.ViewAckSchema, {
    view: count,
    sealedStep: step,
    clockMin: count,
    version: whole(-1),
    departed: list(departure, membersMax),
  }),
  assignmentDone,
  evaluated: record<Body<"evaluated">, wire.Evaluated>(schemas.EvaluatedSchema, {
    evaluation: count,
    range,
    correct: count,
    lossSum: measured,
    versions: list(count, chunksMax),
  }),
  pausing: record<Body<"pausing">, wire.Pausing>(schemas.PausingSchema, { pause: count, step }),
  paused: record<Body<"paused">, wire.Paused>(schemas.PausedSchema, {
    pause: count,
    position: whole(-1),
    step,
  }),
  tallied: record<Body<"tallied">, wire.Tallied>(schemas.TalliedSchema, {
    ...{ cut: count, examples: count, dropped: count, lossSum: measured, correct: count },
    ...{ seconds: measured, statistics: workerStatistics },
  }),
  caughtUp: record<Body<"caughtUp">, wire.CaughtUp>(schemas.CaughtUpSchema, {
    chunk: small(),
    server: rank,
    incarnation: count,
  }),
  norms: record<Body<"norms">, wire.Norms>(schemas.NormsSchema, {
    generation: count,
    shares: list(
      record<NormShare, wire.NormShare>(schemas.NormShareSchema, {
        ...{ version: count, chunks: count },
        ...{ weights: measured, gradient: measured, decay: measured },
      }),
      normSharesMax,
    ),
  }),
  diverged: record<Body<"diverged">, wire.Diverged>(schemas.DivergedSchema, {
    step,
    what: sentence,
  }),
  failed: record<Body<"failed">, wire.Failed>(schemas.FailedSchema, {
    code: text(nameBytesMax),
    reason: sentence,
  }),
  leave: leaveCodec,
  leaving: record<Body<"leaving">, wire.Leaving>(schemas.LeavingSchema, { reason: sentence }),
  assignmentRefused: record<Body<"assignmentRefused">, wire.AssignmentRefused>(
    schemas.AssignmentRefusedSchema,
    {
      assignment: count,
      reason: sentence,
    },
  ),
  returned: record<Body<"returned">, wire.Returned>(schemas.ReturnedSchema, {
    assignment: count,
    step,
    done: optional(assignmentDone),
  }),
  barrierReached: record<Body<"barrierReached">, wire.BarrierReached>(
    schemas.BarrierReachedSchema,
    {
      barrier: count,
      residuals: count,
      problem: sentence,
    },
  ),
});

const downBodies = union<CoordinatorMessage, wire.CoordinatorMessage["body"]>({
  heartbeatAck: record<Order<"heartbeatAck">, wire.HeartbeatAck>(schemas.HeartbeatAckSchema, {
    sequence: count,
    received: count,
    term,
    sinceTerm: term,
    note: sentence,
  }),
  move: record<Order<"move">, wire.Move>(schemas.MoveSchema, { reason: sentence }),
  prepare: record<Order<"prepare">, wire.Prepare>(schemas.PrepareSchema, {
    spec: runSpecCodec,
    residuals: flag,
    layout: modelLayout,
  }),
  view: record<Order<"view">, wire.ViewMessage>(schemas.ViewMessageSchema, { view: viewCodec }),
  work: record<Order<"work">, wire.Work>(schemas.WorkSchema, { assignment }),
  evaluate: record<Order<"evaluate">, wire.Evaluate>(schemas.EvaluateSchema, {
    evaluation: count,
    range,
  }),
  pause: record<Order<"pause">, wire.Pause>(schemas.PauseSchema, { pause: count }),
  pauseAt: record<Order<"pauseAt">, wire.PauseAt>(schemas.PauseAtSchema, { pause: count, step }),
  resume: record<Order<"resume">, wire.Resume>(schemas.ResumeSchema, { pause: count }),
  tally: record<Order<"tally">, wire.Tally>(schemas.TallySchema, {
    ...{ cut: count, assignment: count, step },
  }),
  barrier: record<Order<"barrier">, wire.Barrier>(schemas.BarrierSchema, { barrier: count }),
  evaluation: record<Order<"evaluation">, wire.Evaluation>(schemas.EvaluationSchema, {
    epoch: count,
    final: flag,
    accuracyPercent: measured,
    loss: measured,
  }),
  stop: record<Order<"stop">, wire.Stop>(schemas.StopSchema, {
    reason: sentence,
    outcome: word("done", "failed", "interrupted"),
    stay: flag,
    afterStep: flag,
  }),
});

/** Encodes what a member says over its session. */
export function encodeMemberMessage(message: UpMessage): Buffer {
  const body = upBodies.toWire(message);
  return encodeMessage(schemas.MemberMessageSchema, create(schemas.MemberMessageSchema, { body }));
}

/** Decodes and validates what a member says. */
export function decodeMemberMessage(bytes: Uint8Array): UpMessage {
  const { body } = decodeMessage(schemas.MemberMessageSchema, bytes);
  return upBodies.fromWire(body, "member message");
}

/** Encodes what the coordinator says over a session. */
export function encodeCoordinatorMessage(message: CoordinatorMessage): Buffer {
  const body = downBodies.toWire(message);
  const schema = schemas.CoordinatorMessageSchema;
  return encodeMessage(schema, create(schema, { body }));
}

/** Decodes and validates what the coordinator says. */
export function decodeCoordinatorMessage(bytes: Uint8Array): CoordinatorMessage {
  const { body } = decodeMessage(schemas.CoordinatorMessageSchema, bytes);
  return downBodies.fromWire(body, "coordinator message");
}

/** Encodes any generated message. */
export function encodeMessage<Wire extends Message>(
  schema: GenMessage<Wire>,
  message: Wire,
): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Decodes any generated message; what can't be read is a "protocol" error. */
export function decodeMessage<Wire extends Message>(
  schema: GenMessage<Wire>,
  bytes: Uint8Array,
): Wire {
  if (bytes.length > sessionMessageBytesMax) {
    const allowed = `at most ${sessionMessageBytesMax} are allowed`;
    throw new PacelineError("protocol", `a message has ${bytes.length} bytes, ${allowed}`);
  }
  try {
    return fromBinary(schema, bytes) as Wire;
  } catch (cause) {
    throw new PacelineError("protocol", `a message is no ${schema.typeName}: ${cause}`, { cause });
  }
}

/** A codec for bytes from one for a record. */
export function bytesCodec<Core extends object, Wire extends Message>(
  schema: GenMessage<Wire>,
  codec: RecordCodec<Core, Wire>,
): { encode(value: Core): Buffer; decode(bytes: Uint8Array): Core } {
  return {
    encode: (value) => encodeMessage(schema, codec.toWire(value)),
    decode: (bytes) => codec.fromWire(decodeMessage(schema, bytes), schema.typeName),
  };
}

/**
 * Run specs and views <-> the generated messages of proto/paceline/v1/run.proto.
 *
 * Beside the ranges of single fields it is checked that a view agrees with itself: its members are
 * in ascending order, and each chunk's replicas are servers of the view.
 */
import { create } from "@bufbuild/protobuf";
import { PacelineError } from "../../errors.js";
import {
  type Compression,
  type CompressionSpec,
  compressionProblem,
  pushCompressions,
} from "../../protocol/compression.js";
import {
  type AugmentSpec,
  type Cadence,
  dtypes,
  engines,
  feeds,
  type InputSpec,
  type Protocol,
  type RunSpec,
  type ScheduleSpec,
  type StalenessRule,
  stems,
  type UpdateRuleSpec,
} from "../../protocol/run-spec.js";
import type { FrameAddresses, View, ViewServer, ViewWorker } from "../../protocol/view.js";
import type { FieldCodec, RecordCodec } from "./field-codec.js";
import { finite, flag, list, optional, record, small, text, whole, word } from "./field-codec.js";
import type * as wire from "./generated-run.js";
import * as schemas from "./generated-run.js";
import {
  channelsMax,
  chunksMax,
  membersMax,
  milestonesMax,
  nameBytesMax,
  payloadBytesMax,
  runBytesMax,
} from "./limits.js";

const name = text(nameBytesMax);
const memberCount = small(1, membersMax);

const stalenessRule = record<StalenessRule, wire.StalenessRule>(schemas.StalenessRuleSchema, {
  rule: word("none", "scale", "reject", "scale+reject"),
  scale: finite,
  floor: finite,
  max: finite,
});

const protocol: RecordCodec<Protocol, wire.Protocol> = {
  toWire: (value) => create(schemas.ProtocolSchema, { mode: protocolMode(value) }),
  fromWire: (message, path) => {
    const mode = message?.mode;
    if (mode?.case === "bsp") return { mode: "bsp" };
    if (mode?.case === "ssp") {
      return {
        mode: "ssp",
        staleness: whole().fromWire(mode.value.staleness, `${path}.staleness`),
      };
    }
    if (mode?.case === "asp") {
      const staleness = stalenessRule.fromWire(mode.value.staleness, `${path}.staleness`);
      return { mode: "asp", staleness };
    }
    throw new PacelineError("protocol", `${path} is missing or of an unknown mode`);
  },
};

function protocolMode(value: Protocol): wire.Protocol["mode"] {
  if (value.mode === "bsp") return { case: "bsp", value: create(schemas.BspSchema) };
  if (value.mode === "ssp") {
    const staleness = BigInt(value.staleness);
    return { case: "ssp", value: create(schemas.SspSchema, { staleness }) };
  }
  const staleness = stalenessRule.toWire(value.staleness);
  return { case: "asp", value: create(schemas.AspSchema, { staleness }) };
}

const updateRule = record<UpdateRuleSpec, wire.UpdateRule>(schemas.UpdateRuleSchema, {
  name: word("sgd", "momentum", "nesterov", "adam", "adamw"),
  momentum: finite,
  beta1: finite,
  beta2: finite,
  epsilon: finite,
  weightDecay: finite,
  weightDecayPlain: finite,
  bufferMomentum: finite,
});

const schedule = record<ScheduleSpec, wire.Schedule>(schemas.ScheduleSchema, {
  name: word("constant", "step", "cosine", "onecycle"),
  lr: finite,
  warmup: finite,
  milestones: list(finite, milestonesMax),
  gamma: finite,
  totalExamples: whole(),
});

const cadence = record<Cadence, wire.Cadence>(schemas.CadenceSchema, {
  unit: word("step", "epoch"),
  count: whole(1),
});

const augment = record<AugmentSpec, wire.Augment>(schemas.AugmentSchema, {
  cropPadding: small(),
  flip: flag,
  standardise: flag,
});

const exampleShape: FieldCodec<InputSpec["shape"], number[]> = {
  toWire: (shape) => [...shape],
  fromWire: (extents, path) => {
    const [channels, height, width] = list(small(1), 3).fromWire(extents, path);
    if (channels !== undefined && height !== undefined && width !== undefined)
      return [channels, height, width];
    throw new PacelineError("protocol", `${path} has ${extents.length} extents, not 3`);
  },
};

const input = record<InputSpec, wire.InputSpec>(
  schemas.InputSpecSchema,
  {
    classes: small(2),
    shape: exampleShape,
    mean: list(finite, channelsMax),
    std: list(finite, channelsMax),
    blockExamples: small(),
    augment,
  },
  ({ shape, mean, std }) =>
    mean.length === shape[0] && std.length === shape[0]
      ? null
      : `${mean.length} means and ${std.length} deviations are not those of ${shape[0]} channels`,
);

const oneWay = record<Compression, wire.Compression>(schemas.CompressionSchema, {
  codec: word(...pushCompressions),
  share: finite,
});

const compression = record<CompressionSpec, wire.CompressionSpec>(
  schemas.CompressionSpecSchema,
  { push: oneWay, pull: oneWay, feedback: flag },
  compressionProblem,
);

/** Run specs as the coordinator hands them out. */
export const runSpecCodec = record<RunSpec, wire.RunSpec>(
  schemas.RunSpecSchema,
  {
    run: text(runBytesMax),
    name,
    seed: whole(Number.MIN_SAFE_INTEGER),
    model: name,
    stem: optional(word(...stems)),
    data: name,
    trainExamples: whole(),
    testExamples: whole(),
    input,
    feed: word(...feeds),
    workersMin: memberCount,
    workersMax: memberCount,
    servers: memberCount,
    protocol,
    reduce: word("mean", "sum"),
    updateRule,
    schedule,
    lrScaling: word("none", "linear"),
    epochs: whole(),
    maxSteps: optional(whole()),
    batchSize: small(1),
    chunkValues: small(1, payloadBytesMax / 4),
    virtualNodes: small(1),
    loadBound: optional(finite),
    evaluateEvery: optional(cadence),
    checkpointEvery: optional(cadence),
    engine: word(...engines),
    threads: small(),
    dtype: word(...dtypes),
    compression,
  },
  (spec) => {
    const { workersMin, workersMax } = spec;
    return workersMin <= workersMax ? null : `workers ${workersMin} to ${workersMax} is no range`;
  },
);

/** Where a server takes frames. */
export const frameAddressesCodec = record<FrameAddresses, wire.FrameAddresses>(
  schemas.FrameAddressesSchema,
  { tcp: name, unix: name, machine: name },
);

const viewServer = record<ViewServer, wire.ViewServer>(schemas.ViewServerSchema, {
  index: small(),
  incarnation: whole(),
  address: name,
  frames: optional(frameAddressesCodec),
});

const viewWorker = record<ViewWorker, wire.ViewWorker>(schemas.ViewWorkerSchema, {
  rank: small(),
  incarnation: whole(),
  fromStep: whole(),
});

const indices = list(small(), membersMax);
const replicaSet: FieldCodec<readonly number[], wire.ReplicaSet> = {
  toWire: (value) => create(schemas.ReplicaSetSchema, { servers: indices.toWire(value) }),
  fromWire: ({ servers }, path) => indices.fromWire(servers, path),
};

/** Views, which must agree with themselves. */
export const viewCodec = record<View, wire.View>(
  schemas.ViewSchema,
  {
    run: text(runBytesMax),
    number: whole(),
    generation: small(),
    phase: small(),
    phaseFromStep: whole(),
    servers: list(viewServer, membersMax),
    workers: list(viewWorker, membersMax),
    replicas: list(replicaSet, chunksMax),
    fences: list(whole(), chunksMax),
  },
  disagreement,
);

function disagreement(view: View): string | null {
  const indices = view.servers.map((server) => server.index);
  if (!ascending(indices)) return `servers ${indices.join(", ")} are not in ascending order`;
  const ranks = view.workers.map((worker) => worker.rank);
  if (!ascending(ranks)) return `workers ${ranks.join(", ")} are not in ascending order`;
  const { replicas, fences } = view;
  if (replicas.length !== fences.length) {
    return `replicas of ${replicas.length} chunks and ${fences.length} fences; each has one`;
  }
  const known = new Set(indices);
  for (const [chunk, servers] of replicas.entries()) {
    if (servers.length === 0) return `chunk ${chunk} has no replica`;
    const stray = servers.find((server) => !known.has(server));
    if (stray !== undefined) return `server ${stray} holds a chunk but is not a member`;
    if (new Set(servers).size < servers.length) return `chunk ${chunk} names a server twice`;
  }
  return null;
}

function ascending(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => index === 0 || number > (numbers[index - 1] as number));
}

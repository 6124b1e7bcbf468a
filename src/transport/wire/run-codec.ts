/**
 * Run specs and views <-> the generated messages of proto/paceline/v1/run.proto.
 *
 * A spec travels as its table says, but for how its workers keep pace. Of a view it is checked
 * besides the ranges of single fields that it agrees with itself: its members are in ascending
 * order, and each chunk's replicas are servers of the view.
 */

import { create } from "@bufbuild/protobuf";
import { PacelineError } from "../../errors.js";
import { type BegunMomentum, begunMomentumFields } from "../../protocol/plan/phase-momentum.js";
import { runSpecField } from "../../protocol/run-spec.js";
import { record as specRecord } from "../../protocol/spec-field.js";
import type {
  ChunkCandidate,
  FrameAddresses,
  View,
  ViewServer,
  ViewWorker,
} from "../../protocol/view.js";
import type { FieldCodec } from "./field-codec.js";
import { finite, list, optional, record, small, text, whole } from "./field-codec.js";
import type * as wire from "./generated-run.js";
import * as schemas from "./generated-run.js";
import { chunksMax, membersMax, nameBytesMax, runBytesMax } from "./limits.js";
import { protocolCodec } from "./protocol-codec.js";
import { specCodec } from "./spec-codec.js";

const name = text(nameBytesMax);

/** What the learning rate is multiplied by. */
const factor: FieldCodec<number, number> = {
  toWire: (value) => value,
  fromWire(wire, path) {
    const value = finite.fromWire(wire, path);
    if (value > 0) return value;
    throw new PacelineError("protocol", `${path} is ${value}, it must be above 0`);
  },
};

/** Run specs as the coordinator hands them out. */
export const runSpecCodec = specCodec(schemas.RunSpecSchema, runSpecField, {
  protocol: protocolCodec,
});

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

const begunMomentum = specCodec(
  schemas.BegunMomentumSchema,
  specRecord<BegunMomentum>(begunMomentumFields),
);
const indices = list(small(), membersMax);
const replicaSet: FieldCodec<readonly number[], wire.ReplicaSet> = {
  toWire: (value) => create(schemas.ReplicaSetSchema, { servers: indices.toWire(value) }),
  fromWire: ({ servers }, path) => indices.fromWire(servers, path),
};

const candidate = record<ChunkCandidate, wire.ChunkCandidate>(schemas.ChunkCandidateSchema, {
  chunk: small(),
  server: small(),
});
/** Few are brought up at one time; a view names at most one for each of this many chunks. */
const candidatesMax = 2 * chunksMax;

/** Views, which must agree with themselves. */
export const viewCodec = record<View, wire.View>(
  schemas.ViewSchema,
  {
    run: text(runBytesMax),
    number: whole(),
    generation: small(),
    phase: small(),
    phaseFromStep: whole(),
    protocol: protocolCodec,
    lrFactor: factor,
    momentum: optional(begunMomentum),
    servers: list(viewServer, membersMax),
    workers: list(viewWorker, membersMax),
    replicas: list(replicaSet, chunksMax),
    fences: list(whole(), chunksMax),
    candidates: list(candidate, candidatesMax),
    departing: list(viewWorker, membersMax),
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
  for (const { chunk, server } of view.candidates) {
    if (replicas[chunk] === undefined) return `chunk ${chunk} has a candidate and does not exist`;
    if (!known.has(server)) return `server ${server} is a candidate but is not a member`;
    if (replicas[chunk].includes(server)) return `server ${server} holds chunk ${chunk} already`;
  }
  return null;
}

function ascending(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => index === 0 || number > (numbers[index - 1] as number));
}

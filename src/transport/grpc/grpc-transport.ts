/**
 * The gRPC transport: the public contract of proto/paceline/v1 over @grpc/grpc-js. Listeners live
 * on their own; `close` ends the connections that this transport opened.
 */

import type { Transport } from "../transport.js";
import { GrpcClient } from "./client.js";
import { serveCoordinator } from "./coordinator-service.js";
import { type GrpcTransportOptions, limitsOf } from "./methods.js";
import { serveChunks } from "./parameter-server.js";

/** Makes a transport; nothing is opened yet. */
export function createGrpcTransport(options: GrpcTransportOptions = {}): Transport {
  const limits = limitsOf(options);
  const client = new GrpcClient(limits);
  return {
    serveCoordinator: (address, service) => serveCoordinator(address, service, limits),
    serveChunks: (address, accept) => serveChunks(address, accept, limits),
    register: client.register,
    status: client.status,
    drain: client.drain,
    switchTo: client.switchTo,
    ...{ submit: client.submit, jobs: client.jobs },
    ...{ cancelJob: client.cancelJob, jobEvents: client.jobEvents },
    readExamples: client.readExamples,
    keepResidual: client.keepResidual,
    readResidual: client.readResidual,
    openSession: (address, identity, receiver) => client.openSession(address, identity, receiver),
    openChunks: (address, receiver) => client.openChunks(address, receiver),
    close: () => client.close(),
  };
}

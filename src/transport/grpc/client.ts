/**
 * The calling side of the gRPC transport. Each stream has a connection of its own, opened with it
 * and closed with it: a broken one leaves no back-off behind that would delay the next. Examples
 * and residuals travel over a connection that is kept.
 */

import type { ClientDuplexStream, MethodDefinition, ServiceError } from "@grpc/grpc-js";
import { PacelineError } from "../../errors.js";
import type { MemberIdentity } from "../../protocol/identity.js";
import type { ChunkHeader, MemberMessage } from "../../protocol/messages.js";
import { deliverChunk } from "../chunk-delivery.js";
import { silent } from "../connection-errors.js";
import type { ClusterRole } from "../credentials/roles.js";
import type {
  ChunkChannel,
  ChunkReceiver,
  CoordinatorReceiver,
  SessionChannel,
  Transport,
} from "../transport.js";
import { decodeChunk, encodeChunk } from "../wire/chunk-codec.js";
import {
  cancelJobReplyBytes,
  cancelJobRequestBytes,
  jobEventsReplyBytes,
  jobEventsRequestBytes,
  jobsReplyBytes,
  jobsRequestBytes,
  submitReplyBytes,
  submitRequestBytes,
} from "../wire/job-codec.js";
import {
  keepResidualBytes,
  keptResidualBytes,
  readResidualBytes,
  residualBytes,
} from "../wire/residual-codec.js";
import {
  drainReplyBytes,
  drainRequestBytes,
  registerReplyBytes,
  registerRequestBytes,
  statusReplyBytes,
  statusRequestBytes,
  switchReplyBytes,
  switchRequestBytes,
} from "../wire/service-codec.js";
import { decodeCoordinatorMessage, encodeMemberMessage } from "../wire/session-codec.js";
import { GrpcConnection } from "./connection.js";
import { KeptCalls } from "./kept-calls.js";
import type { GrpcLimits } from "./methods.js";
import { coordinatorMethods, parameterServerMethods } from "./methods.js";
import type { StreamReceiver } from "./stream.js";
import { GrpcStream } from "./stream.js";

/** Opens connections; `close` ends them all. */
export class GrpcClient {
  readonly #limits: GrpcLimits;
  readonly #streams = new Set<GrpcStream>();
  readonly #calls: KeptCalls;
  /** Calls that have a connection of their own. */
  readonly #asks = new Set<{ cancel(): void }>();

  constructor(limits: GrpcLimits) {
    this.#limits = limits;
    this.#calls = new KeptCalls(limits);
  }

  register: Transport["register"] = async (address, request) => {
    const bytes = registerRequestBytes.encode(request);
    return registerReplyBytes.decode(await this.#ask(address, coordinatorMethods.register, bytes));
  };

  status: Transport["status"] = async (address) => {
    const bytes = statusRequestBytes.encode({});
    const reply = await this.#ask(address, coordinatorMethods.status, bytes);
    return parsed(statusReplyBytes.decode(reply).json, "a status", address);
  };

  switchTo: Transport["switchTo"] = async (address, request) => {
    const bytes = switchRequestBytes.encode(request);
    const reply = await this.#ask(address, coordinatorMethods.switchTo, bytes);
    return switchReplyBytes.decode(reply).text;
  };

  drain: Transport["drain"] = async (address, member) => {
    const bytes = drainRequestBytes.encode(member);
    return drainReplyBytes.decode(await this.#ask(address, coordinatorMethods.drain, bytes)).text;
  };

  submit: Transport["submit"] = async (address, submission) => {
    const bytes = submitRequestBytes.encode(submission);
    return submitReplyBytes.decode(await this.#ask(address, coordinatorMethods.submit, bytes)).run;
  };

  jobs: Transport["jobs"] = async (address, job) => {
    const reply = await this.#ask(
      address,
      coordinatorMethods.jobs,
      jobsRequestBytes.encode({ job }),
    );
    return parsed(jobsReplyBytes.decode(reply).json, "jobs", address);
  };

  cancelJob: Transport["cancelJob"] = async (address, job) => {
    const bytes = cancelJobRequestBytes.encode({ job });
    const reply = await this.#ask(address, coordinatorMethods.cancelJob, bytes);
    return cancelJobReplyBytes.decode(reply).text;
  };

  jobEvents: Transport["jobEvents"] = async (address, request) => {
    const bytes = jobEventsRequestBytes.encode(request);
    const reply = await this.#ask(address, coordinatorMethods.jobEvents, bytes);
    return jobEventsReplyBytes.decode(reply);
  };

  readExamples: Transport["readExamples"] = (address, request, onBlock) =>
    this.#calls.readExamples(address, request, onBlock);

  keepResidual: Transport["keepResidual"] = async (address, residual) => {
    const bytes = keepResidualBytes.encode(residual);
    keptResidualBytes.decode(
      await this.#calls.ask(address, coordinatorMethods.keepResidual, bytes),
    );
  };

  readResidual: Transport["readResidual"] = async (address, place) => {
    const bytes = readResidualBytes.encode(place);
    const reply = await this.#calls.ask(address, coordinatorMethods.readResidual, bytes);
    return residualBytes.decode(reply).values;
  };

  openSession(
    address: string,
    identity: MemberIdentity,
    receiver: CoordinatorReceiver,
  ): SessionChannel<MemberMessage> {
    const stream = this.#open(address, "coordinator", coordinatorMethods.heartbeat, {
      onBytes: (bytes) => receiver.onMessage(decodeCoordinatorMessage(bytes)),
      onClose: (error) => receiver.onClose(error),
    });
    stream.send(() => encodeMemberMessage({ type: "open", ...identity }));
    return {
      peer: address,
      send: (message) => stream.send(() => encodeMemberMessage(message)),
      close: () => stream.close(),
    };
  }

  openChunks(address: string, receiver: ChunkReceiver): ChunkChannel {
    const stream = this.#open(address, "server", parameterServerMethods.pushPull, {
      onBytes: (bytes) => {
        const { header, payload } = decodeChunk(bytes);
        deliverChunk(receiver, header, payload);
      },
      onClose: (error) => receiver.onClose(error),
    });
    return chunkChannel(stream);
  }

  /**
   * Ends every call, and every stream after what was sent; what is not taken within `closeMs` is
   * given up, and so is a connection that is still being made.
   */
  async close(): Promise<void> {
    this.#calls.close();
    for (const call of this.#asks) call.cancel();
    await Promise.all(
      [...this.#streams].map((stream) => {
        stream.close();
        return new Promise<void>((resolve) => {
          const timer = setTimeout(() => stream.remoteBroke(), this.#limits.closeMs);
          stream.whenOver(() => {
            clearTimeout(timer);
            resolve();
          });
        });
      }),
    );
  }

  #ask(address: string, method: MethodDefinition<Buffer, Buffer>, bytes: Buffer): Promise<Buffer> {
    const connection = new GrpcConnection(address, "coordinator", this.#limits);
    const { client, metadata } = connection;
    const deadline = Date.now() + this.#limits.ioTimeoutMs;
    return new Promise((resolve, reject) => {
      const answered = (error: ServiceError | null, reply?: Buffer) => {
        this.#asks.delete(call);
        connection.close();
        if (error !== null) reject(connection.failed(error));
        else resolve(reply ?? Buffer.alloc(0));
      };
      const call = client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        bytes,
        metadata,
        { deadline },
        answered,
      );
      this.#asks.add(call);
    });
  }

  #open(
    address: string,
    role: ClusterRole,
    method: MethodDefinition<Buffer, Buffer>,
    receiver: StreamReceiver,
  ): GrpcStream {
    const connection = new GrpcConnection(address, role, this.#limits);
    const { client, metadata } = connection;
    const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    );
    const stream = new GrpcStream(address, call, receiver, () => call.cancel());
    const { ioTimeoutMs } = this.#limits;
    const opening = setTimeout(
      () => stream.fail(silent(address, "answer", ioTimeoutMs)),
      ioTimeoutMs,
    );
    let connected = false;
    call.on("metadata", () => {
      connected = true;
      clearTimeout(opening);
    });
    call.on("data", (bytes: Buffer) => stream.arrived(bytes));
    call.on("status", (status) => stream.finish(connection.ended(status, connected)));
    call.on("error", () => {});
    this.#streams.add(stream);
    stream.whenOver(() => {
      clearTimeout(opening);
      this.#streams.delete(stream);
      call.cancel();
      connection.close();
    });
    return stream;
  }
}

function parsed(json: string, what: string, address: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    throw new PacelineError("protocol", `${address} sent ${what} that is not JSON`, { cause });
  }
}

/** A stream of chunk messages as a channel. */
export function chunkChannel(stream: GrpcStream): ChunkChannel {
  return {
    peer: stream.peer,
    send: (header: ChunkHeader, payload: Uint8Array | null, sent?: () => void) =>
      stream.send((allocate) => encodeChunk(header, payload, allocate), sent),
    close: () => stream.close(),
  };
}

/**
 * Calls to a coordinator that come often or many in a row: for examples, a batch each step, and
 * with residuals, a chunk each. A connection is kept from one call to the next; after a failure
 * another one is made.
 */
import type { ClientReadableStream, MethodDefinition, ServiceError } from "@grpc/grpc-js";
import { type PacelineError, toPacelineError } from "../../errors.js";
import type { Transport } from "../transport.js";
import { examplesBlockBytes, examplesRequestBytes } from "../wire/examples-codec.js";
import { GrpcConnection } from "./connection.js";
import type { GrpcLimits } from "./methods.js";
import { coordinatorMethods } from "./methods.js";

/** Connections that are kept, and what is asked over them; `close` ends them all. */
export class KeptCalls {
  readonly #limits: GrpcLimits;
  readonly #connections = new Map<string, GrpcConnection>();
  readonly #calls = new Set<{ cancel(): void }>();

  constructor(limits: GrpcLimits) {
    this.#limits = limits;
  }

  /** Asks once; resolves to the answer's bytes. */
  ask(
    address: string,
    { path, requestSerialize, responseDeserialize }: MethodDefinition<Buffer, Buffer>,
    bytes: Buffer,
  ): Promise<Buffer> {
    const connection = this.#connection(address);
    return new Promise((resolve, reject) => {
      const answered = (error: ServiceError | null, reply?: Buffer) => {
        this.#calls.delete(call);
        if (error === null) return resolve(reply ?? Buffer.alloc(0));
        this.#forget(address);
        reject(connection.failed(error));
      };
      const call = connection.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        bytes,
        connection.metadata,
        { deadline: this.#deadline() },
        answered,
      );
      this.#calls.add(call);
    });
  }

  readExamples: Transport["readExamples"] = (address, request, onBlock) => {
    const { path, requestSerialize, responseDeserialize } = coordinatorMethods.readExamples;
    const connection = this.#connection(address);
    const call: ClientReadableStream<Buffer> = connection.client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      examplesRequestBytes.encode(request),
      connection.metadata,
      { deadline: this.#deadline() },
    );
    this.#calls.add(call);
    return new Promise<void>((resolve, reject) => {
      let thrown: PacelineError | null = null;
      let connected = false;
      call.on("metadata", () => {
        connected = true;
      });
      call.on("data", (bytes: Buffer) => {
        if (thrown !== null) return;
        try {
          onBlock(examplesBlockBytes.decode(bytes));
        } catch (cause) {
          thrown = toPacelineError(cause);
          call.cancel();
        }
      });
      call.on("error", () => {});
      call.on("status", (status) => {
        this.#calls.delete(call);
        if (thrown === null && status.code === 0) return resolve();
        if (thrown === null) this.#forget(address);
        reject(thrown ?? connection.ended(status, connected));
      });
    });
  };

  /** Ends every call and connection. */
  close(): void {
    for (const call of this.#calls) call.cancel();
    for (const address of [...this.#connections.keys()]) this.#forget(address);
  }

  #deadline(): number {
    return Date.now() + this.#limits.ioTimeoutMs;
  }

  #connection(address: string): GrpcConnection {
    let connection = this.#connections.get(address);
    connection ??= new GrpcConnection(address, "coordinator", this.#limits);
    this.#connections.set(address, connection);
    return connection;
  }

  #forget(address: string): void {
    this.#connections.get(address)?.close();
    this.#connections.delete(address);
  }
}

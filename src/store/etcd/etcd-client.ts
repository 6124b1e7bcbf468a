/**
 * Calls of an etcd, by its gRPC API of version 3: as many as records and elections need.
 *
 * A call goes to one member of the etcd; where that can't be reached or does not answer in time,
 * the next is tried, each at most once. A transaction may so be done twice: those that callers
 * make come to the same result then.
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { ChannelOptions, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { Client, credentials, status } from "@grpc/grpc-js";
import { PacelineError } from "../../errors.js";
import { EtcdCredentials, type EtcdTls, mismatchAt } from "./etcd-tls.js";
import {
  type KeyValue,
  KV,
  Lease,
  type LeaseKeepAliveResponse,
  type TxnRequestSchema,
  type TxnResponse,
  Watch,
  type WatchResponse,
} from "./generated-etcd.js";

/** A method of one request and one answer. */
type Unary<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly methodKind: "unary";
  readonly input: I;
  readonly output: O;
};

/** A method of many requests and many answers. */
type Streaming<I extends DescMessage, O extends DescMessage> = DescMethod & {
  readonly methodKind: "bidi_streaming";
  readonly input: I;
  readonly output: O;
};

/** Requests and answers of one open call. */
export interface EtcdStream<Request, Answer> {
  send(request: Request): void;
  /** Ends with the call; throws where that failed. */
  readonly answers: AsyncIterable<Answer>;
  /** Its member does not answer: calls from now on go to the next, as far as they don't yet. */
  turn(): void;
  close(): void;
}

/** The calls that records and elections are made of, of a real etcd or of a simulated one. */
export type EtcdCalls = Pick<
  EtcdClient,
  "read" | "transact" | "grantLease" | "revokeLease" | "keepAlive" | "watch"
>;

/** Names under which the library makes sockets, and what ends those that it is making. */
export interface EndableSockets {
  targetFor(endpoint: string): { readonly target: string; readonly options: ChannelOptions };
  end(): void;
}

/** Sockets as the library makes them: those that are not connected yet outlive their client. */
const plainSockets: EndableSockets = {
  targetFor: (endpoint) => ({ target: endpoint, options: {} }),
  end: () => {},
};

const tellsOfAnother: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]);

interface Member {
  readonly endpoint: string;
  readonly client: Client;
  /** Null where the connection is in clear. */
  readonly secured: EtcdCredentials | null;
}

/** The client. */
export class EtcdClient {
  readonly #members: readonly Member[];
  readonly #timeoutMs: number;
  readonly #sockets: EndableSockets;
  /** The member that answered last. */
  #present = 0;

  /**
   * @param endpoints host:port of each member.
   * @param timeoutMs how long one member may take to answer.
   * @param tls what connections are made with; null for connections in clear.
   * @param sockets by which connections that are being made end with this client.
   */
  constructor(
    endpoints: readonly string[],
    timeoutMs: number,
    tls: EtcdTls | null = null,
    sockets: EndableSockets = plainSockets,
  ) {
    this.#timeoutMs = timeoutMs;
    this.#sockets = sockets;
    this.#members = endpoints.map((endpoint) => {
      const { target, options: endable } = sockets.targetFor(endpoint);
      const options = {
        ...endable,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1000,
        // An etcd is reached directly, whatever the environment says of the web.
        "grpc.enable_http_proxy": 0,
        // A connection that has gone silent ends; etcd refuses those that ask every 5 s or more.
        "grpc.keepalive_time_ms": 10_000,
        "grpc.keepalive_timeout_ms": 5000,
      };
      const secured = tls === null ? null : new EtcdCredentials(endpoint, tls);
      const client = new Client(target, secured ?? credentials.createInsecure(), options);
      return { endpoint, client, secured };
    });
  }

  /** The key with its value; null where there is none. */
  async read(key: string): Promise<KeyValue | null> {
    const { kvs } = await this.#call(KV.method.range, { key: Buffer.from(key) });
    return kvs[0] ?? null;
  }

  /** A transaction. */
  transact(request: MessageInitShape<typeof TxnRequestSchema>): Promise<TxnResponse> {
    return this.#call(KV.method.txn, request);
  }

  /** Begins a lease of about so many seconds. */
  async grantLease(seconds: number): Promise<{ readonly id: bigint; readonly seconds: number }> {
    const { ID, TTL, error } = await this.#call(Lease.method.leaseGrant, { TTL: BigInt(seconds) });
    if (error !== "") throw new PacelineError("refused", `etcd gives no lease: ${error}`);
    return { id: ID, seconds: Number(TTL) };
  }

  /** Ends a lease. */
  async revokeLease(id: bigint): Promise<void> {
    await this.#call(Lease.method.leaseRevoke, { ID: id });
  }

  /** Has a lease begin again with each request. */
  keepAlive(id: bigint): EtcdStream<void, LeaseKeepAliveResponse> {
    const stream = this.#open(Lease.method.leaseKeepAlive);
    return { ...stream, send: () => stream.send({ ID: id }) };
  }

  /** Tells the changes of a key from a revision on. */
  watch(key: string, revision: bigint): EtcdStream<never, WatchResponse> {
    const stream = this.#open(Watch.method.watch);
    const value = { key: Buffer.from(key), startRevision: revision };
    stream.send({ requestUnion: { case: "createRequest", value } });
    return stream;
  }

  /** Ends what is open. */
  close(): void {
    for (const { client } of this.#members) client.close();
    this.#sockets.end();
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    method: Unary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
    for (let tried = 1; ; tried++) {
      const asked = this.#present;
      try {
        return fromBinary(method.output, await this.#callOne(method, bytes));
      } catch (thrown) {
        const { code } = thrown as ServiceError;
        const isLast = tried >= this.#members.length || !tellsOfAnother.has(code);
        if (isLast) throw await this.#explained(thrown as ServiceError, asked);
        this.#turnFrom(asked);
      }
    }
  }

  /** Goes to the next member, unless another call has turned from this one already. */
  #turnFrom(member: number): void {
    if (this.#present === member) this.#present = (member + 1) % this.#members.length;
  }

  #callOne(method: DescMethod, bytes: Buffer): Promise<Buffer> {
    const { client, secured } = this.#members[this.#present]!;
    const deadline = Date.now() + this.#timeoutMs;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest<Buffer, Buffer>(
        pathOf(method),
        asItIs,
        asItIs,
        bytes,
        { deadline },
        (error, answer) => {
          if (error !== null) return reject(error);
          if (secured !== null) secured.trouble = null;
          resolve(answer!);
        },
      );
    });
  }

  #open<I extends DescMessage, O extends DescMessage>(
    method: Streaming<I, O>,
  ): EtcdStream<MessageInitShape<I>, MessageShape<O>> {
    const asked = this.#present;
    const { client } = this.#members[asked]!;
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(pathOf(method), asItIs, asItIs);
    // Its reader hears of it; a stream that nobody reads must not end the process.
    call.on("error", () => {});
    return {
      send: (request) => {
        call.write(Buffer.from(toBinary(method.input, create(method.input, request))));
      },
      answers: this.#answersOf(call, asked, method.output),
      turn: () => this.#turnFrom(asked),
      close: () => call.cancel(),
    };
  }

  async *#answersOf<O extends DescMessage>(
    call: ClientDuplexStream<Buffer, Buffer>,
    asked: number,
    output: O,
  ): AsyncGenerator<MessageShape<O>> {
    try {
      for await (const bytes of call) yield fromBinary(output, bytes as Buffer);
    } catch (thrown) {
      if ((thrown as ServiceError).code !== status.CANCELLED) {
        this.#turnFrom(asked);
        throw this.#failure(thrown as ServiceError);
      }
    }
  }

  /** What a failure means, where one side may speak TLS and the other not. */
  async #explained(cause: ServiceError, asked: number): Promise<PacelineError> {
    const failure = this.#failure(cause);
    const { endpoint, secured } = this.#members[asked]!;
    // Where nobody listens there is nobody to ask.
    const isHeard = !/ECONNREFUSED|ENOTFOUND|EHOSTUNREACH/.test(cause.details);
    if (failure.code !== "unavailable" || !isHeard) return failure;
    const mismatch = await mismatchAt(endpoint, secured !== null, this.#timeoutMs);
    if (mismatch === null) return failure;
    return new PacelineError("refused", `etcd at ${endpoint} ${mismatch}`, { cause });
  }

  #failure(cause: ServiceError): PacelineError {
    const where = this.#members.map(({ endpoint }) => endpoint).join(", ");
    const trouble = this.#members.find(({ secured }) => secured?.trouble != null);
    if (trouble !== undefined && cause.code === status.UNAVAILABLE) {
      const sentence = `etcd at ${trouble.endpoint} ${trouble.secured!.trouble}`;
      return new PacelineError("refused", sentence, { cause });
    }
    const text = cause.details ?? cause.message;
    const isAway = tellsOfAnother.has(cause.code);
    const remedy = isAway ? "; start it, or correct --store" : "";
    // A lease that has ended meanwhile is begun anew, as after an etcd that was away.
    const isOver = cause.code === status.NOT_FOUND;
    const code = isAway || isOver ? "unavailable" : "refused";
    return new PacelineError(code, `etcd at ${where}: ${text}${remedy}`, { cause });
  }
}

const asItIs = (bytes: Buffer): Buffer => bytes;

function pathOf({ parent, name }: DescMethod): string {
  return `/${parent.typeName}/${name}`;
}

/**
 * A listening gRPC server with what every one of ours has: receive windows wide enough for a
 * network with delay, reading that never waits for writing, health checking, reflection, an end for
 * connections that say nothing, and a close that lets what was sent go out first.
 */
import type { Http2Server, ServerHttp2Session, Settings } from "node:http2";
import type { Socket } from "node:net";
import type {
  ServerDuplexStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import { placeOf } from "../addresses.js";
import { bindSocket } from "../bound-socket.js";
import { silent } from "../connection-errors.js";
import { type Door, keyOf } from "../credentials/door.js";
import { tlsEntrance } from "../credentials/tls-entrance.js";
import type { Listener } from "../transport.js";
import { callGuard } from "./call-guard.js";
import { addLateServices } from "./late-services.js";
import type { GrpcLimits } from "./methods.js";
import { frameBytesMax, receiveWindowBytes, serverOptions } from "./methods.js";
import { refuser } from "./refused-connection.js";
import { toStatus } from "./status-errors.js";
import { GrpcStream } from "./stream.js";
import { unblockedSocket } from "./unblocked-socket.js";

/** What is served. */
export interface Served {
  readonly name: string;
  readonly methods: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
  /** Streams that are open. */
  readonly streams: ReadonlySet<GrpcStream>;
  /** Who comes in. */
  readonly door: Door;
}

/** How long connections may take to end once every stream has. */
const lingerMs = 500;

/** Another protocol at the same address, which a connection's first bytes tell from HTTP/2. */
export interface OtherProtocol {
  isOpening(first: Buffer): boolean;
  /** Takes a connection over, with what it has said so far. */
  accept(socket: Socket, first: Buffer): void;
  /** Tells what it has accepted from this peer why it ends. */
  fail(peer: string, error: PacelineError): void;
  /** Ends what it has accepted, after what was sent; resolves when all has ended. */
  shut(error: PacelineError): Promise<void>;
}

/** Listens and serves; throws "usage" when the address can't be had. */
export async function listen(
  address: string,
  served: Served,
  limits: GrpcLimits,
  other: OtherProtocol | null = null,
): Promise<Listener> {
  placeOf(address);
  const { door } = served;
  const interceptors = door.isGuarded ? [callGuard(door)] : [];
  const server = new Server({ ...serverOptions(limits), interceptors });
  server.addService(served.methods, served.handlers);
  addLateServices(server, served.name);
  const accept = raiseWindows(server, door);
  door.whenLetGo((key, error) => {
    for (const stream of [...served.streams]) if (stream.peer === key) stream.fail(error);
    other?.fail(key, error);
  });
  const acceptEither = other === null ? accept : sortConnections(accept, other, limits);
  const accepted = behind(door, acceptEither, limits);
  const bound = await bindSocket(address, accepted).catch((thrown) => {
    server.forceShutdown();
    throw thrown;
  });
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const freed = bound.release();
    const error = new PacelineError("unavailable", `${bound.address} stopped listening`);
    const streams = [...served.streams];
    for (const stream of streams) stream.shut(error);
    const over = [...streams.map(whenOver), other?.shut(error)];
    await within(limits.ioTimeoutMs, Promise.all(over));
    await within(lingerMs, new Promise<void>((resolve) => server.tryShutdown(() => resolve())));
    server.forceShutdown();
    bound.destroyAll();
    await freed;
  };
  return {
    address: bound.address,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** What a door lets in, over TLS where it has certificates. */
function behind(
  door: Door,
  accept: (socket: Socket) => void,
  { ioTimeoutMs }: GrpcLimits,
): (socket: Socket) => void {
  const { tls } = door;
  const entrance =
    tls === null
      ? accept
      : tlsEntrance(door, tls, ioTimeoutMs, { onSecure: accept, onRefused: refuser() });
  return (socket) => {
    if (door.admit(socket, ioTimeoutMs)) entrance(socket);
  };
}

/** Waits for each connection's first bytes and gives it to the protocol that they are of. */
function sortConnections(
  accept: (socket: Socket) => void,
  other: OtherProtocol,
  { ioTimeoutMs }: GrpcLimits,
): (socket: Socket) => void {
  return (socket) => {
    const giveUp = (): void => void socket.destroy();
    const silence = setTimeout(giveUp, ioTimeoutMs);
    socket.once("error", giveUp);
    socket.once("close", () => clearTimeout(silence));
    socket.once("end", giveUp);
    socket.once("readable", () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      clearTimeout(silence);
      socket.off("error", giveUp);
      socket.off("end", giveUp);
      if (other.isOpening(first)) return other.accept(socket, first);
      socket.unshift(first);
      accept(socket);
    });
  };
}

/**
 * Wraps a call. `open` gets the first message, from which it decides who receives from the stream;
 * a peer that sends none within the time-out is told so and let go.
 */
export function serverStream(
  call: ServerDuplexStream<Buffer, Buffer>,
  streams: Set<GrpcStream>,
  limits: GrpcLimits,
  firstMessage: string,
  open: (first: Buffer) => void,
): GrpcStream {
  const { ioTimeoutMs } = limits;
  const waiting = { onBytes: open, onClose: () => {} };
  const abort = (error: Parameters<typeof toStatus>[0]): void => {
    call.emit("error", toStatus(error));
  };
  const stream = new GrpcStream(call.getPeer(), call, waiting, abort);
  const opening = setTimeout(() => {
    stream.fail(silent(stream.peer, firstMessage, ioTimeoutMs));
  }, ioTimeoutMs);
  streams.add(stream);
  stream.whenOver(() => {
    clearTimeout(opening);
    streams.delete(stream);
  });
  call.sendMetadata(new Metadata());
  call.on("data", (bytes: Buffer) => {
    clearTimeout(opening);
    stream.arrived(bytes);
  });
  call.on("end", () => stream.remoteEnded());
  call.on("cancelled", () => stream.remoteBroke());
  return stream;
}

/**
 * Gives a server an entrance whose connections have wide receive windows. grpc-js reads its window
 * option on clients only, so its HTTP/2 server is reached through two of its fields; the library is
 * pinned exactly, and should they move, this says so instead of letting pushes crawl.
 */
function raiseWindows(server: Server, door: Door): (socket: Socket) => void {
  const inner = server as unknown as {
    commonServerOptions?: { settings?: Settings };
    http2Servers?: Map<Http2Server, unknown>;
  };
  assert(inner.commonServerOptions !== undefined, "grpc-js keeps its HTTP/2 options where it did");
  inner.commonServerOptions.settings = {
    ...inner.commonServerOptions.settings,
    initialWindowSize: receiveWindowBytes,
    maxFrameSize: frameBytesMax,
  };
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const http2Server = inner.http2Servers?.keys().next().value;
  assert(http2Server !== undefined, "grpc-js keeps its HTTP/2 servers where it did");
  let entering: Socket | null = null;
  http2Server.on("session", (session) => {
    session.setLocalWindowSize(receiveWindowBytes);
    const key = entering === null ? null : keyOf(entering);
    if (entering === null || key === null) return;
    nameOf(session, entering);
    if (!door.isGuarded) session.once("stream", () => door.greeted(key));
  });
  return (socket) => {
    entering = socket;
    injector.injectConnection(unblockedSocket(socket));
    entering = null;
  };
}

/**
 * Has calls know their peer's address: of a stream that is no socket, HTTP/2 knows none unless it
 * is told in the field where a socket keeps its own. A call whose peer is unknown is refused where
 * certificates decide.
 */
function nameOf({ socket }: ServerHttp2Session, { remoteAddress, remotePort }: Socket): void {
  (socket as unknown as { _peername?: object })._peername = {
    address: remoteAddress,
    port: remotePort,
  };
}

function whenOver(stream: GrpcStream): Promise<void> {
  return new Promise((resolve) => stream.whenOver(resolve));
}

/** Waits for a promise, but no longer than the limit. */
async function within(limitMs: number, awaited: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([awaited, limit]);
  clearTimeout(timer);
}

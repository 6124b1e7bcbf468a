/**
 * A TCP proxy on loopback that stands in for a network: it adds delay, limits bandwidth, holds
 * bytes back and breaks connections. Tests and benchmarks share it; shaping-link.ts says how bytes
 * travel.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { PacelineError } from "../../errors.js";
import { reset, ShapedLane, ShapedPath } from "./shaping-link.js";

/** What a cut does with connections that come before `restore`. */
export type CutMode = "refuse" | "blackhole";

/** Where to and how. */
export interface ShapingProxyOptions {
  /** host:port of the real listener, which need not be up yet; left out until `aim` says it. */
  readonly target?: string;
  /** One-way delay; 0 when left out. */
  readonly delayMs?: number;
  /** Bandwidth of each direction, shared by all connections; null or left out for no limit. */
  readonly bytesPerSecond?: number | null;
  /** Shared with other proxies, with the bandwidth; a way of its own if left out. */
  readonly path?: ShapedPath;
}

/** A running proxy. */
export interface ShapingProxy {
  /** host:port to connect to instead of the target. */
  readonly address: string;
  /** Connections open through the proxy. */
  readonly connectionCount: number;
  /** Connections ever passed on to the target. */
  readonly acceptedCount: number;
  /** Bytes taken from one side and not yet taken by the other, over all connections. */
  readonly heldBytes: number;
  /**
   * Resets every connection and loses what they held. Until `restore`, further ones are reset right
   * after they connect ("refuse") or held without an answer and served after it ("blackhole").
   */
  cut(further?: CutMode): void;
  /** Holds all bytes, ends and resets back; connections stay open and further ones are accepted. */
  stall(): void;
  /** Ends a cut or a stall; held bytes go on with the spacing that they had. */
  restore(): void;
  /** Changes the one-way delay of the bytes that come from here on. */
  setDelay(delayMs: number): void;
  /** Changes the bandwidth for the bytes that come from here on. */
  setBandwidth(bytesPerSecond: number | null): void;
  /** Says where connections go from here on; those that came before there was a target wait. */
  aim(target: string): void;
  /** Resets every connection and stops listening. */
  close(): Promise<void>;
}

/** Starts a proxy on an ephemeral loopback port. Throws "usage" for a malformed target or shape. */
export async function startShapingProxy(options: ShapingProxyOptions): Promise<ShapingProxy> {
  const { target } = options;
  const place = target === undefined ? null : splitAddress(target);
  const path = options.path ?? new ShapedPath();
  if (options.delayMs !== undefined) path.network.setDelay(options.delayMs);
  if (options.bytesPerSecond !== undefined) path.network.setBandwidth(options.bytesPerSecond);
  const proxy = new TcpShapingProxy(path, place);
  await proxy.listen();
  return proxy;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

function splitAddress(address: string): Place {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
  const port = Number(address.slice(colon + 1));
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new PacelineError("usage", `proxy target "${address}" is not host:port; give both`);
  }
  return { host, port };
}

/** A client's socket, the target's, and the lanes between them. */
interface Connection {
  readonly sockets: readonly Socket[];
  readonly lanes: readonly ShapedLane[];
}

class TcpShapingProxy implements ShapingProxy {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #waiting = new Set<Socket>();
  #cut: CutMode | null = null;
  #target: Place | null;
  acceptedCount = 0;
  address = "";

  constructor(
    readonly path: ShapedPath,
    target: Place | null,
  ) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    this.#server.on("connection", (client) => this.#accept(client));
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get heldBytes(): number {
    let bytes = 0;
    for (const connection of this.#connections) {
      for (const lane of connection.lanes) bytes += lane.heldBytes;
    }
    return bytes;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", (cause) => {
        const message = `the proxy can't listen on loopback (${cause.message}); free a port`;
        reject(new PacelineError("unavailable", message, { cause }));
      });
      this.#server.listen(0, "127.0.0.1", () => {
        this.address = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
        resolve();
      });
    });
  }

  cut(further: CutMode = "refuse"): void {
    this.#cut = further;
    this.#resetAll();
  }

  stall(): void {
    this.path.network.stall();
  }

  restore(): void {
    this.#cut = null;
    this.path.network.restore();
    this.#bridgeWaiting();
    for (const connection of this.#connections) {
      for (const lane of connection.lanes) lane.deliver();
    }
  }

  setDelay(delayMs: number): void {
    this.path.network.setDelay(delayMs);
  }

  setBandwidth(bytesPerSecond: number | null): void {
    this.path.network.setBandwidth(bytesPerSecond);
  }

  aim(target: string): void {
    this.#target = splitAddress(target);
    if (this.#cut === null) this.#bridgeWaiting();
  }

  close(): Promise<void> {
    this.#cut = "refuse";
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#resetAll();
    for (const client of this.#waiting) reset(client);
    return closed;
  }

  #accept(client: Socket): void {
    client.on("error", () => client.destroy());
    if (this.#cut === "refuse") reset(client);
    else if (this.#cut === "blackhole" || this.#target === null) this.#hold(client);
    else this.#bridge(client, this.#target);
  }

  #bridgeWaiting(): void {
    if (this.#target === null) return;
    for (const client of this.#waiting) this.#bridge(client, this.#target);
    this.#waiting.clear();
  }

  #hold(client: Socket): void {
    this.#waiting.add(client);
    client.on("close", () => this.#waiting.delete(client));
  }

  #bridge(client: Socket, { host, port }: Place): void {
    const target = connect({ host, port, allowHalfOpen: true, noDelay: true });
    target.on("error", () => target.destroy());
    const lanes = [
      new ShapedLane(this.path.toTarget, client, target),
      new ShapedLane(this.path.toClient, target, client),
    ];
    const connection = { sockets: [client, target], lanes };
    this.#connections.add(connection);
    this.acceptedCount++;
    for (const socket of connection.sockets) {
      socket.on("close", () => {
        if (client.closed && target.closed) this.#connections.delete(connection);
      });
    }
    client.resume();
  }

  #resetAll(): void {
    for (const connection of this.#connections) {
      for (const lane of connection.lanes) lane.close();
      for (const socket of connection.sockets) reset(socket);
    }
    this.#connections.clear();
    this.path.toTarget.clear();
    this.path.toClient.clear();
  }
}

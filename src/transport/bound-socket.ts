/**
 * Something that listens at host:port or on a Unix socket. The file of a Unix socket goes when the
 * listener closes and when the process exits; one that a dead process has left is replaced, one
 * that a living process answers at is left alone.
 */
import { lstatSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { assert } from "../assert.js";
import { PacelineError } from "../errors.js";
import { joinHostPort } from "../protocol/host-port.js";
import { reasonOf } from "../system-reason.js";
import { pathAddress, placeOf } from "./addresses.js";
import { fromListenError } from "./connection-errors.js";

/** A bound listener. */
export interface BoundSocket {
  /** Where it really listens. */
  readonly address: string;
  /** Takes no more connections; resolves when the address is free again. */
  release(): Promise<void>;
  /** Ends whatever is still connected. */
  destroyAll(): void;
}

/** The most bytes of a Unix socket's path: Linux has room for 108 with a zero, macOS for 104. */
export const socketPathBytesMax = process.platform === "darwin" ? 103 : 107;

/** Listens; throws "usage" with the remedy when the address can't be had. */
export async function bindSocket(
  address: string,
  onSocket: (socket: Socket) => void,
): Promise<BoundSocket> {
  const place = placeOf(address);
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    onSocket(socket);
  });
  const destroyAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  if (place.kind === "path") {
    const { path } = place;
    await listenOnPath(server, path);
    const remove = (): void => removeQuietly(path);
    process.once("exit", remove);
    const release = (): Promise<void> => {
      process.off("exit", remove);
      return closed(server);
    };
    return { address: pathAddress(path), release, destroyAll };
  }
  const { host, port } = place;
  await listening(server, { host, port }).catch((error) => {
    throw fromListenError(error, host, port);
  });
  const bound = server.address();
  assert(bound !== null && typeof bound === "object", "a TCP listener has a port");
  const release = (): Promise<void> => closed(server);
  return { address: joinHostPort(host, bound.port), release, destroyAll };
}

async function listenOnPath(server: Server, path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > socketPathBytesMax) {
    const allowed = `at most ${socketPathBytesMax} are allowed`;
    const remedy = "set TMPDIR to a shorter folder, or take --transport tcp";
    throw new PacelineError(
      "usage",
      `the socket path ${path} has ${bytes} bytes, ${allowed}; ${remedy}`,
    );
  }
  try {
    await listening(server, { path });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EADDRINUSE" || !(await isAbandoned(path))) throw fromPathError(error, path);
    rmSync(path, { force: true });
    await listening(server, { path }).catch((again) => {
      throw fromPathError(again, path);
    });
  }
}

/** A file that can't be removed is left for the next start; the process still ends well. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    return;
  }
}

/** True for a socket that no process listens on. */
export async function isAbandoned(path: string): Promise<boolean> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false;
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code === "ECONNREFUSED" || error.code === "ENOENT");
    });
  });
}

function fromPathError(thrown: unknown, path: string): PacelineError {
  const error = thrown as NodeJS.ErrnoException;
  if (error.code === "EADDRINUSE") {
    const message = `the socket path ${path} is in use; choose another or end its process`;
    return new PacelineError("usage", message, { cause: error });
  }
  const message = `can't listen on the socket path ${path} (${reasonOf(error)})`;
  return new PacelineError("usage", `${message}; set TMPDIR to a folder of yours`, {
    cause: error,
  });
}

function listening(server: Server, where: { host: string; port: number } | { path: string }) {
  return new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/**
 * Everywhere that a server takes chunks: its port, which answers gRPC and frames, and a Unix socket
 * in a folder of the user's. A server that is called at an address other than its own, through a
 * proxy or a forwarded port, offers no socket unasked: who set that address wants it used.
 *
 * A socket's name is one that no other process has, in whichever file system: two containers of one
 * computer may have the same host name and process numbers, and a folder /tmp each.
 */
import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PacelineError, toPacelineError } from "../../errors.js";
import type { FrameAddresses, TransportChoice } from "../../protocol/view.js";
import { errnoOf, reasonOf } from "../../system-reason.js";
import { pathAddress } from "../addresses.js";
import { isAbandoned } from "../bound-socket.js";
import type { ChunkAcceptor, Listener, Transport } from "../transport.js";
import { machineName } from "./routes.js";

/** Where and how to serve. */
export interface ServedChunksRequest {
  /** host:port to listen on. */
  readonly address: string;
  /** host:port that others call; null for the address bound. */
  readonly advertise: string | null;
  readonly choice: TransportChoice;
  readonly accept: ChunkAcceptor;
  /** The folder that sockets lie in; one of the user's own if left out. */
  readonly socketFolder?: string;
  log(text: string): void;
}

/** A server's listeners. */
export interface ServedChunks {
  /** host:port bound. */
  readonly bound: string;
  /** host:port that others call. */
  readonly address: string;
  /** What the coordinator is told besides. */
  readonly frames: FrameAddresses | null;
  close(): Promise<void>;
}

/** Listens; throws "usage" where the port, or a socket that was asked for, can't be had. */
export async function serveChunksEverywhere(
  transport: Transport,
  request: ServedChunksRequest,
): Promise<ServedChunks> {
  const { choice, accept, advertise } = request;
  const port = await transport.serveChunks(request.address, accept);
  const address = advertise ?? port.address;
  const served = { bound: port.address, address };
  if (choice === "grpc") return { ...served, frames: null, close: () => port.close() };
  let socket: { path: string; listener: Listener } | null;
  try {
    socket = await serveSocket(transport, request);
  } catch (thrown) {
    await port.close();
    throw thrown;
  }
  const frames = { tcp: address, unix: socket?.path ?? "", machine: machineName() };
  const close = async (): Promise<void> => {
    await Promise.all([port.close(), socket?.listener.close()]);
  };
  return { ...served, frames, close };
}

async function serveSocket(
  transport: Transport,
  { choice, accept, advertise, log, socketFolder }: ServedChunksRequest,
): Promise<{ path: string; listener: Listener } | null> {
  const unasked = process.platform === "win32" || advertise !== null;
  if (choice === "tcp" || (choice === "auto" && unasked)) return null;
  try {
    const folder = socketFolder ?? ownFolder();
    await removeAbandoned(folder);
    const path = join(folder, `server-${process.pid}-${randomBytes(4).toString("hex")}.sock`);
    const listener = await transport.serveChunks(pathAddress(path), accept);
    return { path, listener };
  } catch (thrown) {
    if (choice === "unix") throw toPacelineError(thrown);
    log(`no Unix socket: ${toPacelineError(thrown).message}`);
    return null;
  }
}

/** A folder for sockets that nobody else may reach into. */
function ownFolder(): string {
  const user = process.getuid?.();
  const folder = join(tmpdir(), `paceline-${user ?? "sockets"}`);
  try {
    // Alone: Node's recursive form never ends where the file system takes no folders.
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    if (errnoOf(cause) === "EEXIST") return ownedFolder(folder, user);
    const message = `can't make the folder ${folder} for sockets (${reasonOf(cause)})`;
    const remedy = "set TMPDIR to a folder of yours";
    throw new PacelineError("usage", `${message}; ${remedy}`, { cause });
  }
  return ownedFolder(folder, user);
}

function ownedFolder(folder: string, user: number | undefined): string {
  const found = lstatSync(folder);
  const own = user === undefined || (found.uid === user && (found.mode & 0o077) === 0);
  if (found.isDirectory() && own) return folder;
  const remedy = "remove it, or set TMPDIR to another folder";
  throw new PacelineError(
    "usage",
    `other users can access ${folder}, which is for sockets; ${remedy}`,
  );
}

/** Removes sockets of processes that were killed. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of readdirSync(folder)) {
    const pid = Number(/^server-(\d+)-[0-9a-f]+\.sock$/.exec(name)?.[1] ?? process.pid);
    const path = join(folder, name);
    if (!isRunning(pid) && (await isAbandoned(path))) rmSync(path, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/**
 * Which of the ways to a server its chunks take: a Unix socket where both are on one computer, else
 * frames over TCP, else gRPC. A way that was asked for by name is taken or refused, never replaced.
 */
import { accessSync, constants, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { PacelineError } from "../../errors.js";
import type { TransportChoice, ViewServer } from "../../protocol/view.js";
import { framesAddress, pathAddress } from "../addresses.js";

/** A way, and why it is taken. */
export interface Route {
  /** For `openChunks`. */
  readonly address: string;
  readonly reason: string;
}

/** What is known here of the ways. */
export interface Surroundings {
  /** This computer; see `machineName`. */
  readonly machine: string;
  /** True when a socket of this path can be connected to. */
  canReach(path: string): boolean;
}

/** Chooses; throws "usage" with the remedy where the way asked for is not there. */
export function routeTo(server: ViewServer, choice: TransportChoice, here: Surroundings): Route {
  const { address, frames } = server;
  const grpc = { address, reason: "gRPC" };
  if (choice === "grpc") return grpc;
  const noSocket = objectionToSocket(server, here);
  if (choice !== "tcp" && noSocket === null) {
    return { address: pathAddress(frames!.unix), reason: "a Unix socket, on this computer" };
  }
  const tcp = frames?.tcp ?? "";
  if (choice !== "unix" && tcp !== "") {
    const why = choice === "tcp" ? "as asked for" : `as ${noSocket}`;
    return { address: framesAddress(tcp), reason: `frames over TCP, ${why}` };
  }
  if (choice === "auto") return { ...grpc, reason: "gRPC, as it takes no frames" };
  const who = `server ${server.index} at ${address}`;
  const objection = choice === "unix" ? noSocket : "it takes no frames";
  const remedy =
    choice === "unix" ? "take --transport tcp or auto" : "take --transport grpc or auto";
  throw new PacelineError("usage", `--transport ${choice}: ${objection} (${who}); ${remedy}`);
}

function objectionToSocket({ frames }: ViewServer, here: Surroundings): string | null {
  if (frames === null || frames.unix === "") return "it has no Unix socket";
  if (frames.machine !== here.machine) return "it runs on another computer";
  if (!here.canReach(frames.unix)) return `its socket ${frames.unix} can't be reached from here`;
  return null;
}

/** How long a way that was asked for by name is waited for, and who is told when it is too long. */
export interface RoutePatience {
  readonly patienceMs: number;
  nowMs(): number;
  end(thrown: unknown): void;
}

/**
 * Fails the member where a server has no permitted route: at once if it never had one, as no other
 * try would find one; if it had, after a while, in which the run may end by itself.
 */
export function withPatience(
  route: (server: ViewServer) => string,
  { patienceMs, nowMs, end }: RoutePatience,
): (server: ViewServer) => string {
  /** Since when there is no way; null where there is one. */
  const missingSinceMs = new Map<number, number | null>();
  return (server) => {
    const { index } = server;
    try {
      const address = route(server);
      missingSinceMs.set(index, null);
      return address;
    } catch (thrown) {
      const known = missingSinceMs.get(index);
      const sinceMs = known === undefined ? Number.NEGATIVE_INFINITY : (known ?? nowMs());
      missingSinceMs.set(index, sinceMs);
      if (nowMs() - sinceMs >= patienceMs) end(thrown);
      throw thrown;
    }
  };
}

/** Chooses for this process, and says of each server which way is taken when it is another. */
export function createRouter(
  choice: TransportChoice,
  log: (text: string) => void = () => {},
): (server: ViewServer) => string {
  const here = { machine: machineName(), canReach: isWritable };
  const taken = new Map<number, string>();
  return (server) => {
    const { address, reason } = routeTo(server, choice, here);
    if (taken.get(server.index) !== address) log(`server ${server.index}: ${reason} (${address})`);
    taken.set(server.index, address);
    return address;
  };
}

/** Host name and, where the system tells, the id of its present start: this computer's alone. */
export function machineName(): string {
  return `${hostname()} ${bootId()}`.trim();
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** Who may write to a socket's file may connect to it. */
function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

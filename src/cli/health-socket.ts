/**
 * How a process says that it lives: with --health-socket it answers on a Unix socket, a line of
 * JSON to each connection, and `paceline health` asks there. The answer comes from the thread that
 * moves the process's messages, so one that is frozen or stuck gives none. It needs neither the
 * network nor a coordinator: a worker that waits for its coordinator lives.
 */
import { connect } from "node:net";
import { PacelineError } from "../errors.js";
import { reasonOf } from "../system-reason.js";
import { pathAddress } from "../transport/addresses.js";
import { type BoundSocket, bindSocket } from "../transport/bound-socket.js";
import { isSupervised } from "./supervised.js";

/** What a process says of itself. */
export interface Health {
  readonly role: "coordinator" | "server" | "worker";
  readonly pid: number;
  /** It does its part: a coordinator takes members, a member is registered with one. */
  readonly isReady: boolean;
  /** What it does, in words. */
  readonly state: string;
}

/** The changing part of it. */
export type Life = Pick<Health, "isReady" | "state">;

/** The most bytes of an answer. */
const answerBytesMax = 4096;
/** A command that asks has so long, which is less than container engines give a check. */
const answerLimitMs = 3000;

/** Where a process answers, and what. */
export interface HealthPlace {
  /** The socket's path; nothing is answered anywhere where it is null. */
  readonly healthSocket: string | null;
  readonly role: Health["role"];
  now(): Life;
}

/**
 * Answers until the returned function is called. Members that a supervisor has started answer
 * nowhere: they have the supervisor's environment, and the socket is one.
 * @throws PacelineError "usage" where the socket can't be made, or another process answers there.
 */
export async function answerHealth({
  healthSocket,
  role,
  now,
}: HealthPlace): Promise<() => Promise<void>> {
  if (healthSocket === null || isSupervised()) return async () => {};
  const bound = await bindSocket(pathAddress(healthSocket), (socket) => {
    socket.on("error", () => socket.destroy());
    const health: Health = { role, pid: process.pid, ...now() };
    socket.end(`${JSON.stringify(health)}\n`);
  }).catch((thrown: unknown): never => {
    const found = thrown instanceof PacelineError ? thrown.message.split(";")[0] : reasonOf(thrown);
    const remedy = "give --health-socket a path in a folder that this user may write to";
    throw new PacelineError("usage", `--health-socket: ${found}; ${remedy}, or leave it out`, {
      cause: thrown,
    });
  });
  return () => closed(bound);
}

async function closed(bound: BoundSocket): Promise<void> {
  bound.destroyAll();
  await bound.release();
}

/**
 * Asks the process that answers at a path.
 * @throws PacelineError "unavailable" where none does, "timeout" where it is silent, "protocol"
 *   where something else answers.
 */
export function askHealth(path: string, limitMs = answerLimitMs): Promise<Health> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    let text = "";
    const fail = (error: PacelineError) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => {
      const silence = `the process at ${path} has not answered for ${limitMs / 1000} s`;
      fail(new PacelineError("timeout", `${silence}: it is frozen, or has no processor time`));
    }, limitMs);
    socket.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.length > answerBytesMax) fail(notHealth(path));
    });
    socket.once("error", (cause) => fail(unreachable(path, cause)));
    socket.once("end", () => {
      const health = readHealth(text);
      if (health === null) return fail(notHealth(path));
      clearTimeout(timer);
      socket.destroy();
      resolve(health);
    });
  });
}

/** Null where it is no answer. */
function readHealth(text: string): Health | null {
  try {
    const { role, pid, isReady, state } = JSON.parse(text) as Partial<Health>;
    const isRole = role === "coordinator" || role === "server" || role === "worker";
    const isPid = typeof pid === "number" && Number.isInteger(pid) && pid > 0;
    if (!isRole || !isPid || typeof isReady !== "boolean") return null;
    return typeof state === "string" && state.length <= 1000 ? { role, pid, isReady, state } : null;
  } catch {
    return null;
  }
}

function unreachable(path: string, cause: Error): PacelineError {
  const sentence = `no process answers at ${path} (${reasonOf(cause)})`;
  const remedy = "start the coordinator, server or worker with the same --health-socket";
  return new PacelineError("unavailable", `${sentence}; ${remedy}`, { cause });
}

function notHealth(path: string): PacelineError {
  const sentence = `what answers at ${path} is no process of this version of Paceline`;
  return new PacelineError("protocol", `${sentence}; give --health-socket the path of one`);
}

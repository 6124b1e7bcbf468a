/**
 * What can go wrong with a connection, in the words that every transport uses, and the one place
 * where the operating system's failures to listen and to connect become PacelineErrors.
 */
import { PacelineError } from "../errors.js";
import { reasonOf } from "../system-reason.js";

/** The other side ended the connection in good order. */
export function closedBy(peer: string): PacelineError {
  return new PacelineError("unavailable", `${peer} closed the connection`);
}

/** The connection went away. */
export function brokenWith(peer: string, cause?: NodeJS.ErrnoException): PacelineError {
  const reason = cause?.code === undefined ? "" : ` (${cause.code})`;
  return new PacelineError("unavailable", `the connection to ${peer} broke${reason}`, { cause });
}

/** The other side did not say something in time. */
export function silent(peer: string, what: string, limitMs: number): PacelineError {
  const seconds = (limitMs / 1000).toFixed(1);
  return new PacelineError("timeout", `${peer} sent no ${what} within ${seconds} s`);
}

/** The system's words for a port, or the socket file of a process, that nobody listens at. */
const refusals: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOENT"]);

/** Nobody answers at an address. */
export function unreachable(address: string, reason: string | undefined): PacelineError {
  const shown = reason === undefined ? "" : ` (${reason})`;
  const message = `${address} can't be reached${shown}; is it running and is the address right?`;
  const refused = reason !== undefined && refusals.has(reason);
  return new PacelineError("unavailable", message, { details: { address, refused } });
}

/** Why a port can't be listened on. */
export function fromListenError(
  error: NodeJS.ErrnoException,
  host: string,
  port: number,
): PacelineError {
  const cause = { cause: error };
  if (error.code === "EADDRINUSE") {
    const message = `port ${port} on ${host} is in use; choose another with --port`;
    return new PacelineError("usage", message, cause);
  }
  if (error.code === "EACCES") {
    const remedy = "choose one above 1023 with --port";
    return new PacelineError("usage", `port ${port} on ${host} is not allowed; ${remedy}`, cause);
  }
  const reason = `can't listen on ${host}, port ${port} (${reasonOf(error)})`;
  const remedy = "choose an address of this computer with --host";
  return new PacelineError("usage", `${reason}; ${remedy}`, cause);
}

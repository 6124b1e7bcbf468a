/**
 * The one place where gRPC's failures become PacelineErrors, and where PacelineErrors become gRPC
 * statuses. Between Paceline's own processes the code travels beside the
 * status in a trailer, so that nothing is lost; from others the status alone decides.
 *
 * A broken connection has many names (ECONNRESET, ECONNABORTED, EPIPE, a reset HTTP/2 stream); they
 * mean one thing and become one code, "unavailable".
 */
import type { ServiceError, StatusObject } from "@grpc/grpc-js";
import { status as grpcStatus, Metadata } from "@grpc/grpc-js";
import type { ErrorCode } from "../../errors.js";
import { errorCodes, PacelineError } from "../../errors.js";
import { closedBy, unreachable } from "../connection-errors.js";

/** The trailer that carries a PacelineError's code. */
export const codeTrailer = "paceline-code";

const brokenConnection =
  /ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|ENETRESET|EHOSTUNREACH|RST_STREAM|hang up|session/i;

const statusOfCode: Partial<Record<ErrorCode, grpcStatus>> = {
  usage: grpcStatus.INVALID_ARGUMENT,
  protocol: grpcStatus.INVALID_ARGUMENT,
  refused: grpcStatus.FAILED_PRECONDITION,
  unavailable: grpcStatus.UNAVAILABLE,
  timeout: grpcStatus.DEADLINE_EXCEEDED,
};

const codeOfStatus = new Map<number, ErrorCode>([
  [grpcStatus.CANCELLED, "unavailable"],
  [grpcStatus.UNAVAILABLE, "unavailable"],
  [grpcStatus.ABORTED, "unavailable"],
  [grpcStatus.DEADLINE_EXCEEDED, "timeout"],
  [grpcStatus.FAILED_PRECONDITION, "refused"],
  [grpcStatus.PERMISSION_DENIED, "refused"],
  [grpcStatus.UNAUTHENTICATED, "refused"],
  [grpcStatus.ALREADY_EXISTS, "refused"],
  [grpcStatus.NOT_FOUND, "refused"],
]);

/** The status that a server ends a call with because of this error. */
export function toStatus(
  error: PacelineError,
): Pick<StatusObject, "code" | "details" | "metadata"> {
  const metadata = new Metadata();
  metadata.set(codeTrailer, error.code);
  return {
    code: statusOfCode[error.code] ?? grpcStatus.INTERNAL,
    details: singleLine(error.message),
    metadata,
  };
}

/**
 * What a call's final status means for the caller; `connected` tells whether the other side had
 * answered.
 */
export function fromStatus(
  status: Pick<StatusObject, "code" | "details" | "metadata">,
  address: string,
  wanted: string,
  connected: boolean,
): PacelineError {
  const told = status.metadata?.get(codeTrailer)[0];
  if (typeof told === "string" && Object.hasOwn(errorCodes, told)) {
    return new PacelineError(told as ErrorCode, status.details, { details: { address } });
  }
  const options = { cause: status, details: { address, status: status.code } };
  if (!connected && status.code === grpcStatus.UNAVAILABLE) {
    const { message, details } = unreachableAs(address, singleLine(status.details));
    return new PacelineError("unavailable", message, {
      ...options,
      details: { ...options.details, ...details },
    });
  }
  if (status.code === grpcStatus.OK) return closedBy(address);
  if (status.code === grpcStatus.UNIMPLEMENTED) {
    const message = `${address} is not a ${wanted}; check the address`;
    return new PacelineError("protocol", message, options);
  }
  const broken = status.code === grpcStatus.INTERNAL && brokenConnection.test(status.details);
  const code = broken ? "unavailable" : (codeOfStatus.get(status.code) ?? "protocol");
  return new PacelineError(code, sentence(code, address, status.details, connected), options);
}

/** As `fromStatus`, for what a unary call's callback is given. */
export function fromServiceError(
  error: ServiceError,
  address: string,
  wanted: string,
): PacelineError {
  return fromStatus(error, address, wanted, false);
}

function sentence(code: ErrorCode, address: string, details: string, connected: boolean): string {
  const said = singleLine(details);
  if (code === "timeout") return `${address} did not answer in time; is it overloaded or cut off?`;
  if (code === "refused") return `${address} refused: ${said}`;
  if (code === "protocol") return `${address} sent an answer that the protocol forbids: ${said}`;
  if (connected) return `the connection to ${address} broke (${said})`;
  return unreachableAs(address, said).message;
}

/** With the system's word for the reason, which gRPC has in its sentence. */
function unreachableAs(address: string, said: string): PacelineError {
  return unreachable(address, /E[A-Z]{4,}/.exec(said)?.[0]);
}

function singleLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").slice(0, 1000);
}

/**
 * The one error class of Paceline. An operating failure (network, file, flag, peer) is a
 * `PacelineError` with a closed code; a bug is an assertion (see assert.ts); an expected outcome is
 * a returned value. Foreign errors are translated in one file per edge and kept as `cause`.
 */
import { systemSentence } from "./system-reason.js";

/**
 * Every code with one sentence of meaning, the exit code it ends a process with, and whether a
 * retry may help.
 */
export const errorCodes = {
  usage: {
    exitCode: 2,
    retryable: false,
    meaning: "a flag, file or value is invalid",
  },
  cluster_not_formed: {
    exitCode: 3,
    retryable: false,
    meaning: "too few members joined within the time limit",
  },
  too_few_workers: {
    exitCode: 4,
    retryable: false,
    meaning: "fewer workers remain than the minimum",
  },
  diverged: {
    exitCode: 5,
    retryable: false,
    meaning: "the loss or a gradient is not finite, or the final loss has exploded",
  },
  checkpoint: {
    exitCode: 6,
    retryable: false,
    meaning: "a checkpoint is missing, corrupt, or belongs to another model",
  },
  data: { exitCode: 7, retryable: false, meaning: "data is missing or corrupt" },
  unsaved: {
    exitCode: 8,
    retryable: false,
    meaning: "a run has ended and its last checkpoint could not be written",
  },
  unavailable: {
    exitCode: 1,
    retryable: true,
    meaning: "a peer is unreachable or the connection was lost",
  },
  timeout: { exitCode: 1, retryable: true, meaning: "a peer did not answer within the time limit" },
  refused: { exitCode: 1, retryable: false, meaning: "a peer rejected the request" },
  protocol: { exitCode: 1, retryable: false, meaning: "a peer violated the protocol" },
  storage: { exitCode: 1, retryable: false, meaning: "a file cannot be read or written" },
  member_lost: {
    exitCode: 1,
    retryable: false,
    meaning: "a member that the run depends on was lost",
  },
  memory: { exitCode: 1, retryable: false, meaning: "a process has no memory left" },
  internal: { exitCode: 1, retryable: false, meaning: "an internal error: a bug in Paceline" },
} as const;

/** One of the closed set of codes. */
export type ErrorCode = keyof typeof errorCodes;

/** The code that alone ends a process with this exit code; null where several do, or none. */
export function codeOfExit(exitCode: number | null): ErrorCode | null {
  const codes = Object.entries(errorCodes).filter(([, { exitCode: own }]) => own === exitCode);
  return codes.length === 1 ? (codes[0]![0] as ErrorCode) : null;
}

/** An operating failure. `message` is one sentence with the value and the remedy. */
export class PacelineError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PacelineError";
    this.code = code;
    this.details = options.details ?? {};
  }

  /** True when trying the same thing again may succeed. */
  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }

  /** True where nobody listens at the address that was tried, so that no process is there. */
  get nobodyListens(): boolean {
    return this.details.refused === true;
  }

  /** The process exit code that this failure ends a command with. */
  get exitCode(): number {
    return errorCodes[this.code].exitCode;
  }
}

/**
 * Wraps anything thrown into a PacelineError, "internal" unless another code is given, or "storage"
 * where the system refused something; what already is one passes through.
 */
export function toPacelineError(thrown: unknown, code?: ErrorCode): PacelineError {
  if (thrown instanceof PacelineError) return thrown;
  const refusal = systemSentence(thrown);
  if (refusal !== null) return new PacelineError(code ?? "storage", refusal, { cause: thrown });
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof RangeError && /^Array buffer allocation failed/.test(message)) {
    const remedy = "give the process more memory, or spread the run over more machines";
    return new PacelineError("memory", `${message}: ${remedy}`, { cause: thrown });
  }
  return new PacelineError(code ?? "internal", message, { cause: thrown });
}

/**
 * One failure in place of those of several alternatives, of which none has come off: what went
 * wrong with each, and each remedy once. One that no second attempt mends decides on the code.
 */
export function failureOfAll(failures: readonly PacelineError[]): PacelineError {
  const deciding = failures.find(({ retryable }) => !retryable) ?? failures.at(-1);
  if (deciding === undefined || failures.length === 1) return deciding ?? toPacelineError(null);
  const parts = failures.map(({ message }) => /^(.*?)(?:; (.*))?$/s.exec(message) ?? []);
  const texts = [...parts.map(([, what]) => what), ...parts.map(([, , remedy]) => remedy)];
  const message = [...new Set(texts)].filter((text) => text !== undefined).join("; ");
  return new PacelineError(deciding.code, message, { cause: deciding.cause });
}

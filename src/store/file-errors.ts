/** The one translator of the platform's file errors: everything the store throws passes here. */
import { PacelineError } from "../errors.js";

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space or choose another --run-dir",
  EDQUOT: "the disk quota is used up: free some space or choose another --run-dir",
  EFBIG: "the file system allows no file of this size: choose another --run-dir",
  EACCES: "permission denied: change the permissions or choose another --run-dir",
  EPERM: "the operation is not permitted: change the permissions or choose another --run-dir",
  EROFS: "the file system is read-only: choose another --run-dir",
  ENOENT: "there is no such file or folder: check the path",
  ENOTDIR: "a part of the path is a file, not a folder: check the path",
  EISDIR: "it is a folder, not a file: check the path",
  EEXIST: "it exists already: choose another name",
  ENAMETOOLONG: "the name is too long: choose a shorter --name or --run-dir",
  ENOTSUP: "the file system takes no folders there: choose another --run-dir",
  EMFILE: "too many files are open: raise the limit with ulimit -n",
  ENFILE: "too many files are open on this machine: close some programs",
  EIO: "the disk reported an error: check it or choose another --run-dir",
};

const callRemedies: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is in use: choose another --port or end what listens there",
  EADDRNOTAVAIL: "this machine has no such address: choose another --host",
  EAGAIN: "too many processes run: raise the limit with ulimit -u or lower --workers",
  ENOMEM: "memory is full: close some programs or lower --workers",
};

/**
 * A `storage` error that says what could not be done to which path, why, and what to do. `details`
 * holds `errno` (the platform's name, "" if none) and `path`. A PacelineError passes through.
 */
export function fileError(thrown: unknown, verb: string, path: string): PacelineError {
  if (thrown instanceof PacelineError) return thrown;
  const errno = errnoOf(thrown);
  const reason = remedies[errno] ?? `${messageOf(thrown)}: check the disk or choose another one`;
  return new PacelineError("storage", `can't ${verb} ${path}: ${reason}`, {
    cause: thrown,
    details: { errno, path },
  });
}

/**
 * What the system refused anywhere, as one `storage` error with the remedy; null for whatever is
 * no error of the system that a user can do something about.
 */
export function systemError(thrown: unknown): PacelineError | null {
  const errno = errnoOf(thrown);
  const reason = remedies[errno] ?? callRemedies[errno];
  if (reason === undefined) return null;
  const { syscall = "use", path = "" } = thrown as { syscall?: string; path?: string };
  const what = `can't ${syscall}${path === "" ? "" : ` ${path}`}`;
  const details = { errno, path };
  return new PacelineError("storage", `${what}: ${reason}`, { cause: thrown, details });
}

/** True for a translated error whose cause is that the path does not exist. */
export function isMissing(thrown: unknown): boolean {
  return thrown instanceof PacelineError && thrown.details.errno === "ENOENT";
}

function errnoOf(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

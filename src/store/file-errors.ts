/** The one translator of the platform's file errors: everything the store throws passes here. */
import { PacelineError } from "../errors.js";
import { errnoOf, reasonOf, systemSentence } from "../system-reason.js";

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "free some space or choose another --run-dir",
  EDQUOT: "free some space or choose another --run-dir",
  EFBIG: "choose another --run-dir",
  EACCES: "change the permissions or choose another --run-dir",
  EPERM: "change the permissions or choose another --run-dir",
  EROFS: "choose another --run-dir",
  ENOENT: "check the path",
  ENOTDIR: "check the path",
  EISDIR: "check the path",
  ELOOP: "check the path",
  EEXIST: "choose another name",
  ENAMETOOLONG: "choose a shorter --name or --run-dir",
  ENOTSUP: "choose another --run-dir",
  EMFILE: "raise the limit with ulimit -n",
  ENFILE: "close some programs",
  EIO: "check it or choose another --run-dir",
};

const callRemedies: Readonly<Record<string, string>> = {
  EADDRINUSE: "choose another --port or end what listens there",
  EADDRNOTAVAIL: "choose another --host",
  EAGAIN: "raise the limit with ulimit -u or lower --workers",
  ENOMEM: "close some programs or lower --workers",
};

/**
 * A `storage` error that says what could not be done to which path, why, and what to do. `details`
 * holds `errno` (the platform's name, "" if none) and `path`. A PacelineError passes through.
 */
export function fileError(thrown: unknown, verb: string, path: string): PacelineError {
  if (thrown instanceof PacelineError) return thrown;
  const errno = errnoOf(thrown);
  const remedy = remedies[errno] ?? "check the disk or choose another one";
  return new PacelineError("storage", `can't ${verb} ${path}: ${reasonOf(thrown)}: ${remedy}`, {
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
  const remedy = remedies[errno] ?? callRemedies[errno];
  if (remedy === undefined) return null;
  const { path = "" } = thrown as { path?: string };
  const details = { errno, path };
  const message = `${systemSentence(thrown)}: ${remedy}`;
  return new PacelineError("storage", message, { cause: thrown, details });
}

/** What a write comes to that went into a file without a name. */
export function removedError(path: string): PacelineError {
  const sentence = `${path} was removed while it was written; lines until then are lost`;
  return new PacelineError("storage", sentence, { details: { errno: "", path, removed: true } });
}

/** True for an error of `removedError`. */
export function isRemoved(thrown: unknown): boolean {
  return thrown instanceof PacelineError && thrown.details.removed === true;
}

/** True for a translated error whose cause is that the path does not exist. */
export function isMissing(thrown: unknown): boolean {
  return thrown instanceof PacelineError && thrown.details.errno === "ENOENT";
}

/** True for a translated error whose cause is that the path is another file's by now. */
export function isReplaced(thrown: unknown): boolean {
  return thrown instanceof PacelineError && thrown.details.errno === "ESTALE";
}

/** True for a translated error whose cause is that this user may not do it. */
export function isForbidden(thrown: unknown): boolean {
  return thrown instanceof PacelineError && /^E(ACCES|PERM)$/.test(String(thrown.details.errno));
}

/**
 * What the system says of a file that is there and can't be read, such as one on a bad sector; of
 * Linux also EBADMSG and EUCLEAN, by which file systems with checksums tell of damage and which
 * Node has no names for. What is wrong with the way to a file is none of them.
 */
const damages = /^(EIO|EREMOTEIO|ENODATA|EISDIR|ENOTDIR|ELOOP|Unknown system error -(74|117))$/;

/** True for a translated error whose cause is the file itself. */
export function isDamage(thrown: unknown): boolean {
  return thrown instanceof PacelineError && damages.test(String(thrown.details.errno));
}

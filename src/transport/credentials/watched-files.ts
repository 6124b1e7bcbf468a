/**
 * Files that are read again when they change: certificates, keys, the list of what is revoked, the
 * token. A change is seen by the file's time, size and inode, looked at when what they hold is
 * asked for. What can't be used when it has changed is told once, and what was read before stays
 * in use, so that a file half written or a mistake ends no run.
 */
import { lstatSync, readFileSync, statSync } from "node:fs";
import { PacelineError, toPacelineError } from "../../errors.js";
import { reasonOf } from "../../system-reason.js";

/** The most bytes of any of these files. */
const secretFileBytesMax = 1048576;

/** What files hold, as long as they hold it. */
export class WatchedFiles<Content> {
  readonly #paths: readonly string[];
  readonly #read: () => Content;
  readonly #log: (text: string) => void;
  #seen: string;
  #content: Content;

  /** Reads at once; throws what `read` throws. */
  constructor(paths: readonly string[], read: () => Content, log: (text: string) => void) {
    this.#paths = paths;
    this.#read = read;
    this.#log = log;
    this.#seen = this.#marks();
    this.#content = read();
  }

  /** What they hold. */
  present(): Content {
    const marks = this.#marks();
    if (marks === this.#seen) return this.#content;
    this.#seen = marks;
    try {
      this.#content = this.#read();
    } catch (thrown) {
      const { message } = toPacelineError(thrown);
      this.#log(`${message}; what was read before stays in use`);
    }
    return this.#content;
  }

  #marks(): string {
    return this.#paths.map(markOf).join(" ");
  }
}

/** What can't be looked at is a change as well: reading it says why. */
function markOf(path: string): string {
  try {
    const { mtimeNs, size, ino, mode } = statSync(path, { bigint: true });
    return `${mtimeNs}.${size}.${ino}.${mode}`;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code ?? "-";
  }
}

/**
 * Reads a small text file; throws "usage" with the remedy where it can't be read, or, of a secret,
 * where other users may read it too.
 */
export function readSecurityFile(path: string, what: string, isSecret: boolean): string {
  let text: string;
  try {
    const found = statSync(path);
    if (found.isDirectory()) throw usage(`${what} ${path} is a folder; give the path of a file`);
    const { mode, size, uid } = found;
    if (size > secretFileBytesMax) throw usage(`${what} ${path} has ${size} bytes: too many`);
    const user = process.getuid?.() ?? null;
    if (isSecret && user !== null && isTooOpen(mode, uid, user)) {
      const text = `0${(mode & 0o777).toString(8)}`;
      throw usage(`other users may read ${what} ${path} (mode ${text}); run chmod 600 ${path}`);
    }
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    if (thrown instanceof PacelineError) throw thrown;
    throw usage(`can't read ${what} ${path} (${reasonOf(thrown)}); is the path right?`, thrown);
  }
  return text;
}

/**
 * True where others may read, or change, a secret: users, and the file's group, unless root owns it
 * and has given it to the group that this process runs in, as container platforms mount secrets.
 */
export function isTooOpen(mode: number, owner: number, user: number): boolean {
  const ofOthers = owner === 0 && user !== 0 ? 0o037 : 0o077;
  return (mode & ofOthers) !== 0;
}

/** True where something of this name is there. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function usage(sentence: string, cause?: unknown): PacelineError {
  return new PacelineError("usage", sentence, { cause });
}

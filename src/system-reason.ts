/**
 * Errors of the operating system in words for people. Node's own texts ("ENOENT: no such file or
 * directory, open 'x'") are shown to nobody: who catches such an error says what was wanted, with
 * the path, and the remedy; the reason between them comes from here.
 */

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EADDRINUSE: "the address is in use",
  EADDRNOTAVAIL: "this machine has no such address",
  EAGAIN: "too many processes run",
  EAI_AGAIN: "its name can't be looked up at present",
  EBUSY: "another program uses it",
  ECONNREFUSED: "nobody listens there",
  ECONNRESET: "the connection broke",
  EDQUOT: "the disk quota is used up",
  EEXIST: "it exists already",
  EFBIG: "the file system allows no file of this size",
  EHOSTUNREACH: "there is no way to that machine",
  EIO: "the disk reported an error",
  EISDIR: "it is a folder, not a file",
  ELOOP: "its links lead back to themselves",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "the name is too long",
  ENETUNREACH: "there is no way to that network",
  ENFILE: "too many files are open on this machine",
  ENOENT: "there is no such file or folder",
  ENOMEM: "memory is full",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of the path is a file, not a folder",
  ENOTEMPTY: "the folder is not empty",
  ENOTFOUND: "no machine of that name is known",
  ENOTSUP: "the file system takes no folders there",
  EPERM: "the operation is not permitted",
  EPIPE: "the connection broke",
  EROFS: "the file system is read-only",
  ESTALE: "the disk across the network has lost it",
  ETIMEDOUT: "it did not answer in time",
};

const verbs: Readonly<Record<string, string>> = {
  access: "look at",
  connect: "connect to",
  copyfile: "copy",
  getaddrinfo: "find",
  listen: "listen at",
  lstat: "look at",
  mkdir: "make the folder",
  mkdtemp: "make a folder at",
  opendir: "list",
  rmdir: "remove",
  realpath: "look at",
  scandir: "list",
  spawn: "start",
  spawnSync: "start",
  stat: "look at",
  statfs: "look at",
  unlink: "remove",
};

/** Node's own codes, such as ERR_INVALID_URL, are none of the system. */
const systemCode = /^(E[A-Z0-9]+|EAI_[A-Z]+|Unknown system error .*)$/;

interface SystemError {
  readonly code: string;
  readonly message?: string;
  readonly syscall?: string;
  readonly path?: string;
  readonly address?: string;
}

/** The platform's name of an error, such as ENOENT; "" for what is no error of the system. */
export function errnoOf(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === "string" && systemCode.test(code) ? code : "";
}

/** Why the system refused something; null for what is no error of the system. */
export function systemReason(thrown: unknown): string | null {
  const errno = errnoOf(thrown);
  if (errno === "") return null;
  const known = reasons[errno];
  if (known !== undefined) return known;
  // "EXDEV: cross-device link not permitted, rename 'a' -> 'b'", "listen EINVAL: invalid argument".
  const { message = "" } = thrown as SystemError;
  const [, words = message] = /\bE[A-Z0-9]+: ([^,]+)/.exec(message) ?? [];
  return words === "" || words.startsWith(errno)
    ? `the system says ${errno}`
    : `${words} (${errno})`;
}

/** As `systemReason`, with what was done to which path; null likewise. */
export function systemSentence(thrown: unknown): string | null {
  const reason = systemReason(thrown);
  if (reason === null) return null;
  const { syscall = "", path = "", address = "" } = thrown as SystemError;
  // That of a process that can't be started has its path besides.
  const [call = ""] = syscall.split(" ");
  const verb = verbs[call] ?? (call === "" ? "use" : call);
  const what = path === "" ? address : path;
  return what === "" && call === "" ? reason : `can't ${verb} ${what || "a file"}: ${reason}`;
}

/** What is wrong, as a sentence that says what was done. */
export function sentenceOf(thrown: unknown): string {
  return systemSentence(thrown) ?? reasonOf(thrown);
}

/** What is wrong, as a part of a sentence that says what was wanted. */
export function reasonOf(thrown: unknown): string {
  return systemReason(thrown) ?? (thrown instanceof Error ? thrown.message : String(thrown));
}

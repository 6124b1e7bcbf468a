/**
 * The folder of one run, `runs/<name>/`: its resolved configuration, who takes part, what happened,
 * what was measured, the result, and the processes' logs. No run ever writes into another's folder.
 */
import { constants, existsSync } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { PacelineError, toPacelineError } from "../../errors.js";
import { fileError } from "../file-errors.js";
import {
  diskFiles,
  type Files,
  isInBucket,
  makeFolderDurably,
  wholePath,
  writeTextAtomically,
} from "../files.js";
import { type FolderLock, type ForeignLock, lockFolder, refusalOf } from "./folder-lock.js";
import { JsonLinesWriter, type LostLines } from "./json-lines.js";

/** A process of the run, as cluster.json lists it. */
export interface ClusterMember {
  readonly role: "coordinator" | "server" | "worker";
  /** Rank of a worker, index of a server, 0 for the coordinator. */
  readonly id: number;
  readonly pid: number;
  readonly host: string;
  /** Where others reach it; "" for a worker, which nobody calls. */
  readonly address: string;
  /** Where a server takes frames besides: host:port and a socket's path, "" where it does not. */
  readonly frames?: { readonly tcp: string; readonly unix: string };
}

/** Which folder is asked for. */
export interface RunDirectoryRequest {
  /** The folder of all runs, e.g. `runs`. */
  readonly root: string;
  /** The user's name for the run; null for `<stem>-001`, or the next free number. */
  readonly name: string | null;
  /** What a made-up name begins with (see `runStem`). */
  readonly stem: string;
  /** True to go on in a folder that exists under `name`. */
  readonly resuming: boolean;
  /** The text of config.yaml. */
  readonly configText: string;
  /**
   * True where the user says that a process elsewhere, which has the folder, is gone; false where
   * the user may say so, left out where nobody asks; "elected" where this process is the one to
   * write, whatever another still wants.
   */
  readonly takeOver?: boolean | "elected" | undefined;
}

const resultName = "result.json";
const nameMax = 100;
/** The longest name that file systems take. */
const nameBytesMax = 255;
const namePattern = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/** Beginning of a made-up name: `mlp-bsp-4w`. */
export function runStem(run: { model: string; mode: string; workers: number }): string {
  return `${run.model}-${run.mode}-${run.workers}w`;
}

/** The path of a process's log in the run's folder. */
export function logPathIn(path: string, role: ClusterMember["role"], id: number): string {
  return join(path, "logs", `${role}-${id}.log`);
}

/**
 * Makes (or, resuming, opens) the folder, for this process alone until it is closed. A name that is
 * taken or unfit, and a folder that another process writes into, is a `usage` error.
 */
export async function openRunDirectory(
  request: RunDirectoryRequest,
  files: Files = diskFiles,
): Promise<RunDirectory> {
  const { root, name, stem, resuming, configText } = request;
  if (name !== null) checkName(name);
  await makeFolderDurably(files, root);
  const chosen = name ?? (await claimNumbered(root, stem, files));
  const joined = join(root, chosen);
  const path = isInBucket(joined) ? wholePath(joined) : joined;
  const isMade = name === null || (await files.claimFolder(path));
  if (name !== null && !isMade && !resuming) throw taken(name, root);
  let lock: FolderLock | null = null;
  try {
    lock = await lockFolder(path, undefined, files, foreignLock(request));
    await files.makeFolder(join(path, "logs"));
    await writeTextAtomically(files, join(path, "config.yaml"), configText);
    const events = await JsonLinesWriter.open(join(path, "events.jsonl"), files);
    const metrics = await JsonLinesWriter.open(join(path, "metrics.jsonl"), files);
    await files.syncFolder(path);
    await files.syncFolder(root);
    return new RunDirectory(path, chosen, files, { lock, events, metrics });
  } catch (thrown) {
    await lock?.release();
    // An empty folder would take the name of the next try.
    if (isMade) await files.remove(path).catch(() => undefined);
    throw thrown;
  }
}

/** What happens to the lock of a process elsewhere. */
export function foreignLock({ takeOver }: Pick<RunDirectoryRequest, "takeOver">): ForeignLock {
  if (takeOver === "elected") return takeOver;
  if (takeOver === undefined) return "removed by hand";
  return takeOver ? "taken over" : "refused";
}

interface RunParts {
  readonly lock: FolderLock;
  readonly events: JsonLinesWriter;
  readonly metrics: JsonLinesWriter;
}

/**
 * An open run folder. Writes are done in the order they are asked for. One that fails ends nothing:
 * it is told once, and what the folder lacks in the end as well.
 */
export class RunDirectory {
  readonly path: string;
  readonly name: string;
  readonly #files: Files;
  readonly #parts: RunParts;
  #lastWrite: Promise<void> = Promise.resolve();
  /** By name, why a file that is replaced is not as it should be. */
  readonly #unwritten = new Map<string, string>();
  #onTrouble: (text: string) => void = () => {};

  /** Use `openRunDirectory`, which makes the folder. */
  constructor(path: string, name: string, files: Files, parts: RunParts) {
    this.path = path;
    this.name = name;
    this.#files = files;
    this.#parts = parts;
  }

  /** Has somebody told, in a sentence, of each file that can't be written. */
  tellTrouble(tell: (text: string) => void): void {
    this.#onTrouble = tell;
    for (const lines of [this.#parts.events, this.#parts.metrics]) {
      lines.onTrouble = ({ message }) => tell(`${message}; the run continues`);
    }
  }

  /** Replaces cluster.json. */
  writeCluster(members: readonly ClusterMember[]): Promise<void> {
    const rows = members.map(({ role, id, pid, host, address, frames }) =>
      JSON.stringify({ role, id, pid, host, address, frames }),
    );
    return this.#replace("cluster.json", `{"members":[\n${rows.join(",\n")}\n]}\n`);
  }

  /** Replaces result.json. */
  writeResult(result: object): Promise<void> {
    return this.#replace(resultName, `${JSON.stringify(result, null, 2)}\n`);
  }

  /** Appends a line to events.jsonl: something that happened, with its reason. */
  event(line: object): void {
    this.#parts.events.append(line);
  }

  /** Appends a line to metrics.jsonl: a step's or an epoch's numbers. */
  metric(line: object): void {
    this.#parts.metrics.append(line);
  }

  /** Appends lines to a process's log. */
  async log(role: ClusterMember["role"], id: number, lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const log = await JsonLinesWriter.open(logPathIn(this.path, role, id), this.#files);
    for (const line of lines) log.appendText(line);
    await log.close();
  }

  /**
   * Resolves when all that was handed over is with the operating system, or could not be: then to a
   * sentence for each file that lacks something. It never rejects.
   */
  async flush(): Promise<string[]> {
    const { events, metrics } = this.#parts;
    const lost = [await events.flush(), await metrics.flush()];
    await this.#lastWrite.catch(() => undefined);
    return [...lost.flatMap(lossSentence), ...this.#unwritten.values()];
  }

  /** Flushes and closes everything, as `flush` does, and gives the folder free. */
  async close(): Promise<string[]> {
    const { lock, events, metrics } = this.#parts;
    const lost = [await events.close(), await metrics.close()];
    await this.#lastWrite.catch(() => undefined);
    await lock.release();
    return [...lost.flatMap(lossSentence), ...this.#unwritten.values()];
  }

  #replace(name: string, text: string): Promise<void> {
    const path = join(this.path, name);
    const write = this.#lastWrite
      .catch(() => undefined)
      .then(() => writeTextAtomically(this.#files, path, text));
    this.#lastWrite = write;
    write.then(
      () => this.#unwritten.delete(name),
      (thrown: unknown) => {
        const { message } = toPacelineError(thrown);
        // Who writes the result waits for it, and says so.
        if (name === resultName) return;
        if (!this.#unwritten.has(name)) this.#onTrouble(message);
        this.#unwritten.set(name, `${path} is invalid: ${message}`);
      },
    );
    return write;
  }
}

function lossSentence(lost: LostLines | null): string[] {
  if (lost === null) return [];
  const { path, lines, reason } = lost;
  if (lines === 0) return [`${path} may lack its last lines: ${reason}`];
  return [`${path} lacks ${lines} line${lines === 1 ? "" : "s"}: ${reason}`];
}

/** What a run's name may be, to follow "write ". */
export const runNameWanted =
  `at most ${nameMax} letters, digits, dots, dashes and underlines, ` +
  "the first of them not a dot or dash";

/** What is wrong with the name of a run ("is not a run's name"); null when nothing is. */
export function runNameProblem(name: string): string | null {
  if (name.length > nameMax) return `has ${name.length} characters`;
  return namePattern.test(name) ? null : "can't be the name of a run's folder";
}

/**
 * Refuses what `openRunDirectory` would refuse, as far as it shows, and makes nothing.
 * @throws PacelineError `usage` for a name that is unfit or taken and a folder that is in use,
 *   `storage` where no folder can be made.
 */
export async function demandOpenable(
  { root, name, resuming }: Pick<RunDirectoryRequest, "root" | "name" | "resuming">,
  files: Files = diskFiles,
): Promise<void> {
  if (name !== null) {
    checkName(name);
    const path = join(root, name);
    const refusal = resuming ? await refusalOf(path, undefined, files) : null;
    if (refusal !== null) throw new PacelineError("usage", refusal);
    if (!resuming && (await files.list(path).catch(() => null)) !== null) throw taken(name, root);
  }
  if (isInBucket(root)) {
    // A bucket that can't be listed is told here.
    await files.list(root);
    return;
  }
  const isTooLong = resolve(root)
    .split(sep)
    .some((part) => Buffer.byteLength(part) > nameBytesMax);
  if (isTooLong) throw fileError({ code: "ENAMETOOLONG" }, "make the folder", root);
  let there = resolve(root);
  while (!existsSync(there)) there = dirname(there);
  try {
    if (!(await stat(there)).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
    await access(there, constants.W_OK | constants.X_OK);
  } catch (thrown) {
    throw fileError(thrown, "make the folder", root);
  }
}

function taken(name: string, root: string): PacelineError {
  const sentence = `--name ${name}: there is a run of that name in ${root}`;
  const remedy = `choose another name or continue that run with --resume ${name}`;
  return new PacelineError("usage", `${sentence}; ${remedy}`);
}

function checkName(name: string): void {
  const problem = runNameProblem(name);
  if (problem === null) return;
  const shown = JSON.stringify(name.slice(0, nameMax));
  throw new PacelineError("usage", `--name ${shown} ${problem}; write ${runNameWanted}`);
}

async function claimNumbered(root: string, stem: string, files: Files): Promise<string> {
  const base = stem.replace(/[^A-Za-z0-9._-]/g, "-").replace(/^[.-]+/, "") || "run";
  let highest = 0;
  for (const name of (await files.list(root)) ?? []) {
    const number = name.startsWith(`${base}-`) ? name.slice(base.length + 1) : "";
    if (/^\d{1,9}$/.test(number)) highest = Math.max(highest, Number(number));
  }
  // Another run may claim the same number in between: then the one after it is tried.
  for (;;) {
    highest += 1;
    const name = `${base}-${String(highest).padStart(3, "0")}`;
    if (await files.claimFolder(join(root, name))) return name;
  }
}

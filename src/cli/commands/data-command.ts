/** `paceline data`: which data sets there are, where they are here; get, verify and pack them. */

import { archiveOf, datasetNames, inspectDataset, isBuiltIn } from "../../data/dataset.js";
import {
  type ArchiveInspection,
  ensureArchive,
  inspectArchive,
  verifyFile,
} from "../../data/download/archive.js";
import { inMegabytes } from "../../data/download/download.js";
import {
  describeOwn,
  ensureOwn,
  findOwn,
  listOwn,
  type OwnDataset,
  verifyOwn,
} from "../../data/own-dataset.js";
import { packDataset } from "../../data/pack-dataset.js";
import { errorCodes, PacelineError, toPacelineError } from "../../errors.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { printable } from "../../report/progress.js";
import { onSignals, signalExitCode } from "../signals.js";

/** What the command reads of the options. */
export type DataOptions = Pick<ResolvedOptions, "dataDir" | "cacheDir" | "json" | "quiet">;
/** What it touches of the terminal. */
export type DataIo = Pick<CommandIo, "stdout" | "stderr">;

/** A data set as `paceline data ls --json` tells it. */
export interface ListedDataset {
  readonly name: string;
  /** Examples of the files that are here, else of the official ones. */
  readonly train: number;
  readonly test: number;
  readonly classes: number;
  readonly shape: readonly number[];
  /** The folder with its files; null where they are not here, or not all. */
  readonly path: string | null;
  /** Size of the files that are here, else of the official ones unpacked. */
  readonly bytes: number;
  /** Why files that are here can't be used. */
  readonly problem: string | null;
}

/** A data set as `paceline data verify --json` tells it. */
export interface VerifiedDataset {
  readonly name: string;
  readonly folder: string | null;
  readonly state: "right" | "not here" | "broken";
  readonly bytes: number;
  readonly files: readonly VerifiedFile[];
}

/** One of its files. */
export interface VerifiedFile {
  readonly name: string;
  /** Null when the file is not here. */
  readonly path: string | null;
  /** Null for files of one's own, which have other sums or none. */
  readonly expectedMd5: string | null;
  /** What is wrong and what to do; null when nothing is. */
  readonly problem: string | null;
}

/** Lists every data set, the built-in ones and one's own. */
export async function listData(options: DataOptions, io: DataIo): Promise<number> {
  const sets: ListedDataset[] = [];
  for (const name of datasetNames) sets.push(await listed(name, options));
  for (const own of await listOwn(options, datasetNames)) sets.push(await listedOwn(own));
  if (options.json) {
    io.stdout.write(`${JSON.stringify(sets)}\n`);
    return 0;
  }
  const rows = sets.map(({ name, train, test, classes, shape, bytes, path, problem }) => {
    const place = problem ?? path ?? "not here";
    const numbers = [train, test, classes, shape.join(" x "), inMegabytes(bytes)].map(String);
    const isKnown = classes > 0;
    return [name, ...numbers.map((text) => (isKnown ? text : "?")), place];
  });
  const titles = ["Name", "Train", "Test", "Classes", "Shape", "Size", "Where"];
  io.stdout.write(table([titles, ...rows]));
  return 0;
}

/** Gets data sets and prints the folder of each. */
export async function fetchData(
  names: readonly string[],
  options: DataOptions,
  io: DataIo,
): Promise<number> {
  if (names.length === 0) throw nameless("fetch");
  const log = options.quiet ? () => {} : (line: string) => void io.stderr.write(`${line}\n`);
  const own = new Map<string, OwnDataset>();
  for (const name of names) {
    if (!isBuiltIn(name)) own.set(name, await findOwn(name, options, datasetNames));
  }
  const fetched: { name: string; path: string; bytes: number }[] = [];
  for (const name of names) {
    const here = own.get(name);
    if (here !== undefined) {
      const { folder, bytes } = await describeOwn(await ensureOwn(here, log));
      fetched.push({ name, path: folder, bytes });
      if (!options.json) io.stdout.write(`${folder}\n`);
      continue;
    }
    await ensureArchive(archiveOf(name), { ...options, log });
    const found = await inspectArchive(archiveOf(name), options);
    const path = found.folder as string;
    fetched.push({ name, path, bytes: bytesOf(found) });
    if (!options.json) io.stdout.write(`${path}\n`);
  }
  if (options.json) io.stdout.write(`${JSON.stringify(fetched)}\n`);
  return 0;
}

/** Checks every sum of data sets; of those that are here where none is named. */
export async function verifyData(
  names: readonly string[],
  options: DataOptions,
  io: DataIo,
): Promise<number> {
  const sets: VerifiedDataset[] = [];
  const own = names.length > 0 ? [] : await listOwn(options, datasetNames);
  const chosen = names.length > 0 ? names : [...datasetNames, ...own.map(({ name }) => name)];
  for (const name of chosen) {
    const verified = isBuiltIn(name)
      ? await verifiedSet(name, options)
      : await verifiedOwn(await findOwn(name, options, datasetNames));
    if (names.length > 0 || verified.state !== "not here") sets.push(verified);
  }
  if (options.json) io.stdout.write(`${JSON.stringify(sets)}\n`);
  else io.stdout.write(sets.map(verdictLines).join(""));
  if (sets.length === 0 && !options.json) {
    io.stderr.write("no data set is here; paceline data fetch NAME gets one\n");
  }
  return sets.every(({ state }) => state === "right") ? 0 : errorCodes.data.exitCode;
}

/** Writes a data set in its sharded form and prints its folder. */
export async function packData(
  name: string,
  target: { readonly out: string; readonly shardExamples: number | null },
  options: DataOptions,
  io: DataIo,
): Promise<number> {
  const log = options.quiet ? () => {} : (line: string) => void io.stderr.write(`${line}\n`);
  const stop = new AbortController();
  const release = onSignals((signal) => stop.abort(signal));
  try {
    const { dataDir, cacheDir } = options;
    const given = { dataDir, cacheDir, log, ...target, signal: stop.signal };
    const { train, test } = await packDataset(name, given);
    const shards = train.shards.length + test.shards.length;
    const examples = train.examples + test.examples;
    log(`${name}: ${examples} examples in ${shards} shards`);
    const told = { name, path: target.out, shards, train: train.examples, test: test.examples };
    io.stdout.write(options.json ? `${JSON.stringify(told)}\n` : `${target.out}\n`);
    return 0;
  } catch (thrown) {
    if (!stop.signal.aborted) throw thrown;
    log(toPacelineError(thrown).message);
    return signalExitCode(stop.signal.reason as NodeJS.Signals);
  } finally {
    release();
  }
}

async function listedOwn(own: OwnDataset): Promise<ListedDataset> {
  const { name, folder } = own;
  try {
    const { train, test, classes, shape, bytes } = await describeOwn(own);
    return { name, train, test, classes, shape, path: folder, bytes, problem: null };
  } catch (thrown) {
    const problem = toPacelineError(thrown).message;
    return { name, train: 0, test: 0, classes: 0, shape: [], path: null, bytes: 0, problem };
  }
}

async function listed(name: string, options: DataOptions): Promise<ListedDataset> {
  const archive = archiveOf(name);
  const inspection = await inspectArchive(archive, options);
  const facts = await inspectDataset(name, options).then(
    (found) => ({ ...found, problem: null }),
    async (thrown: unknown) => ({
      ...(await inspectDataset(name, {})),
      problem: toPacelineError(thrown).message,
    }),
  );
  const { train, test, classes, shape, problem } = facts;
  const isHere = inspection.files.every(({ path }) => path !== null);
  const official = archive.files.reduce((sum, file) => sum + file.bytes, 0);
  return {
    name,
    train,
    test,
    classes,
    shape,
    path: isHere && problem === null ? inspection.folder : null,
    bytes: isHere ? bytesOf(inspection) : official,
    problem,
  };
}

async function verifiedSet(name: string, options: DataOptions): Promise<VerifiedDataset> {
  const archive = archiveOf(name);
  const inspection = await inspectArchive(archive, options);
  const { folder, isOwn } = inspection;
  const command = `paceline data fetch ${name}`;
  const files: VerifiedFile[] = [];
  for (const [index, official] of archive.files.entries()) {
    const path = inspection.files[index]?.path ?? null;
    const fault = path === null ? `${official.name} is missing` : await faultOf(path, official);
    const remedy = isOwn
      ? `replace it, or remove all files and let ${command} get them`
      : `${command} gets it again`;
    const problem = fault === null ? null : `${fault}; ${remedy}`;
    files.push({ name: official.name, path, expectedMd5: official.md5, problem });
  }
  const isAbsent = files.every(({ path }) => path === null);
  const isRight = files.every(({ problem }) => problem === null);
  const state = isRight ? "right" : isAbsent ? "not here" : "broken";
  return { name, folder: isAbsent ? null : folder, state, bytes: bytesOf(inspection), files };
}

async function verifiedOwn(own: OwnDataset): Promise<VerifiedDataset> {
  if (own.kind === "remote") {
    return { name: own.name, folder: null, state: "not here", bytes: 0, files: [] };
  }
  const { name, folder, bytes, files: found, problem } = await verifyOwn(own);
  const files = found.map((file) => ({ ...file, expectedMd5: null }));
  if (problem !== null) files.push({ name: ".", path: folder, expectedMd5: null, problem });
  const state = files.every((file) => file.problem === null) ? "right" : "broken";
  return { name, folder, state, bytes, files };
}

function verdictLines({ name, folder, state, bytes, files }: VerifiedDataset): string {
  if (state === "not here") return `${name}: not here; paceline data fetch ${name} gets it\n`;
  if (state === "right") {
    return `${name}: right, ${files.length} files (${inMegabytes(bytes)}) in ${folder}\n`;
  }
  const problems = files.flatMap(({ problem }) =>
    problem === null ? [] : [`  ${printable(problem)}\n`],
  );
  return [`${name}: BROKEN in ${folder}\n`, ...problems].join("");
}

async function faultOf(path: string, official: Parameters<typeof verifyFile>[1]) {
  try {
    return await verifyFile(path, official);
  } catch (thrown) {
    return toPacelineError(thrown).message;
  }
}

function bytesOf({ files }: ArchiveInspection): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function nameless(verb: string): PacelineError {
  const names = datasetNames.join(", ");
  const message = `paceline data ${verb} needs the name of a data set; choose among ${names}`;
  return new PacelineError("usage", message);
}

function table(given: readonly (readonly string[])[]): string {
  const rows = given.map((row) => row.map(printable));
  const widths = (rows[0] as readonly string[]).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] as string).length)),
  );
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column] as number)).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}

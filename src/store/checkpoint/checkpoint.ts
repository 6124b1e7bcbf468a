/**
 * Writes and reads one checkpoint: a folder `step-N` with the weights, the optimizer's state and
 * what workers keep of their own (worker-vectors.ts), as safetensors under the model's own tensor
 * names, and a manifest. It is written aside, made durable and renamed, so that a crash at any
 * moment leaves the earlier checkpoints and no half one.
 */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type { Layout, PlacedTensor } from "../../protocol/layout.js";
import { keptValues } from "../../protocol/local/local-state.js";
import type { ChunkMarks } from "../../protocol/messages.js";
import type { Residuals } from "../../protocol/residuals.js";
import { modelTitle, type RunSpec } from "../../protocol/run-spec.js";
import { diskFiles, type Files, type ReadableFile } from "../files.js";
import { checkpointsFolder, clearUnfinished, readManifest } from "./checkpoint-folder.js";
import {
  type CheckpointManifest,
  checkpointFormat,
  encodeManifest,
  type FileFacts,
  type JsonValue,
  type ResidualsName,
  residualRanks,
  residualsNameOf,
} from "./manifest.js";
import { readSafetensors, type TensorToWrite, writeSafetensors } from "./safetensors.js";
import { corrupt, quoted } from "./safetensors-header.js";
import { workerVectors } from "./worker-vectors.js";

/** What the caller knows of the moment that is kept; the rest of the manifest follows from it. */
export interface CheckpointFacts {
  readonly created: string;
  readonly spec: RunSpec;
  readonly globalStep: number;
  readonly examples: number;
  readonly chunks: readonly ChunkMarks[];
  readonly cursor: JsonValue;
  readonly machine: Readonly<Record<string, JsonValue>>;
}

/** All that a checkpoint is made of. */
export interface CheckpointContent {
  readonly facts: CheckpointFacts;
  readonly layout: Layout;
  /**
   * The flat vector. It and the states are read while they are written and must stay as they are.
   */
  readonly weights: Float32Array;
  /** The update rule's state vectors, each as long as the weights; none for plain SGD. */
  readonly state: readonly Float32Array[];
  /** What workers' pushes had dropped; nobody's if left out. They too are read while written. */
  readonly residuals?: readonly Residuals[];
}

/** A checkpoint in memory. */
export interface StoredCheckpoint {
  readonly manifest: CheckpointManifest;
  readonly weights: Float32Array;
  readonly state: readonly Float32Array[];
  /** By ascending rank. */
  readonly residuals: readonly Residuals[];
}

/**
 * Writes `<runDirectory>/checkpoints/step-<globalStep>` and answers with its path; one of the same
 * step is replaced. On failure a `storage` error, with the earlier checkpoints as they were.
 */
export async function writeCheckpoint(
  runDirectory: string,
  content: CheckpointContent,
  files: Files = diskFiles,
): Promise<string> {
  const { facts, layout, weights, state, residuals = [] } = content;
  assert(facts.chunks.length === layout.chunks.length, "marks for every chunk");
  for (const vector of [weights, ...state]) {
    assert(vector.length === layout.values, "vectors as long as the layout", {
      values: vector.length,
    });
  }
  const folder = checkpointsFolder(runDirectory);
  // Of two that write the same step, one of which leads no longer, neither writes into the other's.
  const aside = join(folder, `.tmp-step-${facts.globalStep}-${randomBytes(4).toString("hex")}`);
  await files.makeFolder(folder);
  await files.syncFolder(runDirectory);
  await clearUnfinished(runDirectory, files);
  try {
    await files.makeFolder(aside);
    const model = await writeTensors(files, join(aside, "model.safetensors"), {
      tensors: tensorsOf(layout, weights, ""),
      metadata: { format: "pt" },
    });
    const optimizer = await writeTensors(files, join(aside, "optimizer.safetensors"), {
      tensors: state.flatMap((vector, part) => tensorsOf(layout, vector, statePrefix(part))),
      metadata: {},
    });
    const own = { "model.safetensors": model, "optimizer.safetensors": optimizer };
    const kept: Record<ResidualsName, FileFacts> = {};
    for (const { rank, values } of residuals) {
      const name = residualsNameOf(rank);
      const whole = keptValues(facts.spec, layout);
      assert(values.length === whole, "all that a worker keeps", { rank, whole });
      const tensors = workerVectors(facts.spec, layout).flatMap((vector) => {
        const { offset, length, prefix } = vector;
        return tensorsOf(vector, values.subarray(offset, offset + length), prefix);
      });
      kept[name] = await writeTensors(files, join(aside, name), { tensors, metadata: {} });
    }
    const manifest = manifestOf(content, { ...own, ...kept });
    await writeDurably(files, join(aside, "manifest.json"), (write) =>
      write(Buffer.from(encodeManifest(manifest))),
    );
    await files.syncFolder(aside);
    return await moveIntoPlace(files, folder, aside, `step-${facts.globalStep}`);
  } catch (thrown) {
    await files.remove(aside).catch(() => undefined);
    throw thrown;
  }
}

/**
 * Reads a checkpoint's folder, checking every byte; a `checkpoint` error says what is wrong with
 * it.
 */
export async function readCheckpoint(
  path: string,
  files: Files = diskFiles,
): Promise<StoredCheckpoint> {
  const manifest = await orMissing(readManifest(path, files));
  const weights = await readWeights(path, manifest, files);
  const state = await readState(path, manifest, files);
  return { manifest, weights, state, residuals: await readResiduals(path, manifest, files) };
}

/** Reads the weights alone, checking every byte of their file as `readCheckpoint` does. */
export async function readWeights(
  path: string,
  manifest: CheckpointManifest,
  files: Files = diskFiles,
): Promise<Float32Array> {
  const name = "model.safetensors";
  const { tensors } = manifest.layout;
  const [weights] = await orMissing(
    readVectors(files, path, name, manifest, [{ prefix: "", tensors }]),
  );
  assert(weights !== undefined, "one vector for one prefix", { path });
  return weights;
}

/** Reads the update rule's state vectors, checking every byte of their file. */
export async function readState(
  path: string,
  manifest: CheckpointManifest,
  files: Files = diskFiles,
): Promise<Float32Array[]> {
  const { tensors } = manifest.layout;
  const parts = Array.from({ length: manifest.stateParts }, (_, part) => {
    return { prefix: statePrefix(part), tensors };
  });
  return orMissing(readVectors(files, path, "optimizer.safetensors", manifest, parts));
}

/** Reads what workers keep of their own, checking every byte of these files. */
export async function readResiduals(
  path: string,
  manifest: CheckpointManifest,
  files: Files = diskFiles,
): Promise<Residuals[]> {
  const parts = workerVectors(manifest.spec, manifest.layout);
  const end = Math.max(...parts.map(({ offset, length }) => offset + length));
  const residuals: Residuals[] = [];
  for (const rank of residualRanks(manifest)) {
    const name = residualsNameOf(rank);
    const vectors = await orMissing(readVectors(files, path, name, manifest, parts));
    const [only] = parts.length === 1 ? vectors : [];
    const values = only ?? new Float32Array(end);
    if (only === undefined) {
      for (const [at, vector] of vectors.entries()) values.set(vector, parts[at]!.offset);
    }
    residuals.push({ rank, values });
  }
  return residuals;
}

/** A file that is not there is the checkpoint's fault, not the disk's. */
export async function orMissing<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (thrown) {
    const { errno, path } = thrown instanceof PacelineError ? thrown.details : {};
    const problem = notAFile.get(String(errno));
    if (problem === undefined) throw thrown;
    const remedy = "choose another checkpoint";
    throw new PacelineError("checkpoint", `${path} ${problem}; ${remedy}`, { cause: thrown });
  }
}

/**
 * Refuses, with a `checkpoint` error, a checkpoint of another model than this run's, naming the
 * first tensor that differs; and one cut into other chunks, to which its marks would not fit.
 */
export function assertSameModel(manifest: CheckpointManifest, spec: RunSpec, layout: Layout): void {
  const difference = firstDifference(manifest.layout.tensors, layout.tensors);
  const step = `checkpoint of step ${manifest.globalStep}`;
  const trained = quoted(modelTitle(manifest.spec));
  if (difference !== null || manifest.spec.model !== spec.model) {
    const what = difference ?? "the tensors are alike";
    throw new PacelineError(
      "checkpoint",
      `the ${step} is of model ${trained}, this run trains ${quoted(modelTitle(spec))}: ` +
        `${what}; give the --model and --stem it was made with or another checkpoint`,
    );
  }
  const { chunkValues, fingerprint } = manifest.layout;
  if (fingerprint !== layout.fingerprint || manifest.chunks.length !== layout.chunks.length) {
    throw new PacelineError(
      "checkpoint",
      `the ${step} is cut into chunks of ${chunkValues} values, this run's have ` +
        `${spec.chunkValues}; give --chunk-values ${chunkValues}`,
    );
  }
}

/** What stands where a checkpoint's file should, by the platform's error. */
const notAFile: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "is missing"],
  ["ENOTDIR", "is missing, as its folder is a file"],
  ["EISDIR", "is a folder"],
]);

/** The state vectors are numbered from 1 in tensor names, as the chunk parts are. */
function statePrefix(part: number): string {
  return `state${part + 1}.`;
}

function tensorsOf(
  { tensors }: Pick<Layout, "tensors">,
  vector: Float32Array,
  prefix: string,
): TensorToWrite[] {
  return tensors.map(({ name, shape, offset, length }) => ({
    name: `${prefix}${name}`,
    shape,
    values: vector.subarray(offset, offset + length),
  }));
}

function manifestOf(
  { facts, layout, state }: CheckpointContent,
  files: CheckpointManifest["files"],
): CheckpointManifest {
  const { created, spec, globalStep, examples, chunks, cursor, machine } = facts;
  const { fingerprint, values, tensors } = layout;
  return {
    format: checkpointFormat,
    created,
    globalStep,
    examples,
    seed: spec.seed,
    spec,
    layout: { fingerprint, chunkValues: spec.chunkValues, values, tensors },
    stateParts: state.length,
    files,
    machine,
    cursor,
    chunks,
  };
}

async function writeTensors(
  files: Files,
  path: string,
  content: { tensors: readonly TensorToWrite[]; metadata: Record<string, string> },
): Promise<FileFacts> {
  return writeDurably(files, path, (write) =>
    writeSafetensors(write, content.tensors, content.metadata),
  );
}

async function writeDurably(
  files: Files,
  path: string,
  produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<FileFacts> {
  const hash = createHash("sha256");
  let written = 0;
  const file = await files.create(path);
  try {
    await produce(async (bytes) => {
      hash.update(bytes);
      written += bytes.byteLength;
      await file.write(bytes);
    });
    await file.sync();
  } finally {
    await file.close();
  }
  return { bytes: written, sha256: hash.digest("hex") };
}

async function moveIntoPlace(
  files: Files,
  folder: string,
  aside: string,
  name: string,
): Promise<string> {
  const path = join(folder, name);
  const old = join(folder, `.old-${name}`);
  const replaces = (await files.list(path)) !== null;
  // A folder can't be renamed onto a full one; `.old-step-N` counts as step N until this is done.
  if (replaces) await files.rename(path, old);
  try {
    await files.rename(aside, path);
  } catch (thrown) {
    if (replaces) await files.rename(old, path).catch(() => undefined);
    throw thrown;
  }
  await files.syncFolder(folder);
  if (replaces) await files.remove(old).catch(() => undefined);
  return path;
}

/** A vector of a file: the tensors that it is made of, and what stands before their names. */
interface VectorPart {
  readonly prefix: string;
  readonly tensors: readonly PlacedTensor[];
}

/**
 * Reads one file into as many vectors as it has parts, each as long as the flat vector up to the
 * last of its tensors; every tensor must be there once.
 */
async function readVectors(
  files: Files,
  folder: string,
  name: keyof CheckpointManifest["files"],
  manifest: CheckpointManifest,
  parts: readonly VectorPart[],
): Promise<Float32Array[]> {
  const path = join(folder, name);
  const lengths = parts.map(({ tensors }) =>
    tensors.reduce((end, { offset, length }) => Math.max(end, offset + length), 0),
  );
  const values = lengths.reduce((sum, length) => sum + length, 0);
  const promised = manifest.files[name];
  const file = await files.openFile(path);
  try {
    if (file.bytes !== promised.bytes) {
      throw corrupt(path, `it has ${file.bytes} bytes and ${promised.bytes} were written`);
    }
    if (values * 4 > file.bytes) {
      throw corrupt(path, `it is too short for ${values} values`);
    }
    const vectors = lengths.map((length) => new Float32Array(length));
    const places = new Map<string, { tensor: PlacedTensor; vector: Float32Array }>();
    for (const [part, { prefix, tensors }] of parts.entries()) {
      for (const tensor of tensors) {
        places.set(`${prefix}${tensor.name}`, { tensor, vector: vectors[part]! });
      }
    }
    const { source, digest } = hashed(file);
    await readSafetensors(source, path, (stored) => {
      const place = places.get(stored.name);
      places.delete(stored.name);
      const found = `${stored.kind} [${stored.shape.join(", ")}]`;
      const wanted = place && `F32 [${place.tensor.shape.join(", ")}]`;
      if (place === undefined || found !== wanted) {
        const said = `the manifest says ${wanted ?? "there is none of that name"}`;
        throw corrupt(path, `tensor ${quoted(stored.name)} is ${found} and ${said}`);
      }
      const { buffer } = place.vector;
      return new Uint8Array(buffer, place.tensor.offset * 4, stored.bytes);
    });
    const lacking = places.keys().next();
    if (!lacking.done) throw corrupt(path, `tensor ${quoted(lacking.value)} is missing`);
    const sum = digest();
    if (sum !== promised.sha256) {
      throw corrupt(path, `its SHA-256 is ${sum} and the manifest says ${promised.sha256}`);
    }
    return vectors;
  } finally {
    await file.close();
  }
}

/** Hashes what is read; reads must follow each other from the first byte to the last. */
function hashed(file: ReadableFile): { source: ReadableFile; digest: () => string } {
  const hash = createHash("sha256");
  let end = 0;
  const source: ReadableFile = {
    bytes: file.bytes,
    read: async (into, position) => {
      assert(position === end, "reads follow each other", { position, end });
      await file.read(into, position);
      hash.update(into);
      end += into.byteLength;
    },
    close: () => file.close(),
  };
  return {
    source,
    digest: () => {
      assert(end === file.bytes, "the whole file was hashed", { end, bytes: file.bytes });
      return hash.digest("hex");
    },
  };
}

function firstDifference(
  kept: readonly PlacedTensor[],
  ours: readonly PlacedTensor[],
): string | null {
  for (let index = 0; index < Math.max(kept.length, ours.length); index++) {
    const [there, here] = [describe(kept[index]), describe(ours[index])];
    if (there !== here) return `its tensor ${index} is ${there} there and ${here} here`;
  }
  return null;
}

function describe(tensor: PlacedTensor | undefined): string {
  if (tensor === undefined) return "absent";
  return `${quoted(tensor.name)} [${tensor.shape.join(", ")}] (${tensor.group})`;
}

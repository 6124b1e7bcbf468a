/**
 * A checkpoint's model as a file that other programs load: safetensors under PyTorch's names, in
 * the shapes and kinds of a `state_dict`. Counters (num_batches_tracked) become I64, which F32 is
 * inside Paceline; weights may be rounded to 16 bits, to the nearest and to even where two are as
 * near. Running statistics stay F32, as PyTorch's mixed precision has them.
 *
 * The file is written aside and renamed, so that it is whole or not there.
 */
import { basename, dirname, join } from "node:path";
import { PacelineError } from "../../errors.js";
import type { PlacedTensor } from "../../protocol/layout.js";
import { asideOf, diskFiles, type Files } from "../files.js";
import { orMissing, readWeights } from "./checkpoint.js";
import { type DemandsOf, demandOwnModel, valueFault } from "./checkpoint-check.js";
import { readManifest } from "./checkpoint-folder.js";
import { type HalfValues, type TensorToWrite, writeSafetensors } from "./safetensors.js";
import { quoted } from "./safetensors-header.js";

/** What trainable values are written as. */
export const exportKinds = ["f32", "bf16", "f16"] as const;
/** One of them. */
export type ExportKind = (typeof exportKinds)[number];

const scratch = new Float32Array(1);
const scratchWord = new Uint32Array(scratch.buffer);

/** What was written. */
export interface ExportedModel {
  readonly path: string;
  readonly bytes: number;
  readonly tensors: number;
  readonly model: string;
  readonly data: string;
  readonly step: number;
}

/** Which checkpoint goes where. */
export interface ExportRequest {
  /** A checkpoint's folder. */
  readonly path: string;
  /** The file to write; a `usage` error where there is one. */
  readonly out: string;
  readonly kind: ExportKind;
}

/**
 * Writes the file.
 * @throws PacelineError `checkpoint` for one that is broken, of another model than it says, or
 * diverged; `usage` where the file exists or a value is too large for its kind; then nothing is
 * written.
 */
export async function exportCheckpoint(
  { path, out, kind }: ExportRequest,
  demandsOf: DemandsOf,
  files: Files = diskFiles,
): Promise<ExportedModel> {
  await demandFree(out, files);
  const manifest = await orMissing(readManifest(path, files));
  demandOwnModel(manifest, path, demandsOf);
  const weights = await readWeights(path, manifest, files);
  const tensors = manifest.layout.tensors.map((tensor): TensorToWrite => {
    const values = weights.subarray(tensor.offset, tensor.offset + tensor.length);
    const fault = valueFault(tensor, values);
    if (fault !== null) {
      throw new PacelineError("checkpoint", `${path}: ${fault}; choose an earlier checkpoint`);
    }
    return { name: tensor.name, shape: tensor.shape, values: exported(tensor, values, kind) };
  });
  const { globalStep: step, spec } = manifest;
  const { model, stem, data } = spec;
  const ofStem = stem === null ? {} : { stem };
  const metadata = { format: "pt", model, ...ofStem, data, step: String(step) };
  const bytes = await writeWhole(out, files, (write) => writeSafetensors(write, tensors, metadata));
  return { path: out, bytes, tensors: tensors.length, model, data, step };
}

/**
 * f32 values as 16 bits each, rounded to the nearest, ties to even; what is too small becomes zero
 * or subnormal.
 * @param values finite.
 * @returns null where a value is too large.
 */
export function halfValues(values: Float32Array, kind: HalfValues["kind"]): HalfValues | null {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  const round = kind === "BF16" ? bfloatBits : halfBits;
  const infinity = kind === "BF16" ? 0x7f80 : 0x7c00;
  for (let index = 0; index < bits.length; index++) {
    const magnitude = round(words[index]! & 0x7fffffff);
    if (magnitude >= infinity) return null;
    bits[index] = ((words[index]! >>> 16) & 0x8000) | magnitude;
  }
  return { kind, bits };
}

function exported(
  { name, group }: PlacedTensor,
  values: Float32Array,
  kind: ExportKind,
): TensorToWrite["values"] {
  if (group === "counter") return BigInt64Array.from(values, (value) => BigInt(value));
  if (group === "buffer" || kind === "f32") return values;
  const half = halfValues(values, kind === "bf16" ? "BF16" : "F16");
  if (half !== null) return half;
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  throw new PacelineError(
    "usage",
    `tensor ${quoted(name)} holds a value of magnitude ${largest}, too large for ${kind}; ` +
      `export with --dtype ${kind === "f16" ? "bf16 or f32" : "f32"}`,
  );
}

/** A bfloat16 is the upper half of an f32. */
function bfloatBits(magnitude: number): number {
  return (magnitude + 0x7fff + ((magnitude >>> 16) & 1)) >>> 16;
}

/** IEEE 754 binary16: 5 bits of exponent, biased by 15 where f32 has 127, and 10 of fraction. */
function halfBits(magnitude: number): number {
  const smallestNormal = 0x38800000;
  const rebias = (127 - 15) << 23;
  if (magnitude >= smallestNormal) {
    return (magnitude - rebias + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
  }
  // Subnormal: a multiple of 2^-24. An addend of 2^-1 leaves the f32 sum's last bit worth that.
  scratchWord[0] = magnitude;
  scratch[0] = scratch[0]! + 0.5;
  return scratchWord[0]! - 0x3f000000;
}

async function demandFree(out: string, files: Files): Promise<void> {
  const names = await files.list(dirname(out));
  if (names === null) {
    const remedy = "make it first or choose another --out";
    throw new PacelineError("usage", `--out ${out}: there is no folder ${dirname(out)}; ${remedy}`);
  }
  if (!names.includes(basename(out))) return;
  throw new PacelineError(
    "usage",
    `--out ${out} exists, and an export replaces nothing; choose another name or remove it`,
  );
}

/** Answers with the bytes written. */
async function writeWhole(
  out: string,
  files: Files,
  produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<number> {
  await removeParts(out, files);
  const aside = asideOf(out, "part");
  let written = 0;
  try {
    const file = await files.create(aside);
    try {
      await produce(async (bytes) => {
        written += bytes.byteLength;
        await file.write(bytes);
      });
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(aside, out);
  } catch (thrown) {
    await files.remove(aside).catch(() => undefined);
    throw thrown;
  }
  await files.syncFolder(dirname(out));
  return written;
}

/** What exports to this name have left that were killed; one that is under way then fails. */
async function removeParts(out: string, files: Files): Promise<void> {
  const begins = `.${basename(out)}-`;
  for (const name of (await files.list(dirname(out))) ?? []) {
    const isLeft = name.startsWith(begins) && /^[0-9a-f]{8}\.part$/.test(name.slice(begins.length));
    if (isLeft) await files.remove(join(dirname(out), name));
  }
}

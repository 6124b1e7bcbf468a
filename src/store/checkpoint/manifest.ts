/**
 * `manifest.json` of a checkpoint: everything but the values. Its last line holds the SHA-256 of
 * all bytes before it, and it holds the SHA-256 of the other files, so any changed byte is found.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import { type Layout, parameterGroups } from "../../protocol/layout.js";
import { type ChunkMarks, pushOutcomes } from "../../protocol/messages.js";
import { type RunSpec, runSpecField } from "../../protocol/run-spec.js";
import { currentCursor } from "./cursor-names.js";
import { corrupt, quoted } from "./safetensors-header.js";

/** Raised when a manifest changes meaning. */
export const checkpointFormat = 3;
/** The largest manifest that is read. */
export const manifestBytesMax = 256 * 1024 * 1024;

/** A quoted SHA-256, a line break, a brace, a line break. */
const trailerBytes = 69;

const count = z.int().nonnegative();
const positive = z.int().positive();

const parameter = z.union([z.number(), z.string()]);
// Which parameters belong to a mode is decided by the mode when a run is resumed.
const protocol = z
  .object({ mode: z.string() })
  .catchall(z.union([parameter, z.record(z.string(), parameter)]));

// Loose: a field of a later run spec is kept, not cut off. The rest is read by the run's own table.
const runSpec = z.looseObject({ protocol }).transform((kept, context): RunSpec => {
  const reading = runSpecField.read(kept, "");
  if ("value" in reading) return { ...kept, ...reading.value };
  context.addIssue({ code: "custom", message: reading.problem });
  return z.NEVER;
});

const placedTensor = z.object({
  name: z.string(),
  shape: z.array(count),
  group: z.enum(parameterGroups),
  offset: count,
  length: count,
});

const pushCounts = z.object({
  pushes: count,
  rejected: count,
  stalenessSum: count,
  stalenessMax: count,
  stalenessCounts: z.array(count),
});

const chunkMarks = z.object({
  version: count,
  examples: count,
  sealedStep: z.int().min(-1),
  applied: z.array(
    z.object({
      rank: count,
      incarnation: count,
      step: z.int().min(-1),
      outcome: z.enum(pushOutcomes).optional(),
      scale: z.number().min(0).max(1).optional(),
      usedStep: z.int().min(-1).optional(),
    }),
  ),
  counts: pushCounts.optional(),
});

const fileFacts = z.object({ bytes: count, sha256: z.string().length(64) });

/** What is kept of one worker: its rank stands in the name. */
export type ResidualsName = `residuals-${number}.safetensors`;
const residualsName = /^residuals-(0|[1-9]\d{0,3})\.safetensors$/;

// No other name is taken: what a manifest lists is looked for in the checkpoint's own folder.
const files = z
  .object({ "model.safetensors": fileFacts, "optimizer.safetensors": fileFacts })
  .catchall(fileFacts)
  .superRefine((named, context) => {
    const own = ["model.safetensors", "optimizer.safetensors"];
    const foreign = Object.keys(named).find((name) => !own.includes(name) && !isResiduals(name));
    if (foreign === undefined) return;
    context.addIssue({ code: "custom", message: `${quoted(foreign)} is not a checkpoint file` });
  });

const manifestSchema = z.object({
  format: z.literal(checkpointFormat),
  created: z.string(),
  globalStep: count,
  examples: count,
  seed: z.number(),
  spec: runSpec,
  layout: z.object({
    fingerprint: z.string(),
    chunkValues: positive,
    values: count,
    tensors: z.array(placedTensor),
  }),
  stateParts: z.int().min(0).max(8),
  files,
  machine: z.record(z.string(), z.json()),
  cursor: z.json().transform(currentCursor),
  chunks: z.array(chunkMarks),
});

/** A JSON value: only its writer knows what it holds. */
export type JsonValue = z.infer<ReturnType<typeof z.json>>;

/** What is known of a file before it is read. */
export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
}

/** Everything a checkpoint knows besides the values. */
export interface CheckpointManifest {
  readonly format: typeof checkpointFormat;
  /** ISO 8601. */
  readonly created: string;
  readonly globalStep: number;
  /** Examples applied. */
  readonly examples: number;
  /** All that is needed of the random streams: they are named by the seed and keep no state. */
  readonly seed: number;
  readonly spec: RunSpec;
  readonly layout: Pick<Layout, "fingerprint" | "values" | "tensors"> & {
    readonly chunkValues: number;
  };
  /** How many state vectors `optimizer.safetensors` holds. */
  readonly stateParts: number;
  readonly files: Readonly<
    Record<"model.safetensors" | "optimizer.safetensors" | ResidualsName, FileFacts>
  >;
  /** What "same bits" depends on: engine, library versions, instruction set, threads. */
  readonly machine: Readonly<Record<string, JsonValue>>;
  /** Where the work stands, as the coordinator's machine describes it. */
  readonly cursor: JsonValue;
  /** Per chunk. */
  readonly chunks: readonly ChunkMarks[];
}

/**
 * The text of manifest.json, a field a line. A number that JSON can't hold in a manifest is a bug.
 */
export function encodeManifest(manifest: CheckpointManifest): string {
  const finite = (key: string, value: unknown): unknown => {
    assert(typeof value !== "number" || Number.isFinite(value), "numbers are finite", { key });
    return value;
  };
  const fields = Object.entries(manifest).map(
    ([name, value]) => ` "${name}": ${JSON.stringify(value, finite)}`,
  );
  const head = `{\n${fields.join(",\n")},\n "sha256": `;
  if (head.length > manifestBytesMax - trailerBytes) {
    throw new PacelineError(
      "storage",
      `the manifest of step ${manifest.globalStep} takes ${head.length} bytes and ` +
        `${manifestBytesMax} are allowed: raise --chunk-values ${manifest.spec.chunkValues}`,
    );
  }
  return `${head}"${sha256(head)}"\n}\n`;
}

/** Ranks of the workers whose residuals a checkpoint has, ascending. */
export function residualRanks({ files }: Pick<CheckpointManifest, "files">): number[] {
  const ranks = Object.keys(files).flatMap((name) => residualsName.exec(name)?.[1] ?? []);
  return ranks.map(Number).sort((left, right) => left - right);
}

/** Where the residuals of a worker are kept. */
export function residualsNameOf(rank: number): ResidualsName {
  return `residuals-${rank}.safetensors`;
}

/** Checks and parses manifest.json; a `checkpoint` error if a byte is not as it was written. */
export function decodeManifest(bytes: Uint8Array, path: string): CheckpointManifest {
  const headBytes = bytes.subarray(0, Math.max(0, bytes.length - trailerBytes));
  const trailer = Buffer.from(bytes.subarray(headBytes.length)).toString("latin1");
  const tail = /^"([0-9a-f]{64})"\n}\n$/.exec(trailer);
  if (tail === null) throw corrupt(path, "it does not end with its checksum");
  if (tail[1] !== sha256(headBytes)) throw corrupt(path, "its checksum does not match its content");
  let parsed: unknown;
  try {
    parsed = JSON.parse(`${Buffer.from(headBytes).toString("utf8")}""}`);
  } catch {
    throw corrupt(path, "it is not JSON");
  }
  const format = (parsed as { format?: unknown } | null)?.format;
  if (typeof format === "number" && format > checkpointFormat) {
    throw new PacelineError(
      "checkpoint",
      `${path} has format ${format} and this Paceline reads ${checkpointFormat}: update Paceline`,
    );
  }
  const checked = manifestSchema.safeParse(parsed);
  if (!checked.success) {
    const issue = checked.error.issues[0]!;
    throw corrupt(path, `${issue.path.join(".") || "manifest"}: ${issue.message}`);
  }
  const manifest: CheckpointManifest = checked.data;
  checkPlaces(manifest, path);
  return manifest;
}

/** Tensors must tile the flat vector, or reading would write outside it or leave values unset. */
function checkPlaces({ layout }: CheckpointManifest, path: string): void {
  const byOffset = [...layout.tensors].sort((a, b) => a.offset - b.offset || a.length - b.length);
  const names = new Set<string>();
  let end = 0;
  for (const { name, shape, offset, length } of byOffset) {
    const values = shape.reduce((product, extent) => product * extent, 1);
    if (offset !== end || length !== values || names.has(name)) {
      throw corrupt(path, `tensor ${quoted(name)} has no proper place in the flat vector`);
    }
    names.add(name);
    end += length;
  }
  if (end !== layout.values) {
    throw corrupt(path, `its tensors hold ${end} values and ${layout.values} are claimed`);
  }
}

function isResiduals(name: string): boolean {
  return residualsName.test(name);
}

function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * The form of `manifest.json`, and its reading. Loaded when there is one to read: zod takes a while
 * to load.
 */
import { z } from "zod";
import { PacelineError } from "../../errors.js";
import { parameterGroups } from "../../protocol/layout.js";
import { pushOutcomes } from "../../protocol/messages.js";
import { type RunSpec, runSpecField } from "../../protocol/run-spec.js";
import { isTooDeep, jsonDepthMax } from "../json-text.js";
import { currentCursor } from "./cursor-names.js";
import {
  type CheckpointManifest,
  checkpointFormat,
  isResiduals,
  sha256,
  trailerBytes,
} from "./manifest.js";
import { corrupt, quoted } from "./safetensors-header.js";

const count = z.int().nonnegative();
const positive = z.int().positive();

const parameter = z.union([z.number(), z.string()]);
/** How workers keep pace; the mode itself decides of its parameters when a run is resumed. */
export const protocolForm = z
  .object({ mode: z.string() })
  .catchall(z.union([parameter, z.record(z.string(), parameter)]));

/**
 * A run spec. A field of a later one is kept, not cut off; the rest is read by the run's own table.
 */
export const runSpecForm = z
  .looseObject({ protocol: protocolForm })
  .transform((kept, context): RunSpec => {
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
      inStep: z.int().optional(),
      usedStep: z.int().min(-1).optional(),
      used: z.int().min(0).optional(),
    }),
  ),
  counts: pushCounts.optional(),
});

const fileFacts = z.object({ bytes: count, sha256: z.string().length(64) });

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
  spec: runSpecForm,
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

/** Checks and parses manifest.json; a `checkpoint` error if a byte is not as it was written. */
export function decodeManifest(bytes: Uint8Array, path: string): CheckpointManifest {
  const headBytes = bytes.subarray(0, Math.max(0, bytes.length - trailerBytes));
  const trailer = Buffer.from(bytes.subarray(headBytes.length)).toString("latin1");
  const tail = /^"([0-9a-f]{64})"\n}\n$/.exec(trailer);
  if (tail === null) throw corrupt(path, "it does not end with its checksum");
  if (tail[1] !== sha256(headBytes)) throw corrupt(path, "its checksum does not match its content");
  const text = `${Buffer.from(headBytes).toString("utf8")}""}`;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw corrupt(path, "it is not JSON");
  }
  if (isTooDeep(text)) throw corrupt(path, `it is nested deeper than ${jsonDepthMax} levels`);
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

/** What a checkpoint is, for people and programs: its manifest, and what its values are like. */
import { basename, dirname, resolve } from "node:path";
import type { PlacedTensor } from "../protocol/layout.js";
import { servedRule } from "../protocol/local/local-steps.js";
import { modelTitle } from "../protocol/run-spec.js";
import { factsOf } from "../protocol/update-rules.js";
import {
  orMissing,
  readResiduals,
  readState,
  readWeights,
} from "../store/checkpoint/checkpoint.js";
import { type ValueFacts, valueFacts } from "../store/checkpoint/checkpoint-check.js";
import { readManifest } from "../store/checkpoint/checkpoint-folder.js";
import type { CheckpointManifest, JsonValue } from "../store/checkpoint/manifest.js";
import { workerVectors } from "../store/checkpoint/worker-vectors.js";

/** A checkpoint as `inspect --json` gives it. */
export interface Inspection extends Omit<CheckpointManifest, "chunks" | "layout"> {
  readonly path: string;
  /** The run whose folder it lies in, if any. */
  readonly run: string | null;
  /** Examples applied over those of an epoch. */
  readonly epoch: number | null;
  readonly values: number;
  readonly layout: Pick<CheckpointManifest["layout"], "fingerprint" | "chunkValues">;
  readonly chunks: {
    readonly count: number;
    readonly versionMin: number;
    readonly versionMax: number;
  };
  /** The update rule's vectors, by what the rule calls them. */
  readonly state: readonly (ValueFacts & { readonly name: string })[];
  readonly tensors: readonly (ValueFacts & PlacedTensor)[];
  /** What each worker that has any keeps: what its pushes dropped, the state of local steps. */
  readonly residuals: readonly (ValueFacts & { readonly rank: number; readonly of: string })[];
}

/** A table to show. */
export interface InspectionTable {
  readonly title: string;
  readonly titles: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Values of JSON beyond these are counted, not shown. */
const leavesMax = 40;
const listMax = 8;

/** Reads a checkpoint's folder, checking every byte; throws as `readCheckpoint` does. */
export async function inspectCheckpoint(path: string): Promise<Inspection> {
  const manifest = await orMissing(readManifest(path));
  const { chunks, layout, ...rest } = manifest;
  const weights = await orMissing(readWeights(path, manifest));
  const state = await orMissing(readState(path, manifest));
  const residuals = await orMissing(readResiduals(path, manifest));
  const names = factsOf(servedRule(manifest.spec).name).state;
  // Not by spreading: there may be more chunks than a call takes arguments.
  const versions = chunks.map(({ version }) => version);
  return {
    path,
    run: runOf(path),
    epoch: epochOf(manifest),
    ...rest,
    layout: { fingerprint: layout.fingerprint, chunkValues: layout.chunkValues },
    values: layout.values,
    chunks: {
      count: chunks.length,
      versionMin: versions.reduce((least, one) => Math.min(least, one), versions[0] ?? 0),
      versionMax: versions.reduce((most, one) => Math.max(most, one), 0),
    },
    state: state.map((vector, part) => ({
      name: names[part] ?? `part ${part + 1}`,
      ...valueFacts(vector),
    })),
    tensors: layout.tensors.map((tensor) => ({
      ...tensor,
      ...valueFacts(weights.subarray(tensor.offset, tensor.offset + tensor.length)),
    })),
    residuals: residuals.flatMap(({ rank, values }) =>
      workerVectors(manifest.spec, layout).map(({ title, offset, length }) => {
        return { rank, of: title, ...valueFacts(values.subarray(offset, offset + length)) };
      }),
    ),
  };
}

/** Examples applied over those of an epoch: 2.5 is amid the third. */
export function epochOf({ examples, spec }: CheckpointManifest): number | null {
  return spec.trainExamples === 0 ? null : examples / spec.trainExamples;
}

/** What is told first, each with its label. */
export function inspectionFacts(inspection: Inspection): [label: string, text: string][] {
  const { path, run, created, format, spec, epoch, chunks, layout, values } = inspection;
  const { classes, shape } = spec.input;
  const sizes = Object.entries(inspection.files).map(([name, { bytes }]) => `${name} ${bytes} B`);
  return [
    ["checkpoint", path],
    ["run", run ?? spec.name],
    ["written", created],
    ["format", String(format)],
    ["step", String(inspection.globalStep)],
    ["examples", String(inspection.examples)],
    ["epoch", epoch === null ? "-" : epoch.toFixed(2)],
    ["model", `${modelTitle(spec)}: ${inspection.tensors.length} tensors, ${values} values`],
    ["data", `${spec.data}: ${classes} classes, examples [${shape.join(", ")}]`],
    ["chunks", `${chunks.count} of at most ${layout.chunkValues} values`],
    ["versions", `${chunks.versionMin} to ${chunks.versionMax} updates of a chunk`],
    ["files", sizes.join(", ")],
  ];
}

/** What is told after that. */
export function inspectionTables(inspection: Inspection): InspectionTable[] {
  const { input, ...options } = inspection.spec;
  const facts = ["Min", "Mean", "Max", "Norm"];
  const pairs = (title: string, value: unknown): InspectionTable => ({
    title,
    titles: ["What", "Value"],
    rows: leaves(value as JsonValue),
  });
  return [
    pairs("Input", input),
    pairs("Options", options),
    {
      title: "Tensors",
      titles: ["Name", "Shape", "Group", ...facts],
      rows: inspection.tensors.map((tensor) => {
        const shape = `[${tensor.shape.join(", ")}]`;
        return [tensor.name, shape, tensor.group, ...factTexts(tensor)];
      }),
    },
    {
      title: `State of ${servedRule(inspection.spec).name}`,
      titles: ["Part", ...facts],
      rows: inspection.state.map((part) => [part.name, ...factTexts(part)]),
    },
    ...(inspection.residuals.length === 0 ? [] : [residualsTable(inspection)]),
    pairs("Position in the work", inspection.cursor),
    pairs("Written on", inspection.machine),
  ];
}

function residualsTable({ residuals }: Inspection): InspectionTable {
  return {
    title: "Kept by workers",
    titles: ["Worker", "What", "Min", "Mean", "Max", "Norm"],
    rows: residuals.map((one) => [String(one.rank), one.of, ...factTexts(one)]),
  };
}

/** The run that a checkpoint's folder lies in. */
function runOf(path: string): string | null {
  const parent = dirname(resolve(path));
  return basename(parent) === "checkpoints" ? basename(dirname(parent)) : null;
}

function factTexts({ min, mean, max, norm, nonFinite }: ValueFacts): string[] {
  if (nonFinite > 0) return ["-", "-", "-", `${nonFinite} not finite`];
  return [min, mean, max, norm].map((value) =>
    value === null ? "-" : String(Number(value.toPrecision(5))),
  );
}

/**
 * A row for each value in JSON, with the names that lead to it, and for each flat object in a list;
 * long lists are counted only.
 */
function leaves(value: JsonValue): [name: string, text: string][] {
  const found: [string, string][] = [];
  const visit = (name: string, part: JsonValue, isListed: boolean): void => {
    if (part === null || typeof part !== "object") {
      found.push([name, scalarText(part)]);
    } else if (Array.isArray(part) && part.length > listMax) {
      found.push([name, `${part.length} entries`]);
    } else if (Array.isArray(part) && part.every(isScalar)) {
      found.push([name, part.map(scalarText).join(", ") || "none"]);
    } else if (isListed && Object.values(part).every(isScalar)) {
      const fields = Object.entries(part).map(([key, one]) => `${key} ${scalarText(one)}`);
      found.push([name, fields.join(", ")]);
    } else {
      for (const [key, inner] of Object.entries(part)) {
        visit(name ? `${name}.${key}` : key, inner, Array.isArray(part));
      }
    }
  };
  visit("", value, false);
  if (found.length <= leavesMax) return found;
  const rest: [string, string] = ["...", `${found.length - leavesMax} more; --json has them all`];
  return [...found.slice(0, leavesMax), rest];
}

function isScalar(value: JsonValue): boolean {
  return value === null || typeof value !== "object";
}

function scalarText(value: JsonValue): string {
  const text = value === null ? "none" : String(value);
  // Options are short as they were written; what was measured is not.
  const isLong = typeof value === "number" && !Number.isInteger(value) && text.length > 12;
  return isLong ? String(Number(value.toPrecision(6))) : text;
}

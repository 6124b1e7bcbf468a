/**
 * `manifest.json` of a checkpoint: everything but the values. Its last line holds the SHA-256 of
 * all bytes before it, and it holds the SHA-256 of the other files, so any changed byte is found.
 */
import { createHash } from "node:crypto";
import type { z } from "zod";
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type { Layout } from "../../protocol/layout.js";
import type { ChunkMarks } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";

/** Raised when a manifest changes meaning. */
export const checkpointFormat = 3;
/** The largest manifest that is read. */
export const manifestBytesMax = 256 * 1024 * 1024;

/** A quoted SHA-256, a line break, a brace, a line break. */
export const trailerBytes = 69;

/** What is kept of one worker: its rank stands in the name. */
export type ResidualsName = `residuals-${number}.safetensors`;
const residualsName = /^residuals-(0|[1-9]\d{0,3})\.safetensors$/;

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

/** True for the name of a file with residuals. */
export function isResiduals(name: string): boolean {
  return residualsName.test(name);
}

/** As hexadecimal digits. */
export function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

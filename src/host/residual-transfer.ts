/**
 * A worker's way with residuals, and with what the rule of local steps keeps: gives them to the
 * coordinator at a checkpoint's barrier, and in a resumed run has its own sent. A chunk travels at
 * a time and the next one when that has arrived, so that no second copy of them all is ever made.
 */

import { PacelineError, toPacelineError } from "../errors.js";
import { compressionTitle, keepsResiduals } from "../protocol/compression.js";
import type { Layout } from "../protocol/layout.js";
import { localPieces } from "../protocol/local/local-state.js";
import { localStepsOf } from "../protocol/local/local-steps.js";
import { weightValues } from "../protocol/residuals.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { MemberSession } from "./session/member-session.js";

/** What came of giving: in how many chunks, and "" or why the coordinator can't have them. */
export interface Giving {
  readonly chunks: number;
  readonly problem: string;
}

/** Gives residuals, by chunk, for this barrier; nothing of it is thrown. */
export async function giveResiduals(
  session: MemberSession | null,
  { run, barrier }: { readonly run: string; readonly barrier: number },
  residuals: ReadonlyMap<number, Float32Array>,
): Promise<Giving> {
  try {
    for (const [chunk, { buffer, byteOffset, byteLength }] of residuals) {
      const values = new Uint8Array(buffer, byteOffset, byteLength);
      await session?.keepResidual({ run, barrier, chunk, values });
    }
    return { chunks: residuals.size, problem: "" };
  } catch (thrown) {
    return { chunks: 0, problem: toPacelineError(thrown).message };
  }
}

/** Where a worker's residuals come from, and what they are to lie in. */
export interface InheritanceParts {
  readonly session: MemberSession | null;
  readonly spec: RunSpec;
  readonly layout: Layout;
  /** Memory for so many values, as long as the run. */
  allocate(values: number): Float32Array;
  /** Where the rule of local steps has its state; left out where it has none. */
  readonly kept: Float32Array | undefined;
  log(text: string): void;
}

/**
 * Has the worker's residuals sent, by chunk. None where the run keeps none, which is then said.
 * @throws PacelineError where they can't be had.
 */
export async function inheritResiduals({
  session,
  spec,
  layout,
  allocate,
  kept,
  log,
}: InheritanceParts): Promise<Map<number, Float32Array>> {
  const inherited = new Map<number, Float32Array>();
  await inheritLocalState({ session, spec, layout, kept, log });
  const chunks = layout.chunks.filter(({ group }) => group === "weight");
  if (!keepsResiduals(spec.compression)) {
    const title = compressionTitle(spec.compression.push);
    const way = spec.compression.feedback ? title : `${title} without error feedback`;
    const held = `${chunks.length} chunks (${weightValues(layout)} values)`;
    if (localStepsOf(spec) === null)
      log(`residuals of ${held} in the checkpoint are dropped: pushes are sent as ${way}`);
    return inherited;
  }
  for (const { index, length } of chunks) {
    if (session === null) break;
    const values = allocate(length);
    await readInto(values, session, spec.run, index);
    inherited.set(index, values);
  }
  return inherited;
}

async function inheritLocalState({
  session,
  spec,
  layout,
  kept,
  log,
}: Omit<InheritanceParts, "allocate">): Promise<void> {
  if (session === null || kept === undefined) return;
  for (const [chunk, values] of piecesOf(kept, { spec, layout })) {
    await readInto(values, session, spec.run, chunk);
  }
  const rule = spec.updateRule.name;
  if (kept.length > 0) log(`state of ${rule} for local steps (${kept.length} values) is restored`);
}

/** What the rule of local steps keeps, by the number under which each piece travels. */
export function piecesOf(
  kept: Float32Array | undefined,
  { spec, layout }: Pick<InheritanceParts, "spec" | "layout">,
): Map<number, Float32Array> {
  const start = weightValues(layout);
  const pieces = kept === undefined ? [] : localPieces(spec, layout);
  return new Map(
    pieces.map(({ chunk, offset, length }) => {
      return [chunk, kept!.subarray(offset - start, offset - start + length)];
    }),
  );
}

async function readInto(
  values: Float32Array,
  session: MemberSession,
  run: string,
  chunk: number,
): Promise<void> {
  const bytes = await session.readResidual({ run, chunk });
  if (bytes.length !== values.byteLength) {
    const sizes = `${bytes.length} bytes instead of ${values.byteLength}`;
    throw new PacelineError("protocol", `residual of chunk ${chunk} has ${sizes}`);
  }
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(bytes);
}

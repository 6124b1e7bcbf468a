/**
 * Why a server takes a chunk message not at all (its shape is wrong) or not now (its tags don't fit
 * the view), each with a sentence that holds the numbers. What comes from the network is judged
 * here before anything else looks at it.
 */
import { shownId, termOf } from "../../protocol/ids.js";
import type { Layout } from "../../protocol/layout.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { type View, workerOfRank } from "../../protocol/view.js";

/** How many bytes so many values may take, both bounds included. */
export type PayloadSizes = (values: number) => { readonly min: number; readonly max: number };

/** Values as they are. */
export const rawSizes: PayloadSizes = (values) => ({ min: values * 4, max: values * 4 });

/** Why a message can't be taken in at all, before memory is given to it; null when it can. */
export function shapeObjection(
  spec: RunSpec,
  layout: Layout,
  header: ChunkHeader,
  payloadBytes: number,
  sizes: PayloadSizes,
): string | null {
  const chunk = layout.chunks[header.chunk];
  if (chunk === undefined) {
    return `chunk ${header.chunk} does not exist: the model has ${layout.chunks.length}`;
  }
  if (header.run !== spec.run) return `run ${header.run} is not served here`;
  const isBare = header.examples === 0 || header.scale === 0;
  const empty = header.kind === "push" ? isBare : header.kind !== "load";
  const { min, max } = empty ? rawSizes(0) : sizes(chunk.length);
  if (payloadBytes < min || payloadBytes > max) {
    const what = `${header.kind} of chunk ${header.chunk}`;
    const expected = min === max ? `${max}` : `${min} to ${max}`;
    return `${what} has ${payloadBytes} bytes instead of ${expected}`;
  }
  if (header.kind === "push" && (header.step < 0 || header.examples < 0)) {
    return `push has step ${header.step} and ${header.examples} examples`;
  }
  return null;
}

/** Why a worker's tags don't fit the view held; "early" when a view that is yet to come may fit. */
export function viewObjection(view: View | null, header: ChunkHeader): string | null {
  if (view === null || header.fence > view.number) return "early";
  const { rank, incarnation, step } = header;
  const term = termOf(view.number);
  if (header.term < term) return `term ${header.term} is out of date: this is term ${term}`;
  if (header.generation !== view.generation) {
    const present = `this is generation ${view.generation}`;
    return `generation ${header.generation} has been rolled back: ${present}`;
  }
  const fence = view.fences[header.chunk] ?? 0;
  if (header.fence < fence) {
    const changed = `its primary changed in view ${shownId(fence)}`;
    const asked = `view ${shownId(header.fence)} is out of date for chunk ${header.chunk}`;
    return `${asked}: ${changed}`;
  }
  const worker = workerOfRank(view, rank);
  if (worker === undefined || worker.incarnation !== incarnation) {
    const life = `worker ${rank} of incarnation ${shownId(incarnation)}`;
    return `${life} is not in view ${shownId(view.number)}`;
  }
  if (header.kind === "push" && step < worker.fromStep) {
    return `step ${step} is before worker ${rank}'s first step ${worker.fromStep}`;
  }
  return null;
}

/**
 * How a model's tensors lie in one flat vector of f32 values, and how that vector is cut into
 * chunks.
 *
 * Tensors of the same parameter group lie together (weights, then biases and norms, then buffers,
 * then counters), each group in the model's own order, so that no chunk spans two groups.
 * Boundaries depend on the tensors and `chunkValues` only: every process that knows both computes
 * the same layout.
 */
import { assert } from "../assert.js";
import { isRobust, type Reduce } from "./reduction.js";
import { sha256Hex } from "./sha256.js";

/**
 * The groups, in the order in which they lie in the flat vector. "weight" and "plain" tensors have
 * gradients; weight decay may differ between them. A "buffer" is a moving mean of what batches
 * measure (BatchNorm's running statistics), a "counter" a whole number that each update raises by
 * one (num_batches_tracked).
 */
export const parameterGroups = ["weight", "plain", "buffer", "counter"] as const;
/** One of the groups. */
export type ParameterGroup = (typeof parameterGroups)[number];

/**
 * How a group's contributions become one: those of batches' statistics never by a sum, and a
 * counter is none of values.
 */
export function reduceOf(group: ParameterGroup, reduce: Reduce): Reduce {
  if (group === "counter") return "mean";
  return group === "buffer" && !isRobust(reduce) ? "mean" : reduce;
}

/** A named tensor of a model. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly group: ParameterGroup;
}

/** A tensor and its place in the flat vector, in values. */
export interface PlacedTensor extends TensorSpec {
  readonly offset: number;
  readonly length: number;
}

/** Where a chunk lies in the flat vector, in values. */
export interface PlacedChunk {
  readonly offset: number;
  readonly length: number;
  readonly group: ParameterGroup;
}

/** A run of consecutive values of one group; the unit of placement, transfer and replication. */
export interface Chunk extends PlacedChunk {
  readonly index: number;
  /**
   * Ring key: `<tensor>.<offset in the tensor>` of the first value, without the offset for a tensor
   * of one value.
   */
  readonly key: string;
}

/** What lies where in the flat vector. */
export interface ModelLayout {
  /** In the model's own order. */
  readonly tensors: readonly PlacedTensor[];
  readonly chunks: readonly PlacedChunk[];
}

/** The whole flat vector. */
export interface Layout extends ModelLayout {
  readonly chunks: readonly Chunk[];
  /** Length of the flat vector. */
  readonly values: number;
  /** Equal for equal tensors and chunk size; compared when a worker says it is ready. */
  readonly fingerprint: string;
}

/** The most values a chunk may hold: 1 MiB of f32. */
export const chunkValuesMax = 262144;

/** Lays tensors out and cuts the vector into chunks of at most `chunkValues` values. */
export function layOut(tensors: readonly TensorSpec[], chunkValues: number): Layout {
  assert(chunkValues >= 1 && chunkValues <= chunkValuesMax, "chunk size in range", { chunkValues });
  const offsets = new Map<string, number>();
  const chunks: Chunk[] = [];
  let end = 0;
  for (const group of parameterGroups) {
    const members = tensors.filter((tensor) => tensor.group === group);
    const start = end;
    for (const tensor of members) {
      assert(!offsets.has(tensor.name), "tensor names are unique", { name: tensor.name });
      offsets.set(tensor.name, end);
      end += valueCount(tensor.shape);
    }
    for (let offset = start; offset < end; offset += chunkValues) {
      const length = Math.min(chunkValues, end - offset);
      const key = chunkKey(members, offsets, offset);
      chunks.push({ index: chunks.length, key, offset, length, group });
    }
  }
  const placed = tensors.map((tensor) => ({
    ...tensor,
    offset: offsets.get(tensor.name) as number,
    length: valueCount(tensor.shape),
  }));
  const description = placed.map((t) => `${t.name}:${t.shape.join("x")}:${t.group}`).join(",");
  const fingerprint = sha256Hex(`${description}/${chunkValues}`).slice(0, 16);
  return { tensors: placed, chunks, values: end, fingerprint };
}

/** Number of values in a tensor of this shape; a scalar has one. */
export function valueCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

function chunkKey(
  members: readonly TensorSpec[],
  offsets: ReadonlyMap<string, number>,
  offset: number,
): string {
  for (const tensor of members) {
    const within = offset - (offsets.get(tensor.name) as number);
    const length = valueCount(tensor.shape);
    if (within >= 0 && within < length)
      return length === 1 ? tensor.name : `${tensor.name}.${within}`;
  }
  throw new Error(`assertion failed: no tensor holds value ${offset}`);
}

/**
 * The first difference between two models' tensors, as what is said of the one found; null if there
 * is none.
 */
export function tensorDifference(
  expected: readonly TensorSpec[],
  found: readonly TensorSpec[],
): string | null {
  for (let index = 0; index < Math.max(expected.length, found.length); index++) {
    const left = expected[index];
    const right = found[index];
    if (left === undefined) return `it has ${right!.name}, which the run's has not`;
    if (right === undefined) return `it lacks ${left.name}`;
    const wanted = `${left.name} ${left.shape.join("x")} (${left.group})`;
    const had = `${right.name} ${right.shape.join("x")} (${right.group})`;
    if (wanted !== had) return `it has ${had} where the run's has ${wanted}`;
  }
  return null;
}

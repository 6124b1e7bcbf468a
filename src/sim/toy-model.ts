/**
 * The model that simulated workers train: a few values of every group, whose gradients are a
 * function of the examples and of all parameters. So whatever reaches a worker wrong or late, or a
 * server twice, shows in the bits of everything that follows.
 */
import { assert } from "../assert.js";
import type { StepRange } from "../protocol/examples.js";
import { type Layout, layOut, type TensorSpec } from "../protocol/layout.js";
import {
  type LocalMoment,
  localBatches,
  localStepsOf,
  scheduledRate,
} from "../protocol/local/local-steps.js";
import type { Range } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";

function layer(inputs: number, outputs: number): readonly TensorSpec[] {
  return [
    { name: "layer.weight", shape: [inputs, outputs], group: "weight" },
    { name: "layer.bias", shape: [outputs], group: "plain" },
  ];
}

function statistics(outputs: number): readonly TensorSpec[] {
  return [
    { name: "norm.running_mean", shape: [outputs], group: "buffer" },
    { name: "norm.num_batches_tracked", shape: [], group: "counter" },
  ];
}

/** The model, and the same with values that no gradient moves. */
export const toyModels = ["toy", "toy-norm"] as const;
/** The same with some thousand values. */
export const wideModels = ["toy-wide", "toy-wide-norm"] as const;

/** How a model lies in chunks. */
export function toyLayout({ model, chunkValues }: Pick<RunSpec, "model" | "chunkValues">): Layout {
  const isWide = wideModels.some((name) => name === model);
  const [inputs, outputs] = isWide ? [64, 48] : [4, 3];
  const hasNorm = model === toyModels[1] || model === wideModels[1];
  const further = hasNorm ? statistics(outputs) : [];
  return layOut([...layer(inputs, outputs), ...further], chunkValues);
}

/** The weights that training begins with. */
export function toyWeights({ values }: Layout): Float32Array {
  return Float32Array.from({ length: values }, (_, index) => Math.sin(index + 1) * 2);
}

/** What the gradients of one step depend on besides the parameters. */
export interface ToyBatch {
  readonly seed: number;
  readonly epoch: number;
  readonly range: Range;
}

/** What an example, at its place in an epoch, pulls the parameters towards. */
function targetOf({ seed, epoch, range }: ToyBatch): number {
  let sum = 0;
  for (let position = range.start; position < range.end; position++) {
    sum += ((position * 7 + epoch * 13 + seed) % 17) / 17;
  }
  return sum / (range.end - range.start);
}

/**
 * Writes the mean gradient over a batch; answers with what each of its examples costs. Workers that
 * keep step have the same parameters one after the other, so that most of it is computed once.
 */
export function toyGradient(
  batch: ToyBatch,
  parameters: Float32Array,
  gradients: Float32Array,
): number {
  const target = targetOf(batch);
  const loss = toyLoss(parameters);
  const waves = wavesOf(loss, gradients.length);
  for (let index = 0; index < gradients.length; index++) {
    const pull = parameters[index]! - target * (1 + index / 10);
    gradients[index] = pull * 0.5 + waves[index]!;
  }
  return loss;
}

/** What a step depends on besides the parameters, where it is made of local steps. */
export interface LocalToyStep {
  readonly spec: RunSpec;
  readonly about: StepRange;
  readonly moment: LocalMoment;
}

/** Writes the difference that local steps of plain descent make. */
export function toyDifference(
  { spec, about, moment }: LocalToyStep,
  parameters: Float32Array,
  differences: Float32Array,
): void {
  const local = moment.inner ?? localStepsOf(spec);
  assert(local !== null, "the step is made of local steps");
  const { lrFactor = 1 } = moment.inner ?? {};
  const own = parameters.slice();
  const gradients = new Float32Array(own.length);
  for (const { epoch, range } of localBatches(about, local, spec.batchSize)) {
    const done = range.start - about.range.start;
    const examples = moment.examples + moment.partners * done;
    const lr = scheduledRate(spec, { ...moment, examples }) * lrFactor;
    toyGradient({ seed: spec.seed, epoch, range }, own, gradients);
    for (let index = 0; index < own.length; index++) own[index]! -= lr * gradients[index]!;
  }
  for (let index = 0; index < own.length; index++)
    differences[index] = parameters[index]! - own[index]!;
}

let wavesBefore = { loss: Number.NaN, values: new Float64Array() };

/** What a loss adds to each gradient. */
function wavesOf(loss: number, count: number): Float64Array {
  if (wavesBefore.loss !== loss || wavesBefore.values.length < count) {
    const values = new Float64Array(count);
    for (let index = 0; index < count; index++) values[index] = Math.sin(loss + index) * 0.1;
    wavesBefore = { loss, values };
  }
  return wavesBefore.values;
}

let lossBefore = { parameters: new Float32Array(), loss: 0 };

/** What each example costs under these parameters: they tell which parameters it was asked of. */
export function toyLoss(parameters: Float32Array): number {
  if (hasBits(lossBefore.parameters, parameters)) return lossBefore.loss;
  let loss = 0;
  for (let index = 0; index < parameters.length; index++) {
    loss += Math.tanh(parameters[index]! * 0.25) * (1 + (index % 5));
  }
  lossBefore = { parameters: parameters.slice(), loss };
  return loss;
}

function hasBits(left: Float32Array, right: Float32Array): boolean {
  return left.length === right.length && Buffer.compare(bytesOf(left), bytesOf(right)) === 0;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** A number for the exact bits of some values. */
export function digestOf(values: Float32Array): number {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let hash = 0x811c9dc5;
  for (let index = 0; index < words.length; index++) {
    hash = Math.imul(hash ^ words[index]!, 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}

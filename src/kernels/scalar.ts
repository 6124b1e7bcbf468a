/**
 * The scalar kernels, the obvious loops in TypeScript: the definition of every bit, the oracle for
 * faster implementations and the fallback where those can't run.
 *
 * Every f32 operation is written as `fround` of an f64 operation on f32 operands. For +, -, *, /
 * and sqrt that equals the f32 operation, since 53 bits are at least 2 * 24 + 2 (Figueroa 1995),
 * denormals included. A value stored into the arena is rounded by the store.
 *
 * Invariant: no result depends on where slots lie, nor on whether weights are written in place.
 */
import { isRobust, type Reduce, trimmedAtEnds } from "../protocol/reduction.js";
import type { Arena } from "./arena.js";
import type { FoldInput, Kernels } from "./kernels.js";
import { checkSlots, countedInputs, stateSlots } from "./slot-rules.js";
import { sortByExchanges } from "./sorting-network.js";
import type { UpdateName, UpdateScalars } from "./update-rule.js";

const fround = Math.fround;

/** The scalar kernels over one arena. */
export function createScalarKernels(arena: Arena): Kernels {
  return {
    name: "scalar",
    fold(out, inputs, length, reduce) {
      const counted = countedInputs(out, inputs).map(({ offset, examples }) => ({
        examples,
        values: arena.view(offset, length),
      }));
      const sum = arena.view(out, length);
      fold(sum, counted, reduce);
      return finite(sum);
    },
    update(scalars, slots) {
      checkSlots(scalars, slots);
      const { length } = slots;
      const from = arena.view(slots.weightsIn, length);
      const to = arena.view(slots.weightsOut, length);
      const gradient = arena.view(slots.gradient, length);
      const states = stateSlots(scalars, slots).map((slot) => arena.view(slot, length));
      loops[scalars.name](scalars, from, to, gradient, ...states);
    },
    finite(offset, length) {
      return finite(arena.view(offset, length));
    },
    copy(from, to, length) {
      arena.view(to, length).set(arena.view(from, length));
    },
    fill(offset, length, value) {
      arena.view(offset, length).fill(value);
    },
  };
}

/** One update of `to`, from `from` and a gradient, with the parts of the state that it keeps. */
type Loop = (
  scalars: UpdateScalars,
  from: Float32Array,
  to: Float32Array,
  gradient: Float32Array,
  ...states: Float32Array[]
) => void;

const loops: Readonly<Record<UpdateName, Loop>> = {
  blend,
  count,
  sgd,
  momentum,
  nesterov,
  adam,
  adamw: adam,
};

interface Contribution {
  readonly examples: FoldInput["examples"];
  readonly values: Float32Array;
}

function fold(out: Float32Array, inputs: readonly Contribution[], reduce: Reduce): void {
  const first = inputs[0];
  if (first === undefined) {
    out.fill(0);
    return;
  }
  if (isRobust(reduce)) {
    foldMiddle(out, inputs, reduce);
    return;
  }
  const mean = reduce === "mean";
  let examples = 0;
  for (const input of inputs) {
    const factor = mean ? fround(input.examples) : 1;
    if (input === first) scaleInto(out, input.values, factor);
    else addScaled(out, input.values, factor);
    examples += input.examples;
  }
  if (mean) scaleInto(out, out, fround(1 / examples));
}

/** The plain mean of what is in the middle, once all is in order. */
function foldMiddle(out: Float32Array, inputs: readonly Contribution[], reduce: Reduce): void {
  const count = inputs.length;
  sortByExchanges(count, (low, high) => exchange(inputs[low]!.values, inputs[high]!.values));
  const trimmed = trimmedAtEnds(reduce, count);
  const middle = inputs.slice(trimmed, count - trimmed);
  middle.forEach(({ values }, index) => {
    if (index === 0) scaleInto(out, values, 1);
    else addScaled(out, values, 1);
  });
  scaleInto(out, out, fround(1 / middle.length));
}

/** Puts each pair of values in order, by their bits: numbers would make all NaN one. */
function exchange(low: Float32Array, high: Float32Array): void {
  const [left, right] = [low, high].map(
    ({ buffer, byteOffset, length }) => new Int32Array(buffer, byteOffset, length),
  ) as [Int32Array, Int32Array];
  for (let index = 0; index < left.length; index++) {
    const [one, other] = [left[index]!, right[index]!];
    if (keyOf(one) <= keyOf(other)) continue;
    left[index] = other;
    right[index] = one;
  }
}

/** Of an f32's bits a number that orders like it. */
function keyOf(bits: number): number {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

/** out = factor * x. */
function scaleInto(out: Float32Array, x: Float32Array, factor: number): void {
  for (let index = 0; index < out.length; index++) out[index] = factor * x[index]!;
}

/** out = out + factor * x. */
function addScaled(out: Float32Array, x: Float32Array, factor: number): void {
  for (let index = 0; index < out.length; index++) {
    out[index] = out[index]! + fround(factor * x[index]!);
  }
}

/** w <- w - lr * (s * g + d * w), per value; s is the scale, d the weight decay. */
function sgd(scalars: UpdateScalars, from: Float32Array, to: Float32Array, g: Float32Array): void {
  const { lr, scale, weightDecay } = scalars;
  for (let index = 0; index < to.length; index++) {
    const w = from[index]!;
    const step = fround(fround(scale * g[index]!) + fround(weightDecay * w));
    to[index] = w - fround(lr * step);
  }
}

/**
 * b <- mu * b + (s * g + d * w); w <- w - lr * b. With b = 0 the first b is the gradient, as in
 * PyTorch.
 */
function momentum(
  scalars: UpdateScalars,
  from: Float32Array,
  to: Float32Array,
  g: Float32Array,
  buffer: Float32Array,
): void {
  const { lr, scale, weightDecay, momentum } = scalars;
  for (let index = 0; index < to.length; index++) {
    const w = from[index]!;
    const step = fround(fround(scale * g[index]!) + fround(weightDecay * w));
    const b = fround(fround(momentum * buffer[index]!) + step);
    buffer[index] = b;
    to[index] = w - fround(lr * b);
  }
}

/** b as in momentum; w <- w - lr * ((s * g + d * w) + mu * b), Nesterov's form in PyTorch. */
function nesterov(
  scalars: UpdateScalars,
  from: Float32Array,
  to: Float32Array,
  g: Float32Array,
  buffer: Float32Array,
): void {
  const { lr, scale, weightDecay, momentum } = scalars;
  for (let index = 0; index < to.length; index++) {
    const w = from[index]!;
    const step = fround(fround(scale * g[index]!) + fround(weightDecay * w));
    const b = fround(fround(momentum * buffer[index]!) + step);
    buffer[index] = b;
    to[index] = w - fround(lr * fround(step + fround(momentum * b)));
  }
}

/**
 * Kingma and Ba 2015, algorithm 1, with PyTorch's placing of epsilon; adamw shrinks the weight
 * first (Loshchilov and Hutter 2019, algorithm 2), adam adds d * w to the gradient. m <- b1 * m +
 * (1 - b1) * u; v <- b2 * v + (1 - b2) * u * u; w <- w - ((lr / (1 - b1^t)) * m) / (sqrt(v) /
 * sqrt(1 - b2^t) + epsilon).
 */
function adam(
  scalars: UpdateScalars,
  from: Float32Array,
  to: Float32Array,
  g: Float32Array,
  first: Float32Array,
  second: Float32Array,
): void {
  const { scale, weightDecay, shrink, beta1, rest1, beta2, rest2 } = scalars;
  const { epsilon, stepSize, rootCorrection } = scalars;
  for (let index = 0; index < to.length; index++) {
    const w = fround(shrink * from[index]!);
    const u = fround(fround(scale * g[index]!) + fround(weightDecay * w));
    const m = fround(fround(beta1 * first[index]!) + fround(rest1 * u));
    const v = fround(fround(beta2 * second[index]!) + fround(fround(rest2 * u) * u));
    first[index] = m;
    second[index] = v;
    const root = fround(fround(fround(Math.sqrt(v)) * rootCorrection) + epsilon);
    to[index] = w - fround(fround(stepSize * m) / root);
  }
}

/** b <- (1 - m) * b + m * s, with the batch's statistic s where a gradient would be. */
function blend(
  { beta1, rest1 }: UpdateScalars,
  from: Float32Array,
  to: Float32Array,
  statistic: Float32Array,
): void {
  for (let index = 0; index < to.length; index++) {
    to[index] = fround(beta1 * from[index]!) + fround(rest1 * statistic[index]!);
  }
}

/** c <- c + 1, exact up to 2^24. */
function count(_scalars: UpdateScalars, from: Float32Array, to: Float32Array): void {
  for (let index = 0; index < to.length; index++) to[index] = from[index]! + 1;
}

/** An f32 is finite unless all its exponent bits are set. */
function finite(values: Float32Array): boolean {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let index = 0; index < bits.length; index++) {
    if ((bits[index]! & 0x7f800000) === 0x7f800000) return false;
  }
  return true;
}

/**
 * Adam and AdamW in one pass over weights, gradient and both moments. The equations and their
 * order of rounding are those of src/kernels/scalar.ts.
 */
import { loadUpTo, storeUpTo } from "./lanes";

@inline
function blended(a: v128, x: v128, b: v128, y: v128): v128 {
  return f32x4.add(f32x4.mul(a, x), f32x4.mul(b, y));
}

/** b2 * v + ((1 - b2) * u) * u */
@inline
function secondOf(beta2: v128, v: v128, rest2: v128, u: v128): v128 {
  return f32x4.add(f32x4.mul(beta2, v), f32x4.mul(f32x4.mul(rest2, u), u));
}

/** w - (stepSize * m) / (sqrt(v) * rootCorrection + epsilon) */
@inline
function stepped(w: v128, stepSize: v128, m: v128, v: v128, correction: v128, epsilon: v128): v128 {
  const root = f32x4.add(f32x4.mul(f32x4.sqrt(v), correction), epsilon);
  return f32x4.sub(w, f32x4.div(f32x4.mul(stepSize, m), root));
}

export function adam(
  from: usize,
  to: usize,
  gradient: usize,
  first: usize,
  second: usize,
  length: i32,
  scale: f32,
  decay: f32,
  shrink: f32,
  beta1: f32,
  rest1: f32,
  beta2: f32,
  rest2: f32,
  epsilon: f32,
  stepSize: f32,
  correction: f32,
): void {
  const scales = f32x4.splat(scale);
  const decays = f32x4.splat(decay);
  const shrinks = f32x4.splat(shrink);
  const beta1s = f32x4.splat(beta1);
  const rest1s = f32x4.splat(rest1);
  const beta2s = f32x4.splat(beta2);
  const rest2s = f32x4.splat(rest2);
  const epsilons = f32x4.splat(epsilon);
  const steps = f32x4.splat(stepSize);
  const corrections = f32x4.splat(correction);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at < whole; at += 16) {
    const w = f32x4.mul(shrinks, v128.load(from + at));
    const u = blended(scales, v128.load(gradient + at), decays, w);
    const m = blended(beta1s, v128.load(first + at), rest1s, u);
    const v = secondOf(beta2s, v128.load(second + at), rest2s, u);
    v128.store(first + at, m);
    v128.store(second + at, v);
    v128.store(to + at, stepped(w, steps, m, v, corrections, epsilons));
  }
  if (rest == 0) return;
  const w = f32x4.mul(shrinks, loadUpTo(from + at, rest));
  const u = blended(scales, loadUpTo(gradient + at, rest), decays, w);
  const m = blended(beta1s, loadUpTo(first + at, rest), rest1s, u);
  const v = secondOf(beta2s, loadUpTo(second + at, rest), rest2s, u);
  storeUpTo(first + at, m, rest);
  storeUpTo(second + at, v, rest);
  storeUpTo(to + at, stepped(w, steps, m, v, corrections, epsilons), rest);
}

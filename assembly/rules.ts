/**
 * The update rules, each in one pass over weights, gradient and state. Addresses are bytes, lengths
 * values; the equations and their order of rounding are those of src/kernels/scalar.ts.
 */
import { loadUpTo, storeUpTo } from "./lanes";

/** s * g + d * w */
@inline
function stepOf(w: v128, g: v128, scale: v128, decay: v128): v128 {
  return f32x4.add(f32x4.mul(scale, g), f32x4.mul(decay, w));
}

@inline
function minusScaled(w: v128, lr: v128, step: v128): v128 {
  return f32x4.sub(w, f32x4.mul(lr, step));
}

@inline
function blended(a: v128, x: v128, b: v128, y: v128): v128 {
  return f32x4.add(f32x4.mul(a, x), f32x4.mul(b, y));
}

export function sgd(
  from: usize,
  to: usize,
  gradient: usize,
  length: i32,
  lr: f32,
  scale: f32,
  decay: f32,
): void {
  const lrs = f32x4.splat(lr);
  const scales = f32x4.splat(scale);
  const decays = f32x4.splat(decay);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at < whole; at += 16) {
    const w = v128.load(from + at);
    const step = stepOf(w, v128.load(gradient + at), scales, decays);
    v128.store(to + at, minusScaled(w, lrs, step));
  }
  if (rest == 0) return;
  const w = loadUpTo(from + at, rest);
  const step = stepOf(w, loadUpTo(gradient + at, rest), scales, decays);
  storeUpTo(to + at, minusScaled(w, lrs, step), rest);
}

/** One vector of `momentum`. */
@inline
function momentumAt(
  from: usize,
  to: usize,
  gradient: usize,
  buffer: usize,
  lrs: v128,
  scales: v128,
  decays: v128,
  mus: v128,
): void {
  const w = v128.load(from);
  const step = stepOf(w, v128.load(gradient), scales, decays);
  const b = f32x4.add(f32x4.mul(mus, v128.load(buffer)), step);
  v128.store(buffer, b);
  v128.store(to, minusScaled(w, lrs, b));
}

export function momentum(
  from: usize,
  to: usize,
  gradient: usize,
  buffer: usize,
  length: i32,
  lr: f32,
  scale: f32,
  decay: f32,
  mu: f32,
): void {
  const lrs = f32x4.splat(lr);
  const scales = f32x4.splat(scale);
  const decays = f32x4.splat(decay);
  const mus = f32x4.splat(mu);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at + 32 <= whole; at += 32) {
    momentumAt(from + at, to + at, gradient + at, buffer + at, lrs, scales, decays, mus);
    const next = at + 16;
    momentumAt(from + next, to + next, gradient + next, buffer + next, lrs, scales, decays, mus);
  }
  if (at < whole) {
    momentumAt(from + at, to + at, gradient + at, buffer + at, lrs, scales, decays, mus);
    at += 16;
  }
  if (rest == 0) return;
  const w = loadUpTo(from + at, rest);
  const step = stepOf(w, loadUpTo(gradient + at, rest), scales, decays);
  const b = f32x4.add(f32x4.mul(mus, loadUpTo(buffer + at, rest)), step);
  storeUpTo(buffer + at, b, rest);
  storeUpTo(to + at, minusScaled(w, lrs, b), rest);
}

/** One vector of `nesterov`. */
@inline
function nesterovAt(
  from: usize,
  to: usize,
  gradient: usize,
  buffer: usize,
  lrs: v128,
  scales: v128,
  decays: v128,
  mus: v128,
): void {
  const w = v128.load(from);
  const step = stepOf(w, v128.load(gradient), scales, decays);
  const b = f32x4.add(f32x4.mul(mus, v128.load(buffer)), step);
  v128.store(buffer, b);
  v128.store(to, minusScaled(w, lrs, f32x4.add(step, f32x4.mul(mus, b))));
}

export function nesterov(
  from: usize,
  to: usize,
  gradient: usize,
  buffer: usize,
  length: i32,
  lr: f32,
  scale: f32,
  decay: f32,
  mu: f32,
): void {
  const lrs = f32x4.splat(lr);
  const scales = f32x4.splat(scale);
  const decays = f32x4.splat(decay);
  const mus = f32x4.splat(mu);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at + 32 <= whole; at += 32) {
    nesterovAt(from + at, to + at, gradient + at, buffer + at, lrs, scales, decays, mus);
    const next = at + 16;
    nesterovAt(from + next, to + next, gradient + next, buffer + next, lrs, scales, decays, mus);
  }
  if (at < whole) {
    nesterovAt(from + at, to + at, gradient + at, buffer + at, lrs, scales, decays, mus);
    at += 16;
  }
  if (rest == 0) return;
  const w = loadUpTo(from + at, rest);
  const step = stepOf(w, loadUpTo(gradient + at, rest), scales, decays);
  const b = f32x4.add(f32x4.mul(mus, loadUpTo(buffer + at, rest)), step);
  storeUpTo(buffer + at, b, rest);
  storeUpTo(to + at, minusScaled(w, lrs, f32x4.add(step, f32x4.mul(mus, b))), rest);
}

/** b <- kept * b + rest * statistic, for what no optimizer moves. */
export function blend(
  from: usize,
  to: usize,
  statistic: usize,
  length: i32,
  kept: f32,
  share: f32,
): void {
  const kepts = f32x4.splat(kept);
  const shares = f32x4.splat(share);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at < whole; at += 16) {
    const value = blended(kepts, v128.load(from + at), shares, v128.load(statistic + at));
    v128.store(to + at, value);
  }
  if (rest == 0) return;
  const b = loadUpTo(from + at, rest);
  storeUpTo(to + at, blended(kepts, b, shares, loadUpTo(statistic + at, rest)), rest);
}

/** c <- c + 1. */
export function count(from: usize, to: usize, length: i32): void {
  const one = f32x4.splat(1);
  const whole = <usize>(length & ~3) << 2;
  const rest = (length & 3) << 2;
  let at: usize = 0;
  for (; at < whole; at += 16) v128.store(to + at, f32x4.add(v128.load(from + at), one));
  if (rest != 0) storeUpTo(to + at, f32x4.add(loadUpTo(from + at, rest), one), rest);
}

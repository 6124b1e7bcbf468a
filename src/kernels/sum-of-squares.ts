/**
 * The sum of the squares of f32 values, added in f64: for measuring, never part of a result. A
 * square of an f32 value is exact in f64; four sums go side by side, so that no addition waits for
 * the one before, and are added in the end.
 */

/** Sums over all values; 0 of none. */
export function sumOfSquares(values: Float32Array): number {
  const whole = values.length - (values.length % 4);
  let [first, second, third, fourth] = [0, 0, 0, 0];
  for (let index = 0; index < whole; index += 4) {
    first += values[index]! * values[index]!;
    second += values[index + 1]! * values[index + 1]!;
    third += values[index + 2]! * values[index + 2]!;
    fourth += values[index + 3]! * values[index + 3]!;
  }
  let rest = 0;
  for (let index = whole; index < values.length; index++) rest += values[index]! * values[index]!;
  return first + second + (third + fourth) + rest;
}

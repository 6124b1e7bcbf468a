import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../../random.js";
import { valuesIn } from "../layer-kind.js";
import { type ConvolutionPlace, placeOf } from "./algorithms.js";
import { Argument, type Dnnl, Query } from "./dnnl.js";
import { type JoinedPictures, joinedCell, joinedPictures, writeJoined } from "./joined-pictures.js";
import { openDnnl } from "./library.js";
import { ProgramBuilder } from "./program.js";
import { ProgramMemory } from "./program-memory.js";

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;

type Geometry = readonly [
  n: number,
  channels: number,
  outputs: number,
  size: readonly [number, number],
  kernel: readonly [number, number],
  stride: readonly [number, number],
  padding: readonly [number, number],
];

function place([n, channels, outputs, size, kernel, stride, padding]: Geometry): ConvolutionPlace {
  const layer = { kind: "conv2d", outputs, kernel, stride, padding } as const;
  return placeOf(layer, [channels, ...size], { n, type: "f32" });
}

/** The gradient of the weights for random values, with the pictures joined or not. */
function weightsGradient(library: Dnnl, of: ConvolutionPlace, isJoined: boolean): Float32Array {
  const builder = new ProgramBuilder(library);
  const joined = joinedPictures(of);
  assert.ok(joined !== null);
  const arrays = (["source", "result"] as const).map((name) => {
    const pictures = joined[name];
    const random = new Random(7, name);
    const values = new Float32Array(valuesIn(pictures.extents)).map(() => random.normal());
    const plain = builder.fixed(values, builder.plain(pictures.extents, "f32"));
    return { name, pictures, plain };
  });
  const [source, result] = arrays.map(({ name, pictures, plain }) =>
    isJoined ? joinedCell(builder, name, pictures) : plain,
  );
  const extents = [of.outputs, of.channels, ...of.kernel];
  const shape = {
    ...({ algorithm: "direct", bias: null, stride: of.stride, padding: of.padding } as const),
    ...{ source: source!.format, result: result!.format },
    weights: builder.any(extents, "f32"),
  };
  const forward = builder.described("convolution", library.convolution(true, shape));
  const backward = builder.described(
    "gradient",
    library.convolutionBackwardWeights(shape, forward),
  );
  const write = (what: string, index: 0 | 1) => {
    const { plain, pictures } = arrays[index]!;
    const to = [source, result][index]!;
    writeJoined(builder, what, plain, to, pictures as JoinedPictures);
  };
  if (isJoined) {
    write("source", 0);
    write("result", 1);
  }
  const blocked = builder.cell(builder.formatOf(backward, Query.weightsGradient));
  builder.execute("gradient", backward, [
    [Argument.source, source!],
    [Argument.resultGradient, result!],
    [Argument.weightsGradient, blocked],
  ]);
  const gradient = new Float32Array(valuesIn(extents));
  builder.copy("from blocks", blocked, builder.fixed(gradient, builder.plain(extents, "f32")));
  const program = builder.finish();
  const memory = new ProgramMemory(library);
  memory.reserve(program.bytes);
  program.attach(memory);
  // Twice, since what stands between the pictures has to be there the next time as well.
  for (let time = 0; time < 2; time++) program.run(0, program.operations.length, null);
  program.close();
  memory.release();
  return gradient;
}

function randomGeometries(count: number): Geometry[] {
  const random = new Random(23, "joined pictures");
  const between = (low: number, high: number) => low + random.below(high - low + 1);
  return Array.from({ length: count }, () => {
    const two = (low: number, high: number) => [between(low, high), between(low, high)] as const;
    const counts = [between(2, 40), between(1, 40), between(1, 40)] as const;
    return [...counts, two(5, 12), two(1, 5), two(1, 3), two(0, 2)];
  });
}

const known: readonly Geometry[] = [
  [64, 32, 48, [4, 4], [3, 3], [1, 1], [1, 1]],
  [64, 32, 16, [8, 8], [3, 3], [2, 2], [1, 1]],
  [64, 16, 32, [8, 8], [1, 1], [2, 2], [0, 0]],
  [17, 16, 16, [16, 16], [3, 3], [1, 1], [1, 1]],
  [6, 3, 8, [14, 14], [7, 7], [2, 2], [3, 3]],
];

describe("joined pictures", { skip }, () => {
  for (const geometry of [...known, ...randomGeometries(30)]) {
    const of = place(geometry);
    const title = `${geometry.join(" ")} has the gradient that apart pictures have`;
    if (joinedPictures(of) === null) continue;
    test(title, () => {
      const [wanted, found] = [false, true].map((isJoined) =>
        weightsGradient(opened.dnnl as Dnnl, of, isJoined),
      ) as [Float32Array, Float32Array];
      const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const apart = wanted.reduce(
        (most, value, at) => Math.max(most, Math.abs(value - found[at]!)),
        0,
      );
      assert.ok(apart <= 1e-4 * largest, `${apart} of ${largest}`);
    });
  }
});

test("rows are wide, hold whole batches, and are made of narrow pictures only", () => {
  const joined = (n: number, size: number) =>
    joinedPictures(place([n, 64, 64, [size, size], [3, 3], [1, 1], [1, 1]]));
  assert.deepEqual([joined(64, 4)?.source.pictures, joined(64, 4)?.source.apart], [64, 5]);
  assert.deepEqual([joined(64, 8)?.source.pictures, joined(64, 16)?.source.pictures], [32, 16]);
  assert.equal(joined(7, 4)?.source.pictures, 7);
  assert.equal(joined(1, 4), null);
  assert.equal(joined(64, 32), null);
});

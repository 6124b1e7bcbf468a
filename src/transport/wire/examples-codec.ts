/**
 * Requests for examples and blocks of them <-> bytes, and how an answer is cut into blocks: each at
 * most 1 MiB, every one saying what the whole is, labels and values in their order.
 *
 * Invariant: as in session-codec.ts, decoding validates and throws only "protocol" errors. Whether
 * the examples are those of the run is for the worker to judge.
 */
import type { Examples, ExamplesBlock, ExamplesRequest } from "../../protocol/examples.js";
import type { FieldCodec } from "./field-codec.js";
import { list, record, small, text, whole, word } from "./field-codec.js";
import type * as wire from "./generated-coordinator.js";
import * as schemas from "./generated-coordinator.js";
import {
  blockLabelsMax,
  blockValueBytesMax,
  dimensionsMax,
  nameBytesMax,
  runBytesMax,
} from "./limits.js";
import { bytesCodec } from "./session-codec.js";

/** Requests for examples. */
export const examplesRequestBytes = bytesCodec<ExamplesRequest, wire.ReadExamplesRequest>(
  schemas.ReadExamplesRequestSchema,
  record<ExamplesRequest, wire.ReadExamplesRequest>(
    schemas.ReadExamplesRequestSchema,
    {
      run: text(runBytesMax),
      split: word("train", "test"),
      epoch: whole(),
      start: whole(),
      end: whole(),
    },
    ({ start, end }) => (start <= end ? null : `${start} to ${end} is not a range`),
  ),
);

const labelList = list(small(0, 2147483647), blockLabelsMax);
const labelArray: FieldCodec<Int32Array, number[]> = {
  toWire: (labels) => [...labels],
  fromWire: (labels, path) => Int32Array.from(labelList.fromWire(labels, path)),
};

const bytes: FieldCodec<Uint8Array, Uint8Array> = {
  toWire: (values) => values,
  fromWire: (values) => values,
};

/** Blocks of examples. Their memory is that of the message. */
export const examplesBlockBytes = bytesCodec<ExamplesBlock, wire.ExamplesBlock>(
  schemas.ExamplesBlockSchema,
  record<ExamplesBlock, wire.ExamplesBlock>(schemas.ExamplesBlockSchema, {
    count: small(),
    shape: list(small(), dimensionsMax),
    dtype: text(nameBytesMax),
    labels: labelArray,
    values: bytes,
  }),
);

/** Cuts examples into blocks, one at least; the blocks refer to their memory. */
export function* blocksOf({ shape, dtype, labels, values }: Examples): Generator<ExamplesBlock> {
  const count = labels.length;
  let label = 0;
  let value = 0;
  do {
    yield {
      count,
      shape,
      dtype,
      labels: labels.subarray(label, label + blockLabelsMax),
      values: values.subarray(value, value + blockValueBytesMax),
    };
    label += blockLabelsMax;
    value += blockValueBytesMax;
  } while (label < count || value < values.length);
}

/**
 * oneDNN's C interface of version 2 (libdnnl.so.2): formats are structures of the caller's, and a
 * primitive is described in two calls, one that fills an operation's structure and one that looks
 * for an implementation.
 *
 * The structures are never read but for a format's own bytes, which are copied. Their sizes are
 * those of the headers of 2.6.3 on 64-bit platforms; the interface is stable from 2.0 on.
 */

import type { Pointer, Signature } from "../ffi/foreign.js";
import {
  Calls,
  extentsOf,
  type LibraryParts,
  pointer,
  sharedSignatures,
  stridesOf,
  values,
} from "./calls.js";
import type {
  ConvolutionShape,
  DataType,
  Description,
  Dnnl,
  Extents,
  MemoryFormat,
  NormalisationShape,
  PoolShape,
  ProductShape,
  Slide,
} from "./dnnl.js";

const { types: dataTypes, anyTag, training, inference, backward } = values;
const { algorithms, pools, reluFromResult, addition, givenStatistics } = values;
/** sizeof(dnnl_memory_desc_t). */
const formatBytes = 696;
/** The largest operation in use, dnnl_convolution_desc_t, has 5,976 bytes. */
const operationBytes = 8192;

const relu = 0x1f;
const fusedRelu = 0x4;
const scaleAndShift = 0x8 | 0x10;

/** The functions of version 2 beside the shared ones. */
export const signaturesV2: Readonly<Record<string, Signature>> = {
  ...sharedSignatures,
  dnnl_post_ops_append_eltwise: "ipfiff",
  dnnl_memory_desc_init_by_strides: "ipipip",
  dnnl_memory_desc_init_by_tag: "ipipii",
  dnnl_primitive_desc_create: "ippppp",
  dnnl_convolution_forward_desc_init: "ipiippppppp",
  dnnl_convolution_backward_data_desc_init: "ipipppppp",
  dnnl_convolution_backward_weights_desc_init: "ipippppppp",
  dnnl_batch_normalization_forward_desc_init: "ipipfu",
  dnnl_batch_normalization_backward_desc_init: "ipippfu",
  dnnl_eltwise_forward_desc_init: "ipiipff",
  dnnl_eltwise_backward_desc_init: "ipippff",
  dnnl_pooling_forward_desc_init: "ipiipppppp",
  dnnl_pooling_backward_desc_init: "ipipppppp",
  dnnl_inner_product_forward_desc_init: "ipipppp",
  dnnl_inner_product_backward_data_desc_init: "ipppp",
  dnnl_inner_product_backward_weights_desc_init: "ippppp",
  dnnl_binary_desc_init: "ipippp",
};

/** The library through its interface of version 2. */
export class DnnlV2 extends Calls implements Dnnl {
  readonly abi = 2;
  readonly #operation = new Uint8Array(new ArrayBuffer(operationBytes));

  constructor(parts: LibraryParts) {
    super(parts, relu);
  }

  plain(extents: Extents, type: DataType): MemoryFormat {
    return this.strided(extents, stridesOf(extents), type);
  }

  strided(extents: Extents, strides: readonly number[], type: DataType): MemoryFormat {
    const given = extentsOf(strides);
    return this.#filled("dnnl_memory_desc_init_by_strides", extents, type, given);
  }

  any(extents: Extents, type: DataType): MemoryFormat {
    return this.#filled("dnnl_memory_desc_init_by_tag", extents, type, anyTag);
  }

  convolution(isTraining: boolean, shape: ConvolutionShape): Description | null {
    const { algorithm, source, weights, bias, result } = shape;
    return this.#describe(
      null,
      "dnnl_convolution_forward_desc_init",
      isTraining ? training : inference,
      algorithms[algorithm],
      ...[source, weights, bias, result].map(pointer),
      ...window(shape),
    );
  }

  convolutionBackwardData(shape: ConvolutionShape, forward: Description): Description | null {
    const { algorithm, source, weights, result } = shape;
    return this.#describe(
      forward,
      "dnnl_convolution_backward_data_desc_init",
      algorithms[algorithm],
      ...[source, weights, result].map(pointer),
      ...window(shape),
    );
  }

  convolutionBackwardWeights(shape: ConvolutionShape, forward: Description): Description | null {
    const { algorithm, source, weights, bias, result } = shape;
    return this.#describe(
      forward,
      "dnnl_convolution_backward_weights_desc_init",
      algorithms[algorithm],
      ...[source, weights, bias, result].map(pointer),
      ...window(shape),
    );
  }

  normalisation(isTraining: boolean, shape: NormalisationShape): Description | null {
    const { data, epsilon } = shape;
    const init = "dnnl_batch_normalization_forward_desc_init";
    const direction = isTraining ? training : inference;
    const flags = normalisationFlags(shape) | (isTraining ? 0 : givenStatistics);
    return this.#describe(null, init, direction, pointer(data), epsilon, flags);
  }

  normalisationBackward(
    shape: NormalisationShape,
    gradient: MemoryFormat,
    forward: Description,
  ): Description | null {
    const init = "dnnl_batch_normalization_backward_desc_init";
    const formats = [gradient, shape.data].map(pointer);
    const flags = normalisationFlags(shape);
    return this.#describe(forward, init, backward, ...formats, shape.epsilon, flags);
  }

  relu(data: MemoryFormat): Description | null {
    const init = "dnnl_eltwise_forward_desc_init";
    return this.#describe(null, init, training, reluFromResult, pointer(data), 0, 0);
  }

  reluBackward(
    data: MemoryFormat,
    gradient: MemoryFormat,
    forward: Description,
  ): Description | null {
    const init = "dnnl_eltwise_backward_desc_init";
    const formats = [gradient, data].map(pointer);
    return this.#describe(forward, init, reluFromResult, ...formats, 0, 0);
  }

  pool(isTraining: boolean, shape: PoolShape): Description | null {
    return this.#describe(
      null,
      "dnnl_pooling_forward_desc_init",
      isTraining ? training : inference,
      pools[shape.pool],
      ...poolFormats(shape),
    );
  }

  poolBackward(shape: PoolShape, forward: Description): Description | null {
    const init = "dnnl_pooling_backward_desc_init";
    return this.#describe(forward, init, pools[shape.pool], ...poolFormats(shape));
  }

  product(isTraining: boolean, { source, weights, bias, result }: ProductShape) {
    const init = "dnnl_inner_product_forward_desc_init";
    const formats = [source, weights, bias, result].map(pointer);
    return this.#describe(null, init, isTraining ? training : inference, ...formats);
  }

  productBackwardData({ source, weights, result }: ProductShape, forward: Description) {
    const init = "dnnl_inner_product_backward_data_desc_init";
    return this.#describe(forward, init, ...[source, weights, result].map(pointer));
  }

  productBackwardWeights(shape: ProductShape, forward: Description): Description | null {
    const { source, weights, bias, result } = shape;
    const init = "dnnl_inner_product_backward_weights_desc_init";
    return this.#describe(forward, init, ...[source, weights, bias, result].map(pointer));
  }

  add(data: MemoryFormat, withRelu: boolean): Description | null {
    const format = pointer(data);
    this.call("dnnl_binary_desc_init", this.#operation, addition, format, format, format);
    return this.#create(withRelu ? this.attributesWithRelu : this.attributes, null);
  }

  destroyFormat(): void {}

  protected adopted(pointer: bigint): MemoryFormat {
    if (pointer === 0n) return { native: new Uint8Array(new ArrayBuffer(formatBytes)), bytes: 0 };
    return this.#measured(this.foreign.bytesAt(pointer, formatBytes));
  }

  protected appendRelu(operations: bigint, algorithm: number): void {
    this.call("dnnl_post_ops_append_eltwise", operations, 1, algorithm, 0, 0);
  }

  #filled(init: string, extents: Extents, type: DataType, last: Pointer | number): MemoryFormat {
    const native = new Uint8Array(new ArrayBuffer(formatBytes));
    this.call(init, native, extents.length, extentsOf(extents), dataTypes[type], last);
    return this.#measured(native);
  }

  #measured(native: Uint8Array): MemoryFormat {
    return { native, bytes: this.value("dnnl_memory_desc_get_size", native) };
  }

  #describe(
    forward: Description | null,
    init: string,
    ...values: readonly (Pointer | number)[]
  ): Description | null {
    this.call(init, this.#operation, ...values);
    return this.#create(this.attributes, forward);
  }

  #create(attributes: bigint, forward: Description | null): Description | null {
    const { engine } = this;
    const create = "dnnl_primitive_desc_create";
    return this.described(create, this.#operation, attributes, engine, forward);
  }
}

function window({ stride, padding }: Slide): BigInt64Array[] {
  return [stride, padding, padding].map(extentsOf);
}

function poolFormats(shape: PoolShape): Pointer[] {
  const { source, result, stride, kernel, padding } = shape;
  const extents = [stride, kernel, padding, padding].map(extentsOf);
  return [pointer(source), pointer(result), ...extents];
}

function normalisationFlags({ relu: withRelu }: NormalisationShape): number {
  return scaleAndShift | (withRelu ? fusedRelu : 0);
}

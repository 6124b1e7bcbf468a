/**
 * oneDNN's C interface of version 3 (libdnnl.so.3, libdnnl.3.dylib): formats are opaque handles,
 * and a primitive is described in one call.
 *
 * Beside that, version 3 has one pooling for all dilations (0 is none), a format each for source
 * and result of ReLU and normalisation, and other numbers for ReLU and for the normalisation's
 * flags.
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
const relu = 0x20;
const fusedRelu = 0x8;
const scaleAndShift = 0x2 | 0x4;

/** The functions of version 3 beside the shared ones. */
export const signaturesV3: Readonly<Record<string, Signature>> = {
  ...sharedSignatures,
  dnnl_post_ops_append_eltwise: "ipiff",
  dnnl_memory_desc_create_with_strides: "ipipip",
  dnnl_memory_desc_create_with_tag: "ipipii",
  dnnl_memory_desc_clone: "ipp",
  dnnl_memory_desc_destroy: "ip",
  dnnl_convolution_forward_primitive_desc_create: "ippiippppppppp",
  dnnl_convolution_backward_data_primitive_desc_create: "ippippppppppp",
  dnnl_convolution_backward_weights_primitive_desc_create: "ippipppppppppp",
  dnnl_batch_normalization_forward_primitive_desc_create: "ippippfup",
  dnnl_batch_normalization_backward_primitive_desc_create: "ippipppfupp",
  dnnl_eltwise_forward_primitive_desc_create: "ippiippffp",
  dnnl_eltwise_backward_primitive_desc_create: "ippipppffpp",
  dnnl_pooling_forward_primitive_desc_create: "ippiipppppppp",
  dnnl_pooling_backward_primitive_desc_create: "ippippppppppp",
  dnnl_inner_product_forward_primitive_desc_create: "ippippppp",
  dnnl_inner_product_backward_data_primitive_desc_create: "ippppppp",
  dnnl_inner_product_backward_weights_primitive_desc_create: "ipppppppp",
  dnnl_binary_primitive_desc_create: "ippipppp",
};

/** The library through its interface of version 3. */
export class DnnlV3 extends Calls implements Dnnl {
  readonly abi = 3;

  constructor(parts: LibraryParts) {
    super(parts, relu);
  }

  plain(extents: Extents, type: DataType): MemoryFormat {
    return this.strided(extents, stridesOf(extents), type);
  }

  strided(extents: Extents, strides: readonly number[], type: DataType): MemoryFormat {
    const given = extentsOf(strides);
    return this.#made("dnnl_memory_desc_create_with_strides", extents, type, given);
  }

  any(extents: Extents, type: DataType): MemoryFormat {
    return this.#made("dnnl_memory_desc_create_with_tag", extents, type, anyTag);
  }

  convolution(isTraining: boolean, shape: ConvolutionShape): Description | null {
    const { algorithm, source, weights, bias, result } = shape;
    return this.described(
      "dnnl_convolution_forward_primitive_desc_create",
      this.engine,
      isTraining ? training : inference,
      algorithms[algorithm],
      ...[source, weights, bias, result].map(pointer),
      ...window(shape),
      this.attributes,
    );
  }

  convolutionBackwardData(shape: ConvolutionShape, forward: Description): Description | null {
    const { algorithm, source, weights, result } = shape;
    return this.described(
      "dnnl_convolution_backward_data_primitive_desc_create",
      this.engine,
      algorithms[algorithm],
      ...[source, weights, result].map(pointer),
      ...window(shape),
      forward,
      this.attributes,
    );
  }

  convolutionBackwardWeights(shape: ConvolutionShape, forward: Description): Description | null {
    const { algorithm, source, weights, bias, result } = shape;
    return this.described(
      "dnnl_convolution_backward_weights_primitive_desc_create",
      this.engine,
      algorithms[algorithm],
      ...[source, weights, bias, result].map(pointer),
      ...window(shape),
      forward,
      this.attributes,
    );
  }

  normalisation(isTraining: boolean, shape: NormalisationShape): Description | null {
    const data = pointer(shape.data);
    return this.described(
      "dnnl_batch_normalization_forward_primitive_desc_create",
      this.engine,
      isTraining ? training : inference,
      data,
      data,
      shape.epsilon,
      normalisationFlags(shape) | (isTraining ? 0 : givenStatistics),
      this.attributes,
    );
  }

  normalisationBackward(
    shape: NormalisationShape,
    gradient: MemoryFormat,
    forward: Description,
  ): Description | null {
    return this.described(
      "dnnl_batch_normalization_backward_primitive_desc_create",
      this.engine,
      backward,
      ...[gradient, gradient, shape.data].map(pointer),
      shape.epsilon,
      normalisationFlags(shape),
      forward,
      this.attributes,
    );
  }

  relu(data: MemoryFormat): Description | null {
    const create = "dnnl_eltwise_forward_primitive_desc_create";
    const formats = [data, data].map(pointer);
    const { engine, attributes } = this;
    return this.described(create, engine, training, reluFromResult, ...formats, 0, 0, attributes);
  }

  reluBackward(
    data: MemoryFormat,
    gradient: MemoryFormat,
    forward: Description,
  ): Description | null {
    return this.described(
      "dnnl_eltwise_backward_primitive_desc_create",
      this.engine,
      reluFromResult,
      ...[gradient, gradient, data].map(pointer),
      0,
      0,
      forward,
      this.attributes,
    );
  }

  pool(isTraining: boolean, shape: PoolShape): Description | null {
    return this.described(
      "dnnl_pooling_forward_primitive_desc_create",
      this.engine,
      isTraining ? training : inference,
      pools[shape.pool],
      ...poolFormats(shape),
      this.attributes,
    );
  }

  poolBackward(shape: PoolShape, forward: Description): Description | null {
    const create = "dnnl_pooling_backward_primitive_desc_create";
    const { engine, attributes } = this;
    const values = [pools[shape.pool], ...poolFormats(shape)];
    return this.described(create, engine, ...values, forward, attributes);
  }

  product(isTraining: boolean, { source, weights, bias, result }: ProductShape) {
    const create = "dnnl_inner_product_forward_primitive_desc_create";
    const direction = isTraining ? training : inference;
    const formats = [source, weights, bias, result].map(pointer);
    return this.described(create, this.engine, direction, ...formats, this.attributes);
  }

  productBackwardData({ source, weights, result }: ProductShape, forward: Description) {
    const create = "dnnl_inner_product_backward_data_primitive_desc_create";
    const formats = [source, weights, result].map(pointer);
    return this.described(create, this.engine, ...formats, forward, this.attributes);
  }

  productBackwardWeights(shape: ProductShape, forward: Description): Description | null {
    const create = "dnnl_inner_product_backward_weights_primitive_desc_create";
    const { source, weights, bias, result } = shape;
    const formats = [source, weights, bias, result].map(pointer);
    return this.described(create, this.engine, ...formats, forward, this.attributes);
  }

  add(data: MemoryFormat, withRelu: boolean): Description | null {
    const formats = [data, data, data].map(pointer);
    const attributes = withRelu ? this.attributesWithRelu : this.attributes;
    const create = "dnnl_binary_primitive_desc_create";
    return this.described(create, this.engine, addition, ...formats, attributes);
  }

  destroyFormat({ native }: MemoryFormat): void {
    if (native !== 0n) this.call("dnnl_memory_desc_destroy", native);
  }

  protected adopted(pointer: bigint): MemoryFormat {
    if (pointer === 0n) return { native: 0n, bytes: 0 };
    return this.#measured(this.made("dnnl_memory_desc_clone", pointer));
  }

  protected appendRelu(operations: bigint, algorithm: number): void {
    this.call("dnnl_post_ops_append_eltwise", operations, algorithm, 0, 0);
  }

  #made(create: string, extents: Extents, type: DataType, last: Pointer | number): MemoryFormat {
    const counted = [extents.length, extentsOf(extents), dataTypes[type]];
    return this.#measured(this.made(create, ...counted, last));
  }

  #measured(native: bigint): MemoryFormat {
    return { native, bytes: this.value("dnnl_memory_desc_get_size", native) };
  }
}

/** Strides, dilations, and the padding on both sides. */
function window({ stride, padding }: Slide): BigInt64Array[] {
  return [stride, [0, 0], padding, padding].map(extentsOf);
}

function poolFormats(shape: PoolShape): Pointer[] {
  const { source, result, stride, kernel, padding } = shape;
  const extents = [stride, kernel, [0, 0], padding, padding].map(extentsOf);
  return [pointer(source), pointer(result), ...extents];
}

function normalisationFlags({ relu: withRelu }: NormalisationShape): number {
  return scaleAndShift | (withRelu ? fusedRelu : 0);
}

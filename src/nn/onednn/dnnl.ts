/**
 * oneDNN as the rest of this room sees it: descriptions of memory, descriptions of primitives, and
 * their execution, the same for both of its C interfaces (abi-v2.ts, abi-v3.ts).
 *
 * A primitive is described for shapes and formats, asked which formats it chose (`format: any` lets
 * it choose), created once, and executed with memory for each of its arguments. A description that
 * the library has no implementation for is null, an expected outcome; any other refusal throws.
 *
 * Scratch memory is always the caller's: a primitive asks for it under `Argument.scratchpad`.
 * Source: oneDNN developer guide, "Basic Concepts".
 */

/** How a value is stored. */
export type DataType = "f32" | "bf16";

/** Extents, slowest first; pictures are [N, C, H, W]. */
export type Extents = readonly number[];

/**
 * How an array lies in memory: oneDNN's memory format. `native` is the library's own description.
 */
export interface MemoryFormat {
  readonly native: Uint8Array | bigint;
  /** 0 where the format is still to be chosen, or where nothing is needed. */
  readonly bytes: number;
}

/** A described primitive; given back by `Dnnl.destroyDescription`. */
export type Description = bigint;

/** A created primitive; given back by `Dnnl.destroyPrimitive`. */
export type Primitive = bigint;

/** A format bound to an address; given back by `Dnnl.destroyMemory`. */
export type Memory = bigint;

/** How a convolution is computed. */
export type Algorithm = "direct" | "winograd";

/** Which of a primitive's formats is meant. */
export const Query = {
  source: 129,
  sourceGradient: 130,
  weights: 131,
  weightsGradient: 132,
  result: 133,
  resultGradient: 134,
  workspace: 135,
  scratchpad: 136,
} as const;

/** Numbers of the arguments of an execution; equal in both interfaces. */
export const Argument = {
  source: 1,
  source1: 2,
  result: 17,
  weights: 33,
  bias: 41,
  mean: 49,
  variance: 50,
  scale: 51,
  shift: 52,
  workspace: 64,
  scratchpad: 80,
  sourceGradient: 129,
  resultGradient: 145,
  weightsGradient: 161,
  biasGradient: 169,
  scaleGradient: 255,
  shiftGradient: 256,
} as const;

/** A window's movement, in [rows, columns]. */
export interface Slide {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
}

/** A convolution in any of its three directions; formats of the arrays or of their gradients. */
export interface ConvolutionShape extends Slide {
  readonly algorithm: Algorithm;
  readonly source: MemoryFormat;
  readonly weights: MemoryFormat;
  readonly bias: MemoryFormat | null;
  readonly result: MemoryFormat;
}

/** A pool; the mean counts the zeros of the padding. */
export interface PoolShape extends Slide {
  readonly pool: "max" | "mean";
  readonly kernel: readonly [number, number];
  readonly source: MemoryFormat;
  readonly result: MemoryFormat;
}

/** A matrix product with weights: result [N, J], source [N, K], weights [J, K]. */
export interface ProductShape {
  readonly source: MemoryFormat;
  readonly weights: MemoryFormat;
  readonly bias: MemoryFormat | null;
  readonly result: MemoryFormat;
}

/** A batch normalisation over one format, with scale and shift, followed by ReLU or not. */
export interface NormalisationShape {
  readonly data: MemoryFormat;
  readonly epsilon: number;
  readonly relu: boolean;
}

/** The library. All functions are for one thread and compute on the CPU. */
export interface Dnnl {
  readonly abi: 2 | 3;
  /** Such as "2.6.3". */
  readonly version: string;
  /** Widest instruction set in use, such as "avx512_core_bf16". */
  readonly instructionSet: string;
  readonly hasAvx512: boolean;
  readonly hasBf16: boolean;
  /** Whether there are matrix tiles, which multiply bf16 many times faster than f32. */
  readonly hasAmx: boolean;

  /** Row-major. */
  plain(extents: Extents, type: DataType): MemoryFormat;
  /** So many values from each index of an axis to the next. */
  strided(extents: Extents, strides: readonly number[], type: DataType): MemoryFormat;
  /** To be chosen by the primitive. */
  any(extents: Extents, type: DataType): MemoryFormat;
  /** Whether values need no reorder to go from one format to the other. */
  same(left: MemoryFormat, right: MemoryFormat): boolean;
  formatOf(description: Description, query: number): MemoryFormat;
  /** Name of the implementation, such as "jit:avx512_core". */
  implementationOf(description: Description): string;

  convolution(training: boolean, shape: ConvolutionShape): Description | null;
  convolutionBackwardData(shape: ConvolutionShape, forward: Description): Description | null;
  convolutionBackwardWeights(shape: ConvolutionShape, forward: Description): Description | null;
  /** Without `training` the statistics are given, not measured. */
  normalisation(training: boolean, shape: NormalisationShape): Description | null;
  normalisationBackward(
    shape: NormalisationShape,
    gradient: MemoryFormat,
    forward: Description,
  ): Description | null;
  /** y = max(x, 0). */
  relu(data: MemoryFormat): Description | null;
  /** From the result y: the gradient where y > 0, else 0. */
  reluBackward(
    data: MemoryFormat,
    gradient: MemoryFormat,
    forward: Description,
  ): Description | null;
  pool(training: boolean, shape: PoolShape): Description | null;
  poolBackward(shape: PoolShape, forward: Description): Description | null;
  product(training: boolean, shape: ProductShape): Description | null;
  productBackwardData(shape: ProductShape, forward: Description): Description | null;
  productBackwardWeights(shape: ProductShape, forward: Description): Description | null;
  /** The sum of two arrays of one format, followed by ReLU or not. */
  add(data: MemoryFormat, relu: boolean): Description | null;
  /** Copies from one format, and type, to another. */
  reorder(from: MemoryFormat, to: MemoryFormat): Description | null;

  createPrimitive(description: Description): Primitive;
  createMemory(format: MemoryFormat): Memory;
  /** The address stays the caller's. */
  setAddress(memory: Memory, address: bigint): void;
  addressOf(values: ArrayBufferView): bigint;
  /** Arguments are pairs of number and memory, two 64-bit words each. */
  execute(primitive: Primitive, argumentCount: number, pairs: BigUint64Array): void;
  /** Threads that the calling thread's primitives are created for and run on. */
  setThreads(count: number): void;
  /** Asks for large pages; a hint, nothing depends on it. */
  preferLargePages(address: bigint, bytes: number): void;

  destroyDescription(description: Description): void;
  destroyPrimitive(primitive: Primitive): void;
  destroyMemory(memory: Memory): void;
  destroyFormat(format: MemoryFormat): void;
}

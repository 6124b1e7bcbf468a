/**
 * The part of oneDNN's C interface that versions 2 and 3 share: engine, stream, attributes, memory,
 * primitives. What differs, formats and the description of primitives, is left to the two classes
 * that extend this one.
 *
 * Every function answers with a status. "Unimplemented" is an outcome where a description is asked
 * for; all else but success throws with the function's name.
 *
 * Invariant: all symbols are looked up before the first is called, so that a library which lacks
 * one is refused whole.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type {
  Foreign,
  ForeignFunction,
  ForeignLibrary,
  Pointer,
  Signature,
} from "../ffi/foreign.js";
import type { DataType, Description, Memory, MemoryFormat, Primitive } from "./dnnl.js";

/** Values of the interface's enumerations that versions 2 and 3 have in common. */
export const values = {
  types: { bf16: 2, f32: 3 } as Readonly<Record<DataType, number>>,
  anyTag: 1,
  training: 64,
  inference: 96,
  backward: 128,
  algorithms: { direct: 1, winograd: 2 },
  pools: { max: 0x1ff, mean: 0x2ff },
  reluFromResult: 0x100,
  addition: 0x1fff0,
  givenStatistics: 0x1,
} as const;

/** Functions by symbol. */
export type Functions = Readonly<Record<string, ForeignFunction>>;

/** Looks up all symbols. @throws Error that names the first one missing. */
export function findAll(
  library: ForeignLibrary,
  signatures: Readonly<Record<string, Signature>>,
): Functions {
  return Object.fromEntries(
    Object.entries(signatures).map(([symbol, signature]) => [
      symbol,
      library.find(symbol, signature),
    ]),
  );
}

/** The functions that both versions have, under the same signature. */
export const sharedSignatures: Readonly<Record<string, Signature>> = {
  dnnl_get_effective_cpu_isa: "i",
  dnnl_engine_create: "ipiz",
  dnnl_engine_destroy: "ip",
  dnnl_stream_create: "ippu",
  dnnl_stream_destroy: "ip",
  dnnl_primitive_attr_create: "ip",
  dnnl_primitive_attr_destroy: "ip",
  dnnl_primitive_attr_set_scratchpad_mode: "ipi",
  dnnl_primitive_attr_set_post_ops: "ipp",
  dnnl_post_ops_create: "ip",
  dnnl_post_ops_destroy: "ip",
  dnnl_memory_desc_equal: "ipp",
  dnnl_memory_desc_get_size: "zp",
  dnnl_memory_create: "ipppp",
  dnnl_memory_set_data_handle: "ipp",
  dnnl_memory_destroy: "ip",
  dnnl_primitive_desc_query: "ipiip",
  dnnl_primitive_desc_query_md: "ppii",
  dnnl_primitive_desc_destroy: "ip",
  dnnl_primitive_create: "ipp",
  dnnl_primitive_execute: "ippip",
  dnnl_primitive_destroy: "ip",
  dnnl_reorder_primitive_desc_create: "ipppppp",
};

const statusUnimplemented = 3;
const cpuEngine = 1;
const inOrderStream = 1;
const scratchpadOfUser = 1;
const queryImplementation = 8;
/** The null pointer that memory begins with until its address is set. */
const nowhere = 0n;

/** Bits of an instruction set that it has if another one contains it. */
const avx512Bits = 0x27;
const bf16Bits = 0xe7;
const amxBits = 0x3e7;

/** Both versions' names; the wider ones first. */
const instructionSets: readonly (readonly [bits: number, name: string])[] = [
  [0xfef, "avx10_1_512_amx"],
  [0x1ef, "avx10_1_512"],
  [amxBits, "avx512_core_amx"],
  [bf16Bits, "avx512_core_bf16"],
  [0x67, "avx512_core_vnni"],
  [avx512Bits, "avx512_core"],
  [0x7, "avx2"],
  [0x3, "avx"],
  [0x1, "sse41"],
];

/** The sets that a processor with this one has besides, the wider ones first. */
export function narrowerSets(name: string): string[] {
  const own = instructionSets.find(([, known]) => known === name)?.[0] ?? 0;
  const isWithin = ([bits, known]: (typeof instructionSets)[number]) =>
    known !== name && (own & bits) === bits;
  return instructionSets.filter(isWithin).map(([, known]) => known);
}

/** The most extents of a format. */
export const extentsMax = 12;

/** Extents as the library takes them. */
export function extentsOf(values: readonly number[]): BigInt64Array {
  const extents = new BigInt64Array(new ArrayBuffer(8 * extentsMax));
  values.forEach((value, index) => {
    extents[index] = BigInt(value);
  });
  return extents;
}

/** Row-major distances between values, for the extents. */
export function stridesOf(extents: readonly number[]): number[] {
  return extents.map((_, axis) =>
    extents.slice(axis + 1).reduce((product, extent) => product * extent, 1),
  );
}

/** oneDNN's C functions, called by name, with what every primitive needs. */
export abstract class Calls {
  readonly version: string;
  readonly instructionSet: string;
  readonly hasAvx512: boolean;
  readonly hasBf16: boolean;
  readonly hasAmx: boolean;
  protected readonly foreign: Foreign;
  protected readonly engine: bigint;
  /** Scratch memory is the caller's. */
  protected readonly attributes: bigint;
  /** The same, with a ReLU behind the primitive. */
  protected readonly attributesWithRelu: bigint;
  readonly #functions: Functions;
  readonly #stream: bigint;
  readonly #threads: ((count: number) => void) | null;
  readonly #advise: ForeignFunction | null;
  readonly #out = new BigUint64Array(new ArrayBuffer(8));

  /** @param relu number of the ReLU algorithm. */
  constructor(parts: LibraryParts, relu: number) {
    this.foreign = parts.foreign;
    this.version = parts.version;
    this.#functions = parts.functions;
    this.#threads = parts.setThreads;
    this.#advise = parts.advise;
    const bits = Number(this.#functions.dnnl_get_effective_cpu_isa!());
    const has = (wanted: number) => (bits & wanted) === wanted;
    this.instructionSet = instructionSets.find(([wanted]) => has(wanted))?.[1] ?? "generic";
    this.hasAvx512 = has(avx512Bits);
    this.hasBf16 = has(bf16Bits);
    this.hasAmx = has(amxBits);
    this.engine = this.made("dnnl_engine_create", cpuEngine, 0);
    this.#stream = this.made("dnnl_stream_create", this.engine, inOrderStream);
    this.attributes = this.made("dnnl_primitive_attr_create");
    this.attributesWithRelu = this.made("dnnl_primitive_attr_create");
    for (const attributes of [this.attributes, this.attributesWithRelu]) {
      this.call("dnnl_primitive_attr_set_scratchpad_mode", attributes, scratchpadOfUser);
    }
    const operations = this.made("dnnl_post_ops_create");
    this.appendRelu(operations, relu);
    this.call("dnnl_primitive_attr_set_post_ops", this.attributesWithRelu, operations);
    this.call("dnnl_post_ops_destroy", operations);
  }

  /** The format that a pointer of the library stands for; the pointer lives no longer. */
  protected abstract adopted(pointer: bigint): MemoryFormat;
  protected abstract appendRelu(operations: bigint, relu: number): void;

  same(left: MemoryFormat, right: MemoryFormat): boolean {
    return this.value("dnnl_memory_desc_equal", pointer(left), pointer(right)) !== 0;
  }

  formatOf(description: Description, query: number): MemoryFormat {
    const found = this.#functions.dnnl_primitive_desc_query_md!(description, query, 0);
    return this.adopted(BigInt(found));
  }

  implementationOf(description: Description): string {
    const out = new BigUint64Array(new ArrayBuffer(8));
    this.call("dnnl_primitive_desc_query", description, queryImplementation, 0, out);
    return this.foreign.textAt(out[0] as bigint);
  }

  reorder(from: MemoryFormat, to: MemoryFormat): Description | null {
    const { engine, attributes } = this;
    const [source, target] = [pointer(from), pointer(to)];
    const create = "dnnl_reorder_primitive_desc_create";
    return this.described(create, source, engine, target, engine, attributes);
  }

  createPrimitive(description: Description): Primitive {
    return this.made("dnnl_primitive_create", description);
  }

  createMemory(format: MemoryFormat): Memory {
    return this.made("dnnl_memory_create", pointer(format), this.engine, nowhere);
  }

  setAddress(memory: Memory, address: bigint): void {
    this.call("dnnl_memory_set_data_handle", memory, address);
  }

  addressOf(values: ArrayBufferView): bigint {
    return this.foreign.addressOf(values);
  }

  execute(primitive: Primitive, argumentCount: number, pairs: BigUint64Array): void {
    const execute = this.#functions.dnnl_primitive_execute!;
    const status = execute(primitive, this.#stream, argumentCount, pairs);
    if (status !== 0) throw refusal("dnnl_primitive_execute", Number(status));
  }

  setThreads(count: number): void {
    this.#threads?.(count);
  }

  preferLargePages(address: bigint, bytes: number): void {
    const advice = 14; // MADV_HUGEPAGE
    this.#advise?.(address, bytes, advice);
  }

  destroyDescription(description: Description): void {
    this.call("dnnl_primitive_desc_destroy", description);
  }

  destroyPrimitive(primitive: Primitive): void {
    this.call("dnnl_primitive_destroy", primitive);
  }

  destroyMemory(memory: Memory): void {
    this.call("dnnl_memory_destroy", memory);
  }

  /** Calls a function whose answer is a status. */
  protected call(symbol: string, ...values: readonly (Pointer | number)[]): void {
    const status = this.value(symbol, ...values);
    if (status !== 0) throw refusal(symbol, status);
  }

  /** Calls a function whose answer is a number. */
  protected value(symbol: string, ...values: readonly (Pointer | number)[]): number {
    return Number((this.#functions[symbol] as ForeignFunction)(...values));
  }

  /** Calls a function that writes a new handle to its first argument. */
  protected made(symbol: string, ...values: readonly (Pointer | number)[]): bigint {
    this.call(symbol, this.#out, ...values);
    return this.#out[0] as bigint;
  }

  /** The same for a description; null where there is no implementation. */
  protected described(
    symbol: string,
    ...values: readonly (Pointer | number)[]
  ): Description | null {
    const status = this.value(symbol, this.#out, ...values);
    if (status === statusUnimplemented) return null;
    if (status !== 0) throw refusal(symbol, status);
    const description = this.#out[0] as bigint;
    assert(description !== 0n, "a description that was made has a handle", { symbol });
    return description;
  }
}

/** What a library was found to be. */
export interface LibraryParts {
  readonly foreign: Foreign;
  readonly functions: Functions;
  readonly version: string;
  /** Null where the threading runtime is not known. */
  readonly setThreads: ((count: number) => void) | null;
  /** madvise of the C library, if there is one. */
  readonly advise: ForeignFunction | null;
}

/** The library's own description of a format, or null for none. */
export function pointer(format: MemoryFormat | null): Pointer {
  return format === null ? null : format.native;
}

function refusal(symbol: string, status: number): PacelineError {
  const meanings = ["success", "out of memory", "invalid arguments", "unimplemented"];
  const meaning = meanings[status] ?? `status ${status}`;
  return new PacelineError("internal", `oneDNN's ${symbol} refused: ${meaning}`, {
    details: { symbol, status },
  });
}

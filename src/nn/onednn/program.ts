/**
 * A model's step as a list of operations: executions of oneDNN's primitives, and plain functions
 * for what is small. The builder writes the list and keeps account of each value's life; the
 * program then runs it, any part of it, any number of times, and allocates nothing.
 *
 * A cell is memory of a format: in a region of the program memory, which is placed when the list is
 * complete, or in an array of the caller's that never moves. Two cells may show the same region
 * under different formats.
 *
 * Invariant: a region holds what was written to it from its first operation to its last one, and
 * nothing before or after.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import { valuesIn } from "../layer-kind.js";
import {
  Argument,
  type DataType,
  type Description,
  type Dnnl,
  type Extents,
  type Memory,
  type MemoryFormat,
  type Primitive,
  Query,
} from "./dnnl.js";
import { type ProgramMemory, planRegions, type Region } from "./program-memory.js";

/** Memory of one format. */
export class Cell {
  readonly format: MemoryFormat;
  readonly memory: Memory;
  /** Null where the memory is the caller's. */
  readonly region: Region | null;
  /** The memory as f32 values, once it is placed. */
  values: Float32Array = new Float32Array(0);

  constructor(format: MemoryFormat, memory: Memory, region: Region | null) {
    this.format = format;
    this.memory = memory;
    this.region = region;
  }
}

/**
 * Whether a format has room for more than its values, such as for whole blocks of channels. oneDNN
 * 2.6 adds padded arrays wrongly where the sum overwrites a summand.
 */
export function isPadded(format: MemoryFormat, extents: Extents, type: DataType): boolean {
  return format.bytes > valuesIn(extents) * (type === "bf16" ? 2 : 4);
}

/** One entry of the list. */
export interface Operation {
  /** Name of the node it belongs to, or of a part of the step. */
  readonly node: string;
  /** What is done, such as "forward" or "weights to blocks". */
  readonly what: string;
  /** Name of the implementation, or "plain" for a function. */
  readonly implementation: string;
  /** Floating-point operations of the direct algorithm; 0 where they don't matter. */
  readonly flops: number;
  run(): void;
}

/** Writes the list. Everything made through it is given up with the program. */
export class ProgramBuilder {
  readonly dnnl: Dnnl;
  /** Node whose operations are being written. */
  node = "";
  readonly #operations: Operation[] = [];
  readonly #cells: Cell[] = [];
  readonly #regions: Region[] = [];
  readonly #descriptions: Description[] = [];
  readonly #primitives: Primitive[] = [];
  readonly #formats: MemoryFormat[] = [];
  readonly #zeroed = new Map<string, Cell>();

  constructor(dnnl: Dnnl) {
    this.dnnl = dnnl;
  }

  /** Number of operations written so far. */
  get length(): number {
    return this.#operations.length;
  }

  plain(extents: Extents, type: DataType): MemoryFormat {
    return this.#kept(this.dnnl.plain(extents, type));
  }

  strided(extents: Extents, strides: readonly number[], type: DataType): MemoryFormat {
    return this.#kept(this.dnnl.strided(extents, strides, type));
  }

  any(extents: Extents, type: DataType): MemoryFormat {
    return this.#kept(this.dnnl.any(extents, type));
  }

  /** A format that a primitive has chosen. */
  formatOf(description: Description, query: number): MemoryFormat {
    return this.#kept(this.dnnl.formatOf(description, query));
  }

  /** A value in memory of its own. */
  cell(format: MemoryFormat): Cell {
    assert(format.bytes > 0, "a cell's format is chosen", { node: this.node });
    const { bytes } = format;
    const region: Region = { bytes, first: Number.POSITIVE_INFINITY, last: -1, offset: -1 };
    this.#regions.push(region);
    return this.#cellIn(format, region);
  }

  /** The memory of a cell under another format of at most its size. */
  view(cell: Cell, format: MemoryFormat): Cell {
    if (cell.region === null) return this.fixed(cell.values, format);
    assert(format.bytes <= cell.region.bytes, "a view lies inside its region", { node: this.node });
    return this.#cellIn(format, cell.region);
  }

  /**
   * Memory that holds zeros where nothing was written, which lasts as long as the program: the same
   * for each name, so that what uses it one after the other writes the same places.
   */
  zeroed(name: string, format: MemoryFormat): Cell {
    const known = this.#zeroed.get(name);
    if (known !== undefined) return known;
    const cell = this.fixed(new Float32Array(Math.ceil(format.bytes / 4)), format);
    this.#zeroed.set(name, cell);
    return cell;
  }

  /** Memory of the caller's, which never moves and outlives the program. */
  fixed(values: Float32Array, format: MemoryFormat): Cell {
    assert(values.byteLength >= format.bytes, "an array holds its format", { node: this.node });
    const cell = this.#cellIn(format, null);
    cell.values = values;
    this.dnnl.setAddress(cell.memory, this.dnnl.addressOf(values));
    return cell;
  }

  /**
   * A description that has to be there; it lives as long as the list is being written.
   * @throws PacelineError `internal` when the library has no implementation.
   */
  described(what: string, description: Description | null): Description {
    if (description === null) {
      const { version } = this.dnnl;
      throw new PacelineError(
        "internal",
        `oneDNN ${version} has no ${what} for node ${this.node}; use --engine reference`,
      );
    }
    this.#descriptions.push(description);
    return description;
  }

  /** Writes the execution of a primitive with these arguments; scratch memory is added. */
  execute(
    what: string,
    description: Description,
    given: readonly (readonly [argument: number, cell: Cell | null])[],
    flops = 0,
  ): void {
    const { dnnl } = this;
    const primitive = dnnl.createPrimitive(description);
    this.#primitives.push(primitive);
    const scratchpad = this.formatOf(description, Query.scratchpad);
    const cells = given.filter((entry): entry is [number, Cell] => entry[1] !== null);
    if (scratchpad.bytes > 0) cells.push([Argument.scratchpad, this.cell(scratchpad)]);
    const pairs = new BigUint64Array(new ArrayBuffer(16 * cells.length));
    cells.forEach(([argument, cell], index) => {
      pairs[2 * index] = BigInt(argument);
      pairs[2 * index + 1] = cell.memory;
    });
    const count = cells.length;
    const implementation = dnnl.implementationOf(description);
    const run = () => dnnl.execute(primitive, count, pairs);
    const touched = cells.map(([, cell]) => cell);
    this.#append({ node: this.node, what, implementation, flops, run }, touched);
  }

  /** Writes the call of a function, which may touch these cells only. */
  call(what: string, touched: readonly Cell[], run: () => void): void {
    this.#append({ node: this.node, what, implementation: "plain", flops: 0, run }, touched);
  }

  /** Writes a copy from one format to another, both fully chosen. */
  copy(what: string, from: Cell, to: Cell): void {
    const reorder = this.described("reorder", this.dnnl.reorder(from.format, to.format));
    this.execute(what, reorder, [
      [Argument.source, from],
      [Argument.result, to],
    ]);
  }

  /** The cell itself if its format is the wanted one, else a copy in it. */
  converted(what: string, cell: Cell, format: MemoryFormat): Cell {
    if (this.dnnl.same(cell.format, format)) return cell;
    const copy = this.cell(format);
    this.copy(what, cell, copy);
    return copy;
  }

  /** The program, its memory planned. */
  finish(): Program {
    for (const description of this.#descriptions) this.dnnl.destroyDescription(description);
    // What was made for a format but never used takes no memory.
    const regions = this.#regions.filter(({ last }) => last >= 0);
    return new Program(this.dnnl, this.#operations, planRegions(regions), {
      cells: this.#cells,
      primitives: this.#primitives,
      formats: this.#formats,
    });
  }

  /** Gives up what was made, where the list can't be completed. */
  discard(): void {
    for (const description of this.#descriptions) this.dnnl.destroyDescription(description);
    const holdings = { cells: this.#cells, primitives: this.#primitives, formats: this.#formats };
    new Program(this.dnnl, [], 0, holdings).close();
  }

  #append(operation: Operation, touched: readonly Cell[]): void {
    const at = this.#operations.length;
    this.#operations.push(operation);
    for (const { region } of touched) {
      if (region === null) continue;
      region.first = Math.min(region.first, at);
      region.last = at;
    }
  }

  #cellIn(format: MemoryFormat, region: Region | null): Cell {
    const cell = new Cell(format, this.dnnl.createMemory(format), region);
    this.#cells.push(cell);
    return cell;
  }

  #kept(format: MemoryFormat): MemoryFormat {
    this.#formats.push(format);
    return format;
  }
}

/** What a program gives up when it is closed. */
interface Holdings {
  readonly cells: readonly Cell[];
  readonly primitives: readonly Primitive[];
  readonly formats: readonly MemoryFormat[];
}

/** Tells how long operations took. */
export type OperationListener = (operation: Operation, milliseconds: number) => void;

/** A list of operations that can be run. */
export class Program {
  readonly operations: readonly Operation[];
  /** Bytes of memory that it needs. */
  readonly bytes: number;
  readonly #dnnl: Dnnl;
  readonly #holdings: Holdings;

  constructor(dnnl: Dnnl, operations: readonly Operation[], bytes: number, holdings: Holdings) {
    this.#dnnl = dnnl;
    this.operations = operations;
    this.bytes = bytes;
    this.#holdings = holdings;
  }

  /** Puts the program's values into the memory, which has to have room. */
  attach(programMemory: ProgramMemory): void {
    for (const cell of this.#holdings.cells) {
      const { region, format, memory } = cell;
      if (region === null || region.offset < 0) continue;
      this.#dnnl.setAddress(memory, programMemory.addressAt(region.offset));
      cell.values = programMemory.valuesAt(region.offset, Math.floor(format.bytes / 4));
    }
  }

  /** Runs operations [from, to). */
  run(from: number, to: number, listener: OperationListener | null): void {
    for (let index = from; index < to; index++) {
      const operation = this.operations[index] as Operation;
      if (listener === null) {
        operation.run();
        continue;
      }
      const startedMs = performance.now();
      operation.run();
      listener(operation, performance.now() - startedMs);
    }
  }

  /** Gives native resources up, primitives before what they were made of. */
  close(): void {
    const { primitives, cells, formats } = this.#holdings;
    for (const primitive of primitives) this.#dnnl.destroyPrimitive(primitive);
    for (const { memory } of cells) this.#dnnl.destroyMemory(memory);
    for (const format of formats) this.#dnnl.destroyFormat(format);
  }
}

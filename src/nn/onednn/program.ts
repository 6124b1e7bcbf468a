/**
 * A model's step as a list of operations: executions of oneDNN's primitives, and plain functions
 * for what is small. The builder writes the list and keeps account of each value's life; the
 * program then runs it, any part of it, any number of times, and allocates nothing.
 *
 * A cell is a layout in memory: in a region of the arena, which is placed when the list is
 * complete, or in an array of the caller's that never moves. Two cells may show the same region
 * under different layouts.
 *
 * Invariant: a region holds what was written to it from its first operation to its last one, and
 * nothing before or after.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import { valuesIn } from "../layer-kind.js";
import { type Arena, planRegions, type Region } from "./arena.js";
import {
  Argument,
  type DataType,
  type Description,
  type Dnnl,
  type Extents,
  type Layout,
  type Memory,
  type Primitive,
  Query,
} from "./dnnl.js";

/** A layout in memory. */
export class Cell {
  readonly layout: Layout;
  readonly memory: Memory;
  /** Null where the memory is the caller's. */
  readonly region: Region | null;
  /** The memory as f32 values, once it is placed. */
  values: Float32Array = new Float32Array(0);

  constructor(layout: Layout, memory: Memory, region: Region | null) {
    this.layout = layout;
    this.memory = memory;
    this.region = region;
  }
}

/**
 * Whether a layout has room for more than its values, such as for whole blocks of channels. oneDNN
 * 2.6 adds padded arrays wrongly where the sum overwrites a summand.
 */
export function isPadded(layout: Layout, extents: Extents, type: DataType): boolean {
  return layout.bytes > valuesIn(extents) * (type === "bf16" ? 2 : 4);
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
  readonly #layouts: Layout[] = [];

  constructor(dnnl: Dnnl) {
    this.dnnl = dnnl;
  }

  /** Number of operations written so far. */
  get length(): number {
    return this.#operations.length;
  }

  plain(extents: Extents, type: DataType): Layout {
    return this.#kept(this.dnnl.plain(extents, type));
  }

  any(extents: Extents, type: DataType): Layout {
    return this.#kept(this.dnnl.any(extents, type));
  }

  /** A layout that a primitive has chosen. */
  layoutOf(description: Description, query: number): Layout {
    return this.#kept(this.dnnl.layoutOf(description, query));
  }

  /** A value in memory of its own. */
  cell(layout: Layout): Cell {
    assert(layout.bytes > 0, "a cell's layout is chosen", { node: this.node });
    const { bytes } = layout;
    const region: Region = { bytes, first: Number.POSITIVE_INFINITY, last: -1, offset: -1 };
    this.#regions.push(region);
    return this.#cellIn(layout, region);
  }

  /** The memory of a cell under another layout of at most its size. */
  view(cell: Cell, layout: Layout): Cell {
    assert(cell.region !== null, "a view shows a region", { node: this.node });
    assert(layout.bytes <= cell.region.bytes, "a view lies inside its region", { node: this.node });
    return this.#cellIn(layout, cell.region);
  }

  /** Memory of the caller's, which never moves and outlives the program. */
  fixed(values: Float32Array, layout: Layout): Cell {
    assert(values.byteLength >= layout.bytes, "an array holds its layout", { node: this.node });
    const cell = this.#cellIn(layout, null);
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
    const scratchpad = this.layoutOf(description, Query.scratchpad);
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

  /** Writes a copy from one layout to another, both fully chosen. */
  copy(what: string, from: Cell, to: Cell): void {
    const reorder = this.described("reorder", this.dnnl.reorder(from.layout, to.layout));
    this.execute(what, reorder, [
      [Argument.source, from],
      [Argument.result, to],
    ]);
  }

  /** The cell itself if its layout is the wanted one, else a copy in it. */
  converted(what: string, cell: Cell, layout: Layout): Cell {
    if (this.dnnl.same(cell.layout, layout)) return cell;
    const copy = this.cell(layout);
    this.copy(what, cell, copy);
    return copy;
  }

  /** The program, its memory planned. */
  finish(): Program {
    for (const description of this.#descriptions) this.dnnl.destroyDescription(description);
    // What was made for a layout but never used takes no memory.
    const regions = this.#regions.filter(({ last }) => last >= 0);
    return new Program(this.dnnl, this.#operations, planRegions(regions), {
      cells: this.#cells,
      primitives: this.#primitives,
      layouts: this.#layouts,
    });
  }

  /** Gives up what was made, where the list can't be completed. */
  discard(): void {
    for (const description of this.#descriptions) this.dnnl.destroyDescription(description);
    const holdings = { cells: this.#cells, primitives: this.#primitives, layouts: this.#layouts };
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

  #cellIn(layout: Layout, region: Region | null): Cell {
    const cell = new Cell(layout, this.dnnl.createMemory(layout), region);
    this.#cells.push(cell);
    return cell;
  }

  #kept(layout: Layout): Layout {
    this.#layouts.push(layout);
    return layout;
  }
}

/** What a program gives up when it is closed. */
interface Holdings {
  readonly cells: readonly Cell[];
  readonly primitives: readonly Primitive[];
  readonly layouts: readonly Layout[];
}

/** Tells how long operations took. */
export type OperationListener = (operation: Operation, milliseconds: number) => void;

/** A list of operations that can be run. */
export class Program {
  readonly operations: readonly Operation[];
  /** Bytes of the arena that it needs. */
  readonly bytes: number;
  readonly #dnnl: Dnnl;
  readonly #holdings: Holdings;

  constructor(dnnl: Dnnl, operations: readonly Operation[], bytes: number, holdings: Holdings) {
    this.#dnnl = dnnl;
    this.operations = operations;
    this.bytes = bytes;
    this.#holdings = holdings;
  }

  /** Puts the program's values into the arena, which has to have room. */
  attach(arena: Arena): void {
    for (const cell of this.#holdings.cells) {
      const { region, layout, memory } = cell;
      if (region === null || region.offset < 0) continue;
      this.#dnnl.setAddress(memory, arena.addressAt(region.offset));
      cell.values = arena.valuesAt(region.offset, Math.floor(layout.bytes / 4));
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
    const { primitives, cells, layouts } = this.#holdings;
    for (const primitive of primitives) this.#dnnl.destroyPrimitive(primitive);
    for (const { memory } of cells) this.#dnnl.destroyMemory(memory);
    for (const layout of layouts) this.#dnnl.destroyLayout(layout);
  }
}

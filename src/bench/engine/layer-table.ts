/**
 * Where the time of a step goes, layer by layer: what the engine's listener hears of each
 * operation, summed by layer and direction. Convolutions and fully connected layers have lines of
 * their own, everything else one line a kind.
 *
 * The ceiling is the speed of a step that does nothing but the multiplications of these layers;
 * what is missing to it is normalisation, additions, pools, and copies from format to format.
 */
import type { GraphNode, ModelGraph } from "../../nn/model.js";
import type { Operation } from "../../nn/onednn/program.js";

/** What the table reads of an operation. */
export type TimedOperation = Pick<Operation, "node" | "what" | "implementation" | "flops">;

/** A line of the table; times are milliseconds a step. */
export interface LayerLine {
  /** A layer, or a kind of layers. */
  readonly name: string;
  readonly layers: number;
  /** From which shape to which; "" where a line is of many layers. */
  readonly shape: string;
  /** Of forward, backward-data and backward-weights; one word where they are alike. */
  readonly algorithm: string;
  readonly forwardMs: number;
  readonly dataMs: number;
  readonly weightsMs: number;
  /** Copies and sums that this layer asks for, and what has no direction. */
  readonly restMs: number;
  /** Operations of the direct algorithm in one step; 0 where they don't matter. */
  readonly flops: number;
}

/** The whole table. */
export interface LayerTable {
  readonly lines: readonly LayerLine[];
  readonly totalMs: number;
  /** Of convolutions and fully connected layers alone, without copies. */
  readonly multiplyingMs: number;
}

const directions = {
  forward: "forwardMs",
  "backward data": "dataMs",
  backward: "dataMs",
  "backward ReLU": "dataMs",
  "backward weights": "weightsMs",
} as const;

type Times = Record<"forwardMs" | "dataMs" | "weightsMs" | "restMs" | "flops", number>;

interface NodeSums extends Times {
  readonly implementations: Map<string, string>;
}

/** Takes operations as a listener hears them and makes a table of them. */
export class LayerSums {
  readonly #graph: ModelGraph;
  readonly #sums = new Map<string, NodeSums>();

  constructor(graph: ModelGraph) {
    this.#graph = graph;
  }

  /** Adds an operation and its milliseconds. */
  add({ node, what, implementation, flops }: TimedOperation, milliseconds: number): void {
    const sums = this.#sums.get(node) ?? emptySums();
    this.#sums.set(node, sums);
    const time = Object.hasOwn(directions, what)
      ? directions[what as keyof typeof directions]
      : "restMs";
    sums[time] += milliseconds;
    sums.flops += flops;
    if (flops > 0) sums.implementations.set(what, algorithmOf(implementation));
  }

  /** What was heard in so many steps, as milliseconds of one. */
  table(steps: number): LayerTable {
    const lines: LayerLine[] = [];
    const kinds = new Map<string, NodeSums>();
    const counts = new Map<string, number>();
    for (const [name, sums] of this.#sums) {
      const node = this.#graph.nodes.find((one) => one.name === name);
      if (node !== undefined && sums.flops > 0) {
        const shape = this.#shapeOf(node);
        lines.push({ name, layers: 1, shape, ...timesOf(sums, steps) });
        continue;
      }
      const kind = node?.layer.kind ?? name;
      const sum = kinds.get(kind) ?? emptySums();
      kinds.set(kind, sum);
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      for (const key of ["forwardMs", "dataMs", "weightsMs", "restMs"] as const) {
        sum[key] += sums[key];
      }
    }
    const multiplyingMs = lines.reduce((sum, line) => sum + multiplying(line), 0);
    for (const [name, sums] of kinds) {
      const layers = counts.get(name) as number;
      lines.push({ name, layers, shape: "", ...timesOf(sums, steps) });
    }
    const totalMs = lines.reduce((sum, line) => sum + millisecondsOf(line), 0);
    return { lines, totalMs, multiplyingMs };
  }

  #shapeOf({ inputs, shape }: GraphNode): string {
    const [source = 0] = inputs;
    const from = source === 0 ? this.#graph.inputShape : this.#graph.nodes[source - 1]?.shape;
    return `${from?.join("x")} to ${shape.join("x")}`;
  }
}

/** All of a line's milliseconds. */
export function millisecondsOf(line: LayerLine): number {
  return multiplying(line) + line.restMs;
}

/** The table in text, with the ceiling for a batch of so many images. */
export function formatLayers({ lines, totalMs, multiplyingMs }: LayerTable, batch: number) {
  const head = ["Layer", "Shape", "Algorithm", "Forward", "Data", "Weights", "Rest", "GFLOP/s"];
  const cells = [[...head, "Share"]];
  for (const line of lines) {
    const { name, layers, shape, algorithm, forwardMs, dataMs, weightsMs, restMs, flops } = line;
    const times = [forwardMs, dataMs, weightsMs, restMs].map((ms) => ms.toFixed(2));
    const speed = flops > 0 ? (flops / multiplying(line) / 1e6).toFixed(0) : "";
    const share = `${((100 * millisecondsOf(line)) / totalMs).toFixed(1)} %`;
    cells.push([
      layers === 1 ? name : `${name}, ${layers} layers`,
      shape,
      algorithm,
      ...times,
      speed,
      share,
    ]);
  }
  const widths = cells[0]?.map((_, column) =>
    Math.max(...cells.map((row) => (row[column] as string).length)),
  ) as number[];
  const rows = cells.map((row) =>
    row
      .map((cell, column) =>
        column < 3
          ? cell.padEnd(widths[column] as number)
          : cell.padStart(widths[column] as number),
      )
      .join("  ")
      .trimEnd(),
  );
  const rate = (ms: number) => `${((1000 * batch) / ms).toFixed(1)} images/s`;
  const part = ((100 * multiplyingMs) / totalMs).toFixed(0);
  rows.push(
    `${totalMs.toFixed(1)} ms in all (${rate(totalMs)}), of these ${multiplyingMs.toFixed(1)} ms ` +
      "in convolutions and fully connected layers alone:",
    `the ceiling is ${rate(multiplyingMs)}, and the step has reached ${part} % of it`,
  );
  return rows;
}

function multiplying({ forwardMs, dataMs, weightsMs }: LayerLine): number {
  return forwardMs + dataMs + weightsMs;
}

function emptySums(): NodeSums {
  const times = { forwardMs: 0, dataMs: 0, weightsMs: 0, restMs: 0, flops: 0 };
  return { ...times, implementations: new Map() };
}

function timesOf(sums: NodeSums, steps: number) {
  const { implementations, flops, forwardMs, dataMs, weightsMs, restMs } = sums;
  const algorithms = [...implementations.values()];
  const isAlike = algorithms.every((one) => one === algorithms[0]);
  return {
    algorithm: isAlike ? (algorithms[0] ?? "") : algorithms.join("/"),
    forwardMs: forwardMs / steps,
    dataMs: dataMs / steps,
    weightsMs: weightsMs / steps,
    restMs: restMs / steps,
    flops: flops / steps,
  };
}

/** The algorithm behind the library's name of an implementation. */
function algorithmOf(implementation: string): string {
  if (implementation.includes("wino")) return "winograd";
  return implementation.includes("gemm") ? "gemm" : "direct";
}

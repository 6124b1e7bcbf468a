/** The small compressed runs that tests of whole clusters share; no test stands here. */
import { type CompressionSpec, uncompressed } from "../../protocol/compression.js";
import { type Layout, layOut } from "../../protocol/layout.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import type { Toy } from "./memory-cluster.js";

const tensors = [
  { name: "w", shape: [30, 4], group: "weight" },
  { name: "b", shape: [3], group: "plain" },
] as const;

/** Weights that are compressed, and a bias that is not. */
export const layoutOf = (spec: RunSpec): Layout => layOut(tensors, spec.chunkValues);

/** A run of three workers and two servers, of 5 steps an epoch. */
export function specOf(
  epochs: number,
  compression: Partial<CompressionSpec>,
  changes: Partial<RunSpec> = {},
): RunSpec {
  const trainExamples = 120;
  return {
    ...{ ...sampleSpec, run: "toy", name: "toy", model: "toy", data: "toy" },
    ...{ trainExamples, testExamples: 20, workersMax: 3, servers: 2 },
    schedule: { ...sampleSpec.schedule, lr: 0.1, totalExamples: epochs * trainExamples },
    ...{ epochs, batchSize: 8, chunkValues: 50, loadBound: null },
    compression: { ...uncompressed, ...compression },
    ...changes,
  };
}

/** Interrupts a run when it has come to an epoch. */
export function interruptAt(epoch: number): (toy: Toy) => void {
  return ({ coordinator }) => {
    const timer = setInterval(() => {
      if (coordinator.snapshot().epoch < epoch) return;
      clearInterval(timer);
      coordinator.tell({ type: "interrupt", reason: "SIGINT" });
    }, 1);
  };
}

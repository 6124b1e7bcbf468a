/** PyTorch as a peer: its training steps of the model that is measured. */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import { type ModelGraph, trainableValues } from "../../nn/model.js";
import type { Peer } from "../harness/benchmark.js";
import { LineProcess, peerScript } from "../harness/peer-process.js";
import type { StepProcess } from "./resident-memory.js";

/** What PyTorch's side is to compute. */
export interface TorchWorkload {
  readonly graph: ModelGraph;
  readonly batch: number;
  readonly dtype: "f32" | "bf16";
  readonly threads: number;
  readonly memoryFormat: TorchFormat;
}

/** How PyTorch can lay out its pictures; which is faster depends on type and processor. */
export const torchFormats = ["contiguous", "channels-last"] as const;
/** One of them. */
export type TorchFormat = (typeof torchFormats)[number];

/** A peer for each of PyTorch's layouts, of which the better one counts. */
export function inBothFormats(system: string, peerOf: (format: TorchFormat) => Peer): Peer[] {
  return torchFormats.map((format) => {
    return { ...peerOf(format), name: `${system} ${format}`, system };
  });
}

/** The process that steps; the model is handed over as its graph. */
export function torchProcess(python: string, workload: TorchWorkload): StepProcess {
  return { command: python, words: [peerScript("torch_steps.py")], workload };
}

/** Images per second of PyTorch's steps, as many at a time as take this long. */
export function torchSpeed(
  name: string,
  python: string,
  workload: TorchWorkload,
  turnMs: number,
): Peer {
  const { command, words } = torchProcess(python, workload);
  let process: LineProcess | null = null;
  let stepsPerTurn = 1;
  const secondsOf = async (steps: number) => {
    assert(process !== null, "a peer runs after it was set up", { name });
    return Number((await process.ask({ steps })).seconds);
  };
  return {
    name,
    async setUp() {
      process = new LineProcess(command, words);
      const { trainedValues } = await process.ask(workload);
      const expected = trainableValues(workload.graph);
      if (trainedValues !== expected) {
        const sentence = `its model has ${trainedValues} trained values, not ${expected}`;
        throw new PacelineError("internal", sentence);
      }
      await secondsOf(1);
      stepsPerTurn = Math.ceil(turnMs / 1000 / (await secondsOf(1)));
    },
    run: async () => (stepsPerTurn * workload.batch) / (await secondsOf(stepsPerTurn)),
    tearDown: async () => process?.close(),
  };
}

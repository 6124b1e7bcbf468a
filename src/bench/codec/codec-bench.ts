/** `paceline bench codec`: its options; what measures is loaded when it is called. */

import { type KernelsChoice, kernelsChoices } from "../../kernels/choice.js";
import { choice, real, whole } from "../../options/option-values.js";
import { shareDefault, shareRange } from "../../protocol/compression.js";
import { chunkValuesMax } from "../../protocol/layout.js";
import { benchOf, sharedOptions } from "../harness/bench-option.js";

/** What to measure, and how. */
export interface CodecMeasures {
  readonly values: number;
  readonly share: number;
  readonly kernels: KernelsChoice;
  readonly peers: boolean;
  readonly rounds: number;
  readonly turnMs: number;
}

/** The benchmark of the codecs: bytes, speed and error on a normal vector. */
export const codecBench = benchOf<CodecMeasures>({
  name: "codec",
  sentence: "codecs: bytes, encoding and decoding, error on normal values",
  options: {
    values: {
      name: "values",
      type: whole(1, chunkValuesMax),
      default: chunkValuesMax,
      sentence: "values per chunk",
    },
    share: {
      name: "share",
      type: real(shareRange, "share"),
      default: shareDefault,
      sentence: "share of the values that topk and randomk keep",
    },
    kernels: {
      name: "kernels",
      type: choice(kernelsChoices),
      default: "auto",
      sentence: "what runs the loops",
    },
    peers: sharedOptions.peers,
    rounds: sharedOptions.rounds,
    turnMs: { ...sharedOptions.turnMs, default: 50 },
  },
  async run(measures, task) {
    return (await import("./codec-run.js")).runCodecBench(measures, task);
  },
});

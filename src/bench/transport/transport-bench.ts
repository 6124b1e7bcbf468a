/** `paceline bench transport`: its options; what measures is loaded when it is called. */

import { choice, whole } from "../../options/option-values.js";
import { benchOf, severalOf, sharedOptions } from "../harness/bench-option.js";

const transports = ["memory", "unix", "tcp", "grpc"] as const;
/** How chunks may travel. */
export type MeasuredTransport = (typeof transports)[number];

/** What to measure, and how. */
export interface TransportMeasures {
  readonly transports: readonly MeasuredTransport[];
  readonly connections: readonly number[];
  readonly bytes: number;
  readonly delayMs: number;
  readonly rounds: number;
  readonly peers: boolean;
}

/** The benchmark of moving chunks, without a server's work. */
export const transportBench = benchOf<TransportMeasures>({
  name: "transport",
  sentence: "chunks sent and echoed by each transport, compared with bare connections",
  options: {
    transports: {
      name: "transport",
      type: severalOf(choice(transports)),
      default: transports,
      sentence: "transports to measure",
    },
    connections: {
      name: "connections",
      type: severalOf(whole(1, 64)),
      default: [1],
      sentence: "connections that share the chunks",
    },
    bytes: {
      name: "bytes",
      type: whole(4, 1_000_000_000, "bytes"),
      default: 44_880_528,
      defaultText: "44880528, resnet18 in f32",
      sentence: "bytes sent each way, in chunks of 1 MiB",
    },
    delayMs: {
      name: "delay",
      type: whole(0, 1000, "milliseconds"),
      default: 1,
      sentence: "one-way network delay in milliseconds, for the rows with a delay; 0 for none",
    },
    rounds: sharedOptions.rounds,
    peers: sharedOptions.peers,
  },
  async run(measures, task) {
    return (await import("./transport-run.js")).runTransportBench(measures, task);
  },
});

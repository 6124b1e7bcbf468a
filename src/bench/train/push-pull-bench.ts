/** `paceline bench push-pull`: its options; what measures is loaded when it is called. */

import { modelList } from "../../nn/models.js";
import { choice, optional, path, whole } from "../../options/option-values.js";
import { chunkValuesMax } from "../../protocol/layout.js";
import { benchOf, orFound, severalOf, sharedOptions } from "../harness/bench-option.js";
import { type WireLists, wireOptions } from "./wire-setups.js";

const transports = ["unix", "tcp", "grpc"] as const;
/** A transport between workers and servers. */
export type PushPullTransport = (typeof transports)[number];

/** What to measure. */
export interface PushPullMeasures extends WireLists {
  readonly model: string;
  /** Null for all there are, over a link TCP. */
  readonly transports: readonly PushPullTransport[] | null;
  readonly servers: readonly number[];
  readonly replicas: readonly number[];
  readonly workers: readonly number[];
  /** Null for as many as take a second or two. */
  readonly steps: number | null;
  readonly chunkValues: number;
  /** The folder of certificates that every run has; null for runs without TLS. */
  readonly tls: string | null;
  readonly rounds: number;
  readonly peers: boolean;
  readonly python: string;
}

/** The benchmark of moving and applying: runs whose workers compute nothing. */
export const pushPullBench = benchOf<PushPullMeasures>({
  name: "push-pull",
  sentence: "gradients pushed, momentum SGD, parameters pulled, without computing in between",
  options: {
    model: {
      name: "model",
      type: choice(modelList.map(({ name }) => name)),
      default: "resnet18",
      sentence: "model whose parameters are transferred",
    },
    transports: {
      name: "transport",
      type: orFound(severalOf(choice(transports))),
      default: null,
      defaultText: "unix,tcp,grpc; over a link tcp",
      sentence: "transports to measure",
    },
    servers: {
      name: "servers",
      short: "s",
      type: severalOf(whole(1, 64)),
      default: [1],
      sentence: "number of servers",
    },
    replicas: {
      name: "replicas",
      type: severalOf(whole(1, 64)),
      default: [1],
      sentence: "servers that hold each chunk, at most as many as there are",
    },
    workers: {
      name: "workers",
      short: "w",
      type: severalOf(whole(1, 64)),
      default: [1],
      sentence: "number of workers",
    },
    steps: {
      name: "steps",
      type: orFound(whole(2, 1_000_000)),
      default: null,
      defaultText: "those of a second or two, over a slow link at least 2",
      sentence: "steps of each epoch of a run; two epochs count, one warms up",
    },
    chunkValues: {
      name: "chunk-values",
      type: whole(1, chunkValuesMax),
      default: chunkValuesMax,
      sentence: "most values in a chunk",
    },
    tls: {
      name: "tls",
      type: optional(path("folder", "the path of a folder")),
      default: null,
      sentence: "folder with certificates (paceline certs): tcp and grpc are measured over TLS",
    },
    ...wireOptions,
    ...sharedOptions,
  },
  async run(measures, task) {
    return (await import("./push-pull-run.js")).runPushPullBench(measures, task);
  },
});

/** `paceline bench push-pull`: its options; what measures is loaded when it is called. */
import { benchOf, severalOf, sharedOptions } from "../measure/bench-option.js";
import { modelList } from "../nn/models.js";
import { choice, whole } from "../options/option-values.js";

const transports = ["unix", "tcp", "grpc"] as const;

/** What to measure. */
export interface PushPullMeasures {
  readonly model: string;
  readonly transports: readonly (typeof transports)[number][];
  readonly servers: number;
  readonly workers: number;
  readonly steps: number;
  readonly rounds: number;
  readonly peers: boolean;
  readonly python: string;
}

/** The benchmark of moving and applying: runs whose workers compute nothing. */
export const pushPullBench = benchOf<PushPullMeasures>({
  name: "push-pull",
  sentence: "gradients pushed, momentum SGD, parameters pulled, without computing between",
  options: {
    model: {
      name: "model",
      type: choice(modelList.map(({ name }) => name)),
      default: "resnet18",
      sentence: "model whose parameters are moved",
    },
    transports: {
      name: "transport",
      type: severalOf(choice(transports)),
      default: transports,
      sentence: "ways to measure",
    },
    servers: {
      name: "servers",
      short: "s",
      type: whole(1, 64),
      default: 1,
      sentence: "servers that hold the parameters",
    },
    workers: {
      name: "workers",
      short: "w",
      type: whole(1, 64),
      default: 1,
      sentence: "workers that push and pull",
    },
    steps: {
      name: "steps",
      type: whole(2, 1_000_000),
      default: 60,
      sentence: "steps of each epoch of a run; two epochs count, one warms up",
    },
    ...sharedOptions,
  },
  async run(measures, task) {
    return (await import("./push-pull-run.js")).runPushPullBench(measures, task);
  },
});

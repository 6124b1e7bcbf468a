/**
 * The models by name. Adding one means a function that builds its graph and an entry in the table;
 * `--model`, its help and its errors follow from the table.
 *
 * Invariant: tensor names are those a PyTorch module of the same form has in its `state_dict`
 * (`fc1.weight`), except in `logistic`, whose names the ring of keys is known by.
 */
import { PacelineError } from "../errors.js";
import { type Shape, valuesIn } from "./layer-kind.js";
import { GraphBuilder, inputId, type ModelGraph } from "./model.js";

/** What a model has to fit; a model has defaults for both. */
export interface ModelOptions {
  /** How many classes the data set tells apart. */
  readonly classes?: number;
  /** Shape of one example, for instance [1, 28, 28]. */
  readonly inputShape?: Shape;
}

interface ModelEntry {
  readonly sentence: string;
  readonly classes: number;
  readonly inputShape: Shape;
  build(inputShape: Shape, classes: number): ModelGraph;
}

const models: Readonly<Record<string, ModelEntry>> = {
  mlp: {
    sentence: "two fully connected layers with 128 units between, ReLU, cross-entropy",
    classes: 10,
    inputShape: [1, 28, 28],
    build: buildMlp,
  },
  logistic: {
    sentence: "logistic regression: one logit, binary cross-entropy, uniform [0, 1) start",
    classes: 2,
    inputShape: [1, 28, 28],
    build: buildLogistic,
  },
};

/** Names of the known models, each with a sentence on what it is. */
export const modelList: readonly { readonly name: string; readonly sentence: string }[] =
  Object.entries(models).map(([name, { sentence }]) => ({ name, sentence }));

/**
 * The graph of a model.
 * @throws PacelineError `usage` for an unknown name, or options that the model can't fit.
 */
export function buildModel(name: string, options: ModelOptions = {}): ModelGraph {
  const entry = Object.hasOwn(models, name) ? models[name] : undefined;
  if (entry === undefined) {
    const known = modelList.map((model) => model.name).join(", ");
    throw new PacelineError("usage", `there is no model "${name}"; choose one of ${known}`);
  }
  const classes = options.classes ?? entry.classes;
  const inputShape = options.inputShape ?? entry.inputShape;
  if (!Number.isSafeInteger(classes) || classes < 2) {
    throw new PacelineError("usage", `a model needs at least 2 classes, not ${classes}`);
  }
  const extents = [...inputShape, valuesIn(inputShape)];
  if (!extents.every((extent) => Number.isSafeInteger(extent) && extent >= 1)) {
    throw new PacelineError(
      "usage",
      `[${inputShape}] is not the shape of an example; give whole numbers of at least 1`,
    );
  }
  return entry.build(inputShape, classes);
}

function buildMlp(inputShape: Shape, classes: number): ModelGraph {
  const builder = new GraphBuilder("mlp", inputShape);
  const output = builder.chain(inputId, [
    ["flatten", { kind: "flatten" }],
    ["fc1", { kind: "linear", outputs: 128 }],
    ["relu", { kind: "relu" }],
    ["fc2", { kind: "linear", outputs: classes }],
  ]);
  return builder.finish(output, "cross-entropy");
}

function buildLogistic(inputShape: Shape, classes: number): ModelGraph {
  if (classes !== 2) {
    throw new PacelineError(
      "usage",
      `model logistic tells 2 classes apart, but the data set has ${classes}; ` +
        "use --data mnist-parity, or --model mlp",
    );
  }
  const builder = new GraphBuilder("logistic", inputShape);
  const flat = builder.add("flatten", { kind: "flatten" }, [inputId]);
  const names = { weight: "fc_weights", bias: "fc_bias" };
  const layer = { kind: "linear", outputs: 1, start: "unit-uniform" } as const;
  return builder.finish(builder.add("fc", layer, [flat], names), "bce-with-logits");
}

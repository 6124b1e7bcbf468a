/**
 * The models by name. Adding one means a function that builds its graph and an entry in the table;
 * `--model`, its help and its errors follow from the table.
 *
 * Invariant: tensor names are those a PyTorch module of the same form has in its `state_dict`
 * (`fc1.weight`), except in `logistic`, whose names the ring of keys is known by.
 */
import { PacelineError } from "../errors.js";
import type { Stem } from "../protocol/run-spec.js";
import { type Shape, valuesIn } from "./layer-kind.js";
import type { Layer } from "./layers.js";
import { GraphBuilder, inputId, type ModelGraph } from "./model.js";
import { buildResnet, type ResnetPlan, resnetPlans } from "./resnets.js";

/** What a model has to fit; a model has defaults for all. */
export interface ModelOptions {
  /** How many classes the data set tells apart. */
  readonly classes?: number;
  /** Shape of one example, for instance [1, 28, 28]. */
  readonly inputShape?: Shape;
  /** How a residual network begins; null for the model's own beginning. */
  readonly stem?: Stem | null;
}

/** The options with the model's defaults filled in. */
type Fit = Required<ModelOptions>;

interface ModelEntry {
  readonly sentence: string;
  /** What the model fits if nothing else is asked for. */
  readonly fit: Fit;
  /** Fewest rows and columns of the pictures [C, H, W] it takes; absent where any shape will do. */
  readonly pictureExtentMin?: number;
  /** Whether its beginning can be chosen. */
  readonly hasStems?: boolean;
  build(fit: Fit): ModelGraph;
}

const digits: Fit = { classes: 10, inputShape: [1, 28, 28], stem: null };
const smallPictures: Fit = { classes: 10, inputShape: [3, 32, 32], stem: null };

const models: Readonly<Record<string, ModelEntry>> = {
  mlp: {
    sentence: "two fully connected layers with 128 units between, ReLU, cross-entropy",
    fit: digits,
    build: buildMlp,
  },
  logistic: {
    sentence: "logistic regression: one logit, binary cross-entropy, uniform [0, 1) start",
    fit: { ...digits, classes: 2 },
    build: buildLogistic,
  },
  cnn6: {
    sentence:
      "six convolutions with batch normalisation, three pools, three fully connected layers",
    fit: smallPictures,
    pictureExtentMin: 8,
    build: buildCnn6,
  },
  ...Object.fromEntries(Object.entries(resnetPlans).map(resnetEntry)),
};

function resnetEntry([name, plan]: [name: string, plan: ResnetPlan]): [string, ModelEntry] {
  const { block, stages, hasStems } = plan;
  const entry: ModelEntry = {
    sentence: `residual network: stages of ${stages.join("-")} ${block} blocks`,
    fit: smallPictures,
    pictureExtentMin: 1,
    hasStems,
    build: (fit) => buildResnet(name, plan, fit),
  };
  return [name, entry];
}

/** Names of the known models, each with a sentence on what it is. */
export const modelList: readonly { readonly name: string; readonly sentence: string }[] =
  Object.entries(models).map(([name, { sentence }]) => ({ name, sentence }));

/** Names of the models whose beginning can be chosen. */
export const stemmedModels: readonly string[] = Object.keys(models).filter(
  (name) => models[name]?.hasStems === true,
);

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
  const fit = { ...entry.fit, ...options };
  const { classes, inputShape } = fit;
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
  if (fit.stem !== null && entry.hasStems !== true) throw withoutStem(name, fit.stem);
  if (entry.pictureExtentMin !== undefined) demandPicture(name, inputShape, entry.pictureExtentMin);
  return entry.build(fit);
}

function withoutStem(name: string, stem: string): PacelineError {
  return new PacelineError(
    "usage",
    `--stem ${stem} has no effect on model ${name}, which begins in one way only; ` +
      `leave it out, or choose --model ${stemmedModels.join(", ")}`,
  );
}

function demandPicture(name: string, inputShape: Shape, extentMin: number): void {
  const [, rows = 0, columns = 0] = inputShape;
  if (inputShape.length === 3 && rows >= extentMin && columns >= extentMin) return;
  throw new PacelineError(
    "usage",
    `model ${name} takes pictures [channels, rows, columns] of at least ` +
      `${extentMin} x ${extentMin}, not examples of [${inputShape}]; ` +
      "choose larger pictures, or --model mlp, which takes any shape",
  );
}

function buildMlp({ inputShape, classes }: Fit): ModelGraph {
  const builder = new GraphBuilder("mlp", inputShape);
  const output = builder.chain(inputId, [
    ["flatten", { kind: "flatten" }],
    ["fc1", { kind: "linear", outputs: 128 }],
    ["relu", { kind: "relu" }],
    ["fc2", { kind: "linear", outputs: classes }],
  ]);
  return builder.finish(output, "cross-entropy");
}

function buildLogistic({ inputShape, classes }: Fit): ModelGraph {
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

/** The batch-dealing system's network: two 3x3 convolutions, then a pool, three times over. */
function buildCnn6({ inputShape, classes }: Fit): ModelGraph {
  const builder = new GraphBuilder("cnn6", inputShape);
  const convolutions = [32, 32, 64, 64, 128, 128].flatMap((outputs, index) => {
    const number = index + 1;
    const layers: [string, Layer][] = [
      [`conv${number}`, { kind: "conv2d", outputs, kernel: 3, padding: 1 }],
      [`bn${number}`, { kind: "batch-norm" }],
      [`relu${number}`, { kind: "relu" }],
    ];
    if (number % 2 === 0) layers.push([`pool${number / 2}`, { kind: "max-pool", kernel: 2 }]);
    return layers;
  });
  const output = builder.chain(inputId, [
    ...convolutions,
    ["avgpool", { kind: "global-avg-pool" }],
    ["fc1", { kind: "linear", outputs: 64 }],
    ["relu7", { kind: "relu" }],
    ["dropout1", { kind: "dropout", rate: 0.5 }],
    ["fc2", { kind: "linear", outputs: 32 }],
    ["relu8", { kind: "relu" }],
    ["dropout2", { kind: "dropout", rate: 0.5 }],
    ["fc3", { kind: "linear", outputs: classes }],
  ]);
  return builder.finish(output, "cross-entropy");
}

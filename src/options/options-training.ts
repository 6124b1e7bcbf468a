/** Rows of the groups "training" and "input" that name models and data, or take a part of data. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { datasetNames } from "../data/dataset.js";
import { modelList, stemmedModels } from "../nn/models.js";
import { fastLimits } from "../protocol/run-options.js";
import { stems } from "../protocol/run-spec.js";
import { homeFolder } from "../store/home-path.js";
import { isRemote, withoutSecret } from "../store/remote/remote-store.js";
import { alternatives } from "../suggest.js";
import {
  type CommandName,
  type Environment,
  type OptionRows,
  trainingCommands,
} from "./option-row.js";
import { choice, folderName, optional, path, type ValueType, whole } from "./option-values.js";
import type { PortionOptions, TrainingOptions } from "./resolved-options.js";

/** Where data sets lie; a URL of another kind would be taken for none that is here. */
const dataPlace: ValueType<string> = {
  ...path("place", "the path of a folder, an https:// or an s3:// URL"),
  parse(text) {
    if (isRemote(text) && !/^(https?|s3):/i.test(text)) return { problem: "is no source of data" };
    if (isRemote(text) && !URL.canParse(text)) return { problem: "is not a URL" };
    return path("place", "").parse(text);
  },
  // Neither logs nor the run's folder have a user and password that a URL may hold.
  print: withoutSecret,
};

const modelNames = modelList.map(({ name }) => name);
const group = "training";
const commands = trainingCommands;
/** Commands that read data sets. */
const readers: readonly CommandName[] = [
  "train",
  "baseline",
  "coordinator",
  "worker",
  "doctor",
  "data",
  "eval",
  "predict",
];

/** What is trained, on what, and where that lies. */
export const trainingRows: OptionRows<TrainingOptions> = {
  model: {
    name: "model",
    type: optional(choice(modelNames), alternatives(modelNames)),
    default: null,
    sentence: "model to train",
    group,
    commands: [...commands, "ring"],
    defaults: { ring: "logistic" },
  },
  stem: {
    name: "stem",
    type: choice(stems),
    default: "cifar",
    sentence:
      "first layers of resnet18, 34 and 50: cifar keeps the size of small pictures, imagenet " +
      "reduces height and width to a quarter",
    group,
    commands: [...commands, "ring"],
    onlyWith: { key: "model", values: stemmedModels },
  },
  data: {
    name: "data",
    otherNames: ["problem"],
    type: optional(folderName(datasetNames, "the name of a folder of your own in --data-dir")),
    default: null,
    sentence: `data set to train on: ${alternatives([...datasetNames, "a folder of your own"])}`,
    group,
    commands: [...commands, "doctor", "eval"],
    defaults: { doctor: "mnist" },
  },
  dataDir: {
    name: "data-dir",
    type: optional(dataPlace),
    default: null,
    defaultText: "the cache folder",
    sentence: "folder or URL of the data sets, each in a subfolder of its name",
    group: "input",
    commands: readers,
  },
  cacheDir: {
    name: "cache-dir",
    type: path("folder", "the path of a folder"),
    default: "",
    defaultFrom: cacheFolder,
    defaultText: "`paceline` in the user's cache folder",
    sentence: "folder for downloaded data sets",
    group: "input",
    commands: readers,
  },
};

/** How much of the data is taken, and in what parts. */
export const portionRows: OptionRows<PortionOptions> = {
  asWorkers: {
    name: "as-workers",
    type: whole(1, 1024),
    default: 1,
    unit: "micro-batches",
    sentence: "compute N micro-batches per step and fold them as N workers' gradients are folded",
    group,
    commands: ["baseline"],
  },
  trainLimit: {
    name: "train-limit",
    type: optional(whole(1, 2_000_000_000, "examples")),
    default: null,
    fast: fastLimits.train,
    unit: "examples",
    sentence: "use only the first N training examples",
    group: "input",
    commands: [...commands, "eval"],
  },
  testLimit: {
    name: "test-limit",
    type: optional(whole(1, 2_000_000_000, "examples")),
    default: null,
    fast: fastLimits.test,
    unit: "examples",
    sentence: "use only the first N test examples",
    group: "input",
    commands: [...commands, "eval"],
  },
};

function cacheFolder(environment: Environment): string {
  const { XDG_CACHE_HOME: cache, LOCALAPPDATA: local } = environment;
  if (cache) return join(cache, "paceline");
  // A user that the machine does not know, as containers have them, may have no home.
  const home = homeFolder() ?? join(tmpdir(), `paceline-${process.getuid?.() ?? "user"}`);
  if (process.platform === "win32") return join(local ?? home, "paceline", "cache");
  if (process.platform === "darwin") return join(home, "Library", "Caches", "paceline");
  return join(home, ".cache", "paceline");
}

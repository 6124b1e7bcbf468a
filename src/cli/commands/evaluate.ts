/**
 * `paceline eval --ckpt`: what a checkpoint's model comes to on the test set of its run, or on
 * another set of equal shape. Model, input values and shares are those of the run spec in its
 * manifest, so that the numbers are those of the run's own evaluations.
 */

import { identifyDataset, inspectDataset } from "../../data/dataset.js";
import { classesDifference, type DataIdentity, identityDifference } from "../../data/identity.js";
import { PacelineError } from "../../errors.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import type { Layout } from "../../protocol/layout.js";
import { modelTitle, type RunSpec } from "../../protocol/run-spec.js";
import { printable } from "../../report/progress.js";
import { layoutOf } from "../../runtime/compute/initial-state.js";
import { ModelScorer, type Score } from "../../runtime/compute/stored-model.js";
import { epochOf } from "../../runtime/run-preparation.js";
import {
  orMissing,
  readWeights,
  type StoredCheckpoint,
} from "../../store/checkpoint/checkpoint.js";
import {
  readManifest,
  readSound,
  resolveResume,
} from "../../store/checkpoint/checkpoint-folder.js";
import type { CheckpointManifest } from "../../store/checkpoint/manifest.js";

/** What is to be evaluated on; null leaves a choice to the checkpoint's run. */
export interface EvaluationChoice {
  readonly split: "train" | "test";
  readonly data: string | null;
  readonly engine: ResolvedOptions["engine"] | null;
  /** "run": as many as the run itself used; null: all there are. */
  readonly limit: number | null | "run";
  /** Labels are compared by number, whatever the classes are called. */
  readonly otherClasses: boolean;
}

/** The spec to evaluate with, and what a person should know of the examples. */
export interface EvaluationPlan {
  readonly spec: RunSpec;
  readonly note: string | null;
}

/** What of a checkpoint its model is made of. */
export type StoredModel = Pick<StoredCheckpoint, "manifest" | "weights">;

/** What the command reads of the options. */
export type EvaluateOptions = Pick<
  ResolvedOptions,
  "dataDir" | "cacheDir" | "runDir" | "json" | "quiet"
>;

/** Runs the command; resolves to the exit code. */
export async function evaluate(
  wanted: string,
  choice: EvaluationChoice,
  options: EvaluateOptions,
  io: Pick<CommandIo, "stdout" | "stderr">,
): Promise<number> {
  const checkpoint = await checkpointOf(wanted, options.runDir);
  const { manifest, weights } = checkpoint;
  const { spec, note } = await planEvaluation(manifest, choice, options);
  if (note !== null && !options.quiet) io.stderr.write(`${printable(note)}\n`);
  const scorer = scorerFor(choice, options, io);
  try {
    const score = await scorer.score(spec, weights);
    const model = `${modelTitle(spec)} of run ${printable(manifest.spec.name)}`;
    const at = `step ${manifest.globalStep}, epoch ${epochOf(manifest)} of ${spec.epochs}`;
    const text = `${model}, ${at}: ${scoreText(score, choice, spec)}`;
    io.stdout.write(`${options.json ? JSON.stringify(scoreForm(score)) : text}\n`);
    return 0;
  } finally {
    await scorer.close();
  }
}

/**
 * The checkpoint at a path, the latest of a run's folder, or of a run's name; `auto` is the newest.
 * @throws PacelineError `checkpoint` where there is none, or none that can be read or built here.
 */
export async function checkpointOf(wanted: string, runDir: string): Promise<StoredModel> {
  const flag = "--ckpt";
  const point = await resolveResume({ wanted, runRoot: runDir, flag });
  // What is told of another step than the latest is only told of one that was asked for.
  const { value } = await readSound({ ...point, isExact: true }, readModel, flag);
  return value;
}

/**
 * The model of the checkpoint at a path, which is one that can be built here.
 * @throws PacelineError `checkpoint` otherwise.
 */
export async function readModel(path: string): Promise<StoredModel> {
  const manifest = await orMissing(readManifest(path));
  const { spec, layout } = manifest;
  if (builtHere(path, spec).fingerprint !== layout.fingerprint) {
    const sentence = `${path} holds other tensors than model ${modelTitle(spec)} has here`;
    throw new PacelineError("checkpoint", `${sentence}: use the version of Paceline that wrote it`);
  }
  return { manifest, weights: await readWeights(path, manifest) };
}

function builtHere(path: string, spec: RunSpec): Layout {
  try {
    return layoutOf(spec);
  } catch (cause) {
    if (!(cause instanceof PacelineError)) throw cause;
    const sentence = `${path} is of a model that can't be built here: ${cause.message}`;
    throw new PacelineError("checkpoint", sentence, { cause });
  }
}

/**
 * The spec of a checkpoint's run, with the examples to evaluate on as its test set.
 * @throws PacelineError `usage` for a data set that does not fit the model, `data` where fewer
 *   examples are here than the run used, or the run's data set has other classes by now.
 */
export async function planEvaluation(
  { spec }: CheckpointManifest,
  choice: EvaluationChoice,
  { dataDir, cacheDir }: Pick<EvaluateOptions, "dataDir" | "cacheDir">,
): Promise<EvaluationPlan> {
  const { data, engine, split, limit } = choice;
  const own = data === null || data === spec.data;
  const name = data ?? spec.data;
  const found = await inspectDataset(name, { dataDir, cacheDir }).catch((thrown: unknown) => {
    const isGone = own && thrown instanceof PacelineError && thrown.code === "usage";
    throw isGone ? new PacelineError("data", thrown.message, { cause: thrown }) : thrown;
  });
  const sizes = (one: Pick<RunSpec["input"], "classes" | "shape">) =>
    `${one.classes} classes of ${one.shape.join(" x ")} values`;
  if (sizes(found) !== sizes(spec.input)) {
    const model = `the checkpoint's ${spec.model} was made for ${spec.data}, ${sizes(spec.input)}`;
    const sentence = `data set ${name} has ${sizes(found)} and ${model}`;
    throw own
      ? new PacelineError("data", `${sentence}: give the files that it was trained on`)
      : new PacelineError("usage", `${sentence}; leave --data out, or name one of equal sizes`);
  }
  const used = split === "train" ? spec.trainExamples : spec.testExamples;
  const wanted = limit === "run" ? (own ? used : null) : limit;
  if (typeof limit === "number" && limit > found[split]) {
    const sentence = `--${split}-limit ${limit} is more than the ${found[split]} ${split} examples`;
    const remedy = `write ${found[split]} or less, or leave it out`;
    throw new PacelineError("usage", `${sentence} of ${name}; ${remedy}`);
  }
  const examples = Math.min(found[split], wanted ?? found[split]);
  if (examples === 0) {
    throw new PacelineError("data", `${name} has no ${split} examples: there is nothing to score`);
  }
  if (limit === "run" && own && examples < used) {
    const sentence = `${name} has ${examples} ${split} examples here and the run used ${used}`;
    const remedy = `give its files with --data-dir, or write --${split}-limit ${examples}`;
    throw new PacelineError("data", `${sentence}: ${remedy}`);
  }
  const identity = await identifyDataset(name, { dataDir, cacheDir });
  const note = compareIdentities(spec, { name, own, identity }, choice);
  const planned = {
    ...spec,
    data: name,
    engine: engine ?? spec.engine,
    testExamples: examples,
    // Whatever of the training set is not evaluated on need not be held.
    trainExamples: split === "train" ? examples : Math.min(1, found.train),
    // These are the files that are meant, whichever the run had.
    input: { ...spec.input, identity: null },
  };
  return { spec: planned, note };
}

interface DataHere {
  readonly name: string;
  /** It has the name that the run's data set has. */
  readonly own: boolean;
  readonly identity: DataIdentity;
}

/** Refuses other classes; what to say where the run's own examples are others by now, or null. */
function compareIdentities(
  { input, data, model }: RunSpec,
  { name, own, identity }: DataHere,
  { split, otherClasses }: EvaluationChoice,
): string | null {
  const trained = input.identity;
  if (trained === null) {
    if (otherClasses) return null;
    return `the checkpoint records no classes: whether ${name} has the same is not checked`;
  }
  const difference = classesDifference(identity.classNames, trained.classNames);
  if (difference !== null && !otherClasses) {
    const sentence = `data set ${name} has ${difference} as the checkpoint's ${model} for ${data}`;
    const remedy = own ? "give the files that it was trained on" : "leave --data out";
    const flag = "--other-classes scores by label number regardless";
    throw new PacelineError(own ? "data" : "usage", `${sentence}: ${remedy}; ${flag}`);
  }
  if (difference !== null || !own) return null;
  const others = identityDifference(identity, trained, [split]);
  return others === null ? null : `${name} here has ${others} as the checkpoint's run`;
}

/** A scorer with the choice's data and the log's place. */
export function scorerFor(
  { split }: EvaluationChoice,
  { dataDir, cacheDir, quiet }: EvaluateOptions,
  { stderr }: Pick<CommandIo, "stderr">,
): ModelScorer {
  const log = (text: string) => void (quiet || stderr.write(`${printable(text)}\n`));
  return new ModelScorer({ dataDir, cacheDir, evaluateOn: split, log });
}

/** A score as programs get it. */
export function scoreForm({ accuracyPercent, loss, examples }: Score) {
  return { accuracy_percent: accuracyPercent, loss, examples };
}

/** A score as a person reads it. */
export function scoreText(
  { accuracyPercent, loss, examples }: Score,
  { split }: Pick<EvaluationChoice, "split">,
  { data }: Pick<RunSpec, "data">,
): string {
  const word = split === "train" ? "training" : "test";
  const numbers = `accuracy ${accuracyPercent.toFixed(2)}%, loss ${loss.toFixed(4)}`;
  return `${numbers} over ${examples} ${word} examples of ${printable(data)}`;
}

/**
 * `paceline predict`: what a checkpoint's model sees in pictures. A picture becomes input values as
 * the run's examples did, without the random changes of training.
 */

import { classNamesOf, isBuiltIn } from "../../data/dataset.js";
import { readPictureAs } from "../../data/formats/picture.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { modelTitle, type RunSpec } from "../../protocol/run-spec.js";
import { printable } from "../../report/progress.js";
import { engineOf } from "../../runtime/compute/run-engine.js";
import { classProbabilities } from "../../runtime/compute/stored-model.js";
import { checkpointOf } from "./evaluate.js";

/** What the command is asked. */
export interface PredictRequest {
  /** A checkpoint's path, a run's folder or name, or auto. */
  readonly checkpoint: string;
  readonly pictures: readonly string[];
  /** How many of the likeliest classes to show. */
  readonly top: number;
  /** Null leaves it to the checkpoint's run. */
  readonly engine: ResolvedOptions["engine"] | null;
}

/** A class and how likely it is. */
export interface LikelyClass {
  readonly label: number;
  readonly name: string;
  readonly probability: number;
}

/** A picture as `paceline predict --json` tells it. */
export interface PredictedPicture {
  readonly path: string;
  /** The likeliest first; of equals the one of the lower label, as evaluation counts. */
  readonly classes: readonly LikelyClass[];
}

/** Runs the command; resolves to the exit code. Nothing is printed unless all can be read. */
export async function predict(
  { checkpoint: wanted, pictures: paths, top, engine: choice }: PredictRequest,
  options: Pick<ResolvedOptions, "dataDir" | "cacheDir" | "runDir" | "json" | "quiet">,
  io: Pick<CommandIo, "stdout" | "stderr">,
): Promise<number> {
  const { manifest, weights } = await checkpointOf(wanted, options.runDir);
  const { spec } = manifest;
  const pictures: Uint8Array[] = [];
  for (const path of paths) {
    pictures.push((await readPictureAs(spec.input.shape, path)).pixels);
  }
  const { engine, reason } = engineOf({ ...spec, engine: choice ?? spec.engine });
  if (!options.quiet) {
    const at = `step ${manifest.globalStep} of run ${printable(spec.name)}`;
    io.stderr.write(`${modelTitle(spec)} for ${printable(spec.data)}, ${at}\n${reason}\n`);
  }
  const names = await classNamesFor(spec, options, io);
  const nameOf = (label: number) => names?.[label] ?? String(label);
  const all = classProbabilities(spec, weights, engine, pictures);
  const predicted = all.map((probabilities, index): PredictedPicture => {
    const ranked = Array.from(probabilities, (probability, label): LikelyClass => {
      return { label, name: nameOf(label), probability };
    }).sort((left, right) => right.probability - left.probability);
    return { path: paths[index]!, classes: ranked.slice(0, top) };
  });
  io.stdout.write(options.json ? `${JSON.stringify(predicted)}\n` : predicted.map(lines).join(""));
  return 0;
}

/**
 * The classes as the checkpoint names them. One of an earlier version does not: then those of the
 * data set as it is here, or null where only the labels' numbers are known.
 */
async function classNamesFor(
  { data, input }: RunSpec,
  options: Pick<ResolvedOptions, "dataDir" | "cacheDir" | "quiet">,
  { stderr }: Pick<CommandIo, "stderr">,
): Promise<readonly string[] | null> {
  if (input.identity !== null) return input.identity.classNames;
  const here = await classNamesOf(data, options);
  if (here === null || here.length !== input.classes) return null;
  if (!options.quiet && !isBuiltIn(data)) {
    const sentence = "the checkpoint does not name its classes: the names are those of";
    stderr.write(`${sentence} ${printable(data)} as it is here\n`);
  }
  return here;
}

function lines({ path, classes }: PredictedPicture): string {
  const rows = classes.map(({ name, probability }) => {
    const percent = (100 * probability).toFixed(2);
    return `${percent.padStart(8)}%  ${printable(name)}`;
  });
  return [printable(path), ...rows].map((line) => `${line}\n`).join("");
}

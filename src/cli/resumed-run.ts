/**
 * What `--resume` takes from the run that it names: everything that the run was given, but for what
 * concerns a start alone. What is said anew overrides it, and each difference is told.
 */
import { join } from "node:path";
import { PacelineError } from "../errors.js";
import { showOrigin } from "../options/assignments.js";
import { readConfigText } from "../options/config-file.js";
import type { CommandName } from "../options/option-row.js";
import { keysOf, type OptionKey, rowOf } from "../options/options.js";
import type { Resolution, Written } from "../options/resolve.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import { goesOn, nothingLeft } from "../runtime/run-preparation.js";
import { orMissing, readCheckpoint } from "../store/checkpoint/checkpoint.js";
import {
  type ResumePoint,
  readManifest,
  readSound,
  resolveResume,
} from "../store/checkpoint/checkpoint-folder.js";
import type { CheckpointManifest } from "../store/checkpoint/manifest.js";
import { diskFiles, readWhole } from "../store/files.js";
import { utf8Text } from "../store/yaml-file.js";

/** A run to go on with. */
export interface ResumedRun {
  /** The file that its options are from. */
  readonly path: string;
  readonly values: Written;
  readonly manifest: CheckpointManifest;
  readonly point: ResumePoint;
  /** The command that began it. */
  readonly command: "train" | "baseline" | "coordinator";
}

/** The largest config.yaml of a run that is read. */
const configBytesMax = 1_000_000;

/** What belongs to a start, not to a run. */
export const ofStart: readonly OptionKey[] = [
  ...([
    "resume",
    "name",
    "runDir",
    "takeOver",
    "handOver",
    "store",
    "dryRun",
    "inject",
    "serve",
  ] as const),
  ...(["port", "jobs", "storeTls"] as const),
  ...(["json", "quiet", "verbose", "progress", "trace"] as const),
];

/** What a checkpoint fixes. */
const fixed: readonly OptionKey[] = [
  ...(["model", "stem", "data", "trainLimit", "optimizer", "seed", "feed"] as const),
  ...(["batchSize", "chunkValues", "localSteps", "outerOptimizer"] as const),
];

/**
 * The run that is meant by `--resume`; null where the checkpoint lies outside of one.
 * @throws PacelineError `checkpoint` where there is none.
 */
export async function findResumedRun({
  resume,
  runDir,
  model,
  data,
}: Pick<ResolvedOptions, "resume" | "runDir" | "model" | "data">): Promise<ResumedRun | null> {
  const request = { wanted: resume ?? "", runRoot: runDir };
  const meant = await resolveResume(model === null ? request : { ...request, model });
  const read = (path: string) => orMissing(readManifest(path));
  const { value: manifest, point } = await readSound(meant, read);
  if (point.runDirectory === null) return null;
  const path = join(point.runDirectory, "config.yaml");
  const content = await readWhole(diskFiles, path, configBytesMax);
  const written = readConfigText(utf8Text(content, path), path);
  if (!(model !== null || written.has("model")) || !(data !== null || written.has("data"))) {
    const { spec } = manifest;
    const remedy = `write --model ${spec.model} --data ${spec.data} beside --resume`;
    const sentence = `${path} is cut off: it says neither model nor data`;
    throw new PacelineError("checkpoint", `${sentence}; ${remedy}, and what else the run had`);
  }
  const values = new Map([...written].filter(([key]) => !ofStart.includes(key)));
  const command = written.has("asWorkers")
    ? "baseline"
    : written.has("serve")
      ? "coordinator"
      : "train";
  return { path, values, manifest, point, command };
}

/** A line for each option that is not as the run had it. */
export function differences(
  command: CommandName,
  run: Pick<ResumedRun, "values">,
  resolution: Resolution,
): string[] {
  return changedOptions(command, run, resolution).map(({ text }) => text);
}

/** The same with the options' keys. */
export function changedOptions(
  command: CommandName,
  { values }: Pick<ResumedRun, "values">,
  { options, origins }: Resolution,
): { readonly key: OptionKey; readonly text: string }[] {
  const changed = keysOf(command).filter((key) => differs(key, values, options));
  return changed.map((key) => {
    const { name, type } = rowOf(key);
    const present = `${type.print(options[key])} (${showOrigin(origins[key])})`;
    return { key, text: `--${name} is ${present}; the run had ${values.get(key)}` };
  });
}

function differs(key: OptionKey, values: Written, options: ResolvedOptions): boolean {
  const before = values.get(key);
  if (before === undefined) return false;
  const { type } = rowOf(key);
  const parsed = type.parse(before);
  return !("value" in parsed && type.print(parsed.value) === type.print(options[key]));
}

/**
 * Says, where the run is done and asked for nothing further, that nothing is left to train, and
 * with --json prints its result again; then the exit code is that of a run that is done.
 */
export async function tellNothingLeft(
  { manifest, point, values }: ResumedRun,
  options: ResolvedOptions,
  { stdout, stderr }: Pick<CommandIo, "stdout" | "stderr">,
): Promise<boolean> {
  // What the run can't go on with is refused where it would begin.
  const isOther = fixed.some((key) => differs(key, values, options));
  if (!goesOn(point, options) || isOther) return false;
  const nothing = nothingLeft(manifest, options);
  if (nothing === null) return false;
  // It is only done while what it came to can be read.
  const sound = await readSound(point, readCheckpoint);
  if (sound.point.path !== point.path) return false;
  stderr.write(`run ${manifest.spec.name} ${nothing}\n`);
  if (!options.json) return true;
  const { readExperimentFile } = await import("../store/runs/experiment-file.js");
  const result = await readExperimentFile(join(point.runDirectory ?? "", "result.json"));
  stdout.write(`${JSON.stringify(result)}\n`);
  return true;
}

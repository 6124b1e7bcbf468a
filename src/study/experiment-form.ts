/**
 * The experiment file read loosely: what is there must be of the right kind and within its bounds,
 * but nearly everything may be missing, since files of several origins and years are to be
 * compared. What a file does not tell stays null; unknown fields are let be.
 */
import { z } from "zod";
import { PacelineError } from "../errors.js";
import { diskFiles, type Files, readWhole } from "../store/files.js";
import { isTooDeep, jsonDepthMax, repeatedKey, withoutMark } from "../store/json-text.js";
import { demandOnce, demandWorkersOnce } from "../store/runs/told-once.js";

const fileBytesMax = 64 * 1024 * 1024;

const amount = z.number().nonnegative().nullish();
const amounts = z.array(z.number().nonnegative().nullable()).nullish();
const count = z.int().nonnegative().nullish();
const loss = z.number().nullish();
const percent = z.number().min(0).max(100).nullish();
const text = z.string().nullish();

const serverForm = z.looseObject({
  mode: text,
  total_workers: count,
  total_training_time_seconds: amount,
  learning_rate: amount,
});

const workerForm = z.looseObject({
  worker_id: count,
  total_workers: count,
  total_training_time_seconds: amount,
  average_epoch_time_seconds: amount,
  epoch_times_seconds: amounts,
  final_test_accuracy_percent: percent,
  all_accuracies_percent: z.array(percent).nullish(),
  batch_size: count,
  learning_rate: amount,
  num_epochs: count,
});

const aggregateForm = z.looseObject({
  num_workers: count,
  total_training_time_seconds: amount,
  average_epoch_time_seconds: amount,
  final_test_accuracy_percent: percent,
  per_worker_metrics: z.array(workerForm).nullish(),
  epoch_times_by_epoch: z
    .array(z.looseObject({ epoch: z.int().positive(), max_time: amount, avg_time: amount }))
    .nullish(),
  accuracy_by_epoch: z
    .array(z.looseObject({ epoch: z.int().positive(), avg_accuracy: percent }))
    .nullish(),
});

const evaluationForm = z.looseObject({
  step: z.int().nonnegative(),
  epoch: z.int().positive().nullish(),
  // Null where it was not finite, which JSON can't hold.
  accuracy: percent,
  loss,
  seconds: z.number().nonnegative(),
  examples: amount,
  final: z.boolean().nullish(),
  version: text,
});

const pacelineForm = z.looseObject({
  version: text,
  commit: text,
  protocol: text,
  model: text,
  data: text,
  servers: count,
  workers: count,
  seed: z.number().nullish(),
  outcome: z.enum(["done", "failed", "interrupted"]).nullish(),
  reason: text,
  startedAt: text,
  endedAt: text,
  trainingSeconds: amount,
  globalSteps: count,
  evaluations: z.array(evaluationForm).nullish(),
  epochs: z
    .array(
      z.looseObject({
        epoch: z.int().positive(),
        seconds: amount,
        trainLoss: loss,
        trainAccuracy: percent,
        examples: amount,
      }),
    )
    .nullish(),
  staleness: z
    .looseObject({
      average: amount,
      max: amount,
      rejected: count,
      counts: z.array(z.int().nonnegative()).nullish(),
    })
    .nullish(),
  stepTimes: z
    .looseObject({ inputSeconds: amount, computeSeconds: amount, waitSeconds: amount })
    .nullish(),
  tornSteps: count,
  skippedExamples: count,
  bytesIn: amount,
  bytesOut: amount,
  crowded: z.boolean().nullish(),
  inOneProcess: z.boolean().nullish(),
  simulated: z.boolean().nullish(),
  spec: z.record(z.string(), z.unknown()).nullish(),
});

const fileForm = z
  .looseObject({
    experiment_name: z.string().min(1),
    timestamp: text,
    server_metrics: serverForm.nullish(),
    worker_metrics_aggregated: aggregateForm.nullish(),
    raw_worker_metrics: z.array(workerForm).nullish(),
    paceline: pacelineForm.nullish(),
  })
  .refine(
    (file) =>
      "server_metrics" in file ||
      "worker_metrics_aggregated" in file ||
      "raw_worker_metrics" in file,
    "it holds no metrics of servers or workers",
  );

/** An experiment file as far as it tells. */
export type ExperimentForm = z.infer<typeof fileForm>;
/** The metrics of one worker. */
export type WorkerForm = z.infer<typeof workerForm>;
/** What Paceline adds to the published form. */
export type PacelineForm = z.infer<typeof pacelineForm>;

/** Reads an experiment file of any origin; one of another form is a `usage` error that says why. */
export async function readExperimentForm(
  path: string,
  files: Files = diskFiles,
): Promise<ExperimentForm> {
  const bytes = await readWhole(files, path, fileBytesMax, "usage");
  const content = withoutMark(bytes.toString("utf8"));
  const checked = fileForm.safeParse(parsed(content, path));
  if (checked.success) {
    demandTold(path, checked.data);
    return checked.data;
  }
  const issue = checked.error.issues[0]!;
  const where = issue.path.join(".");
  const what = where === "" ? issue.message : `${where}: ${issue.message}`;
  throw new PacelineError("usage", `${path} is not an experiment file: ${what}; ${remedy}`);
}

/** Refuses what is listed twice. */
function demandTold(path: string, file: ExperimentForm): void {
  const { worker_metrics_aggregated: together, raw_worker_metrics: raw, paceline } = file;
  demandWorkersOnce(path, "raw_worker_metrics", raw);
  demandWorkersOnce(path, "per_worker_metrics", together?.per_worker_metrics);
  const about = { what: "epoch", key: ({ epoch }: { epoch: number }) => epoch };
  const epochLists = [
    ["epoch_times_by_epoch", together?.epoch_times_by_epoch],
    ["accuracy_by_epoch", together?.accuracy_by_epoch],
    ["paceline.epochs", paceline?.epochs],
  ] as const;
  for (const [place, entries] of epochLists) {
    demandOnce<{ epoch: number }>(path, { ...about, place, entries, value: (entry) => entry });
  }
}

const remedy = "give a run's folder, its result.json or a file of that form";

function parsed(content: string, path: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (cause) {
    const [, word] = /[:[,]\s*(-?(?:NaN|Infinity))\b/.exec(content) ?? [];
    const what =
      word !== undefined
        ? `${path} holds ${word}, which JSON can't express: write null where nothing is known`
        : content.trim() === ""
          ? `${path} is empty: ${remedy}`
          : `${path} is not JSON, or is cut off (${(cause as Error).message}): ${remedy}`;
    throw new PacelineError("usage", what, { cause });
  }
  if (isTooDeep(content)) {
    const what = `${path} is nested deeper than ${jsonDepthMax} levels`;
    throw new PacelineError("usage", `${what}: ${remedy}`);
  }
  const repeated = repeatedKey(content);
  if (repeated === null) return value;
  const { path: place, values } = repeated;
  const sentence = `${path} says ${place} twice, ${values[0]} and ${values[1]}`;
  throw new PacelineError("usage", `${sentence}; remove one of the two`);
}

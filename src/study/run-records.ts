/**
 * Runs as their folders tell them, whether they ended, go on or were killed: result.json where
 * there is one, else what config.yaml, metrics.jsonl and cluster.json hold. A folder with something
 * broken in it is listed with its problem, and hides no other.
 */
import { basename, join } from "node:path";
import { z } from "zod";
import { PacelineError, toPacelineError } from "../errors.js";
import { checkpointsFolder, listCheckpoints } from "../store/checkpoint/checkpoint-folder.js";
import { diskFiles, readWhole } from "../store/files.js";
import { modeWord } from "../store/runs/experiment-file.js";
import { readJsonLines } from "../store/runs/json-lines.js";
import { lastOfEpochs } from "../store/runs/run-result.js";
import { readYaml, utf8Text, type YamlValue } from "../store/yaml-file.js";
import { type ExperimentForm, readExperimentForm } from "./experiment-form.js";
import { studyResultOf } from "./read-results.js";
import {
  folderBytes,
  isOfResult,
  isRunFolder,
  type JudgedState,
  judgeRun,
  runNames,
} from "./run-folders.js";
import type { StudyEpoch, StudyEvaluation, StudyResult } from "./study-result.js";

/** A run as its result, its configuration or its progress tells it. */
interface RunFacts {
  readonly model: string | null;
  readonly data: string | null;
  /** The format's word: sync, async, ssp, ... */
  readonly mode: string | null;
  readonly workers: number | null;
  readonly servers: number | null;
  readonly seed: number | null;
  readonly epochsPlanned: number | null;
  readonly epochs: readonly StudyEpoch[];
  readonly evaluations: readonly StudyEvaluation[];
  /** On the test set: final, or the latest. */
  readonly accuracyPercent: number | null;
  /** Training time so far. */
  readonly seconds: number | null;
  /** ISO 8601. */
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

/** What is known of one run, with its state and why it is said to be in it. */
export interface RunRecord extends RunFacts, JudgedState {
  /** The folder's name; the experiment's for a file by itself. */
  readonly name: string;
  readonly path: string;
  /** The result, where there is one that can be read. */
  readonly result: StudyResult | null;
  /** The whole file that the result is of. */
  readonly form: ExperimentForm | null;
  /** What could not be read, in sentences. */
  readonly problems: readonly string[];
}

/** A checkpoint with its size. */
export interface SizedCheckpoint {
  readonly step: number;
  readonly path: string;
  readonly bytes: number;
}

/** A line of events.jsonl that somebody should know of. */
export interface Remark {
  readonly time: string | null;
  readonly kind: string;
  readonly text: string;
}

const configBytesMax = 1_000_000;
const ignore = (_sentence: string): void => {};
const remarkable = ["warning", "lost", "left"];

/** The runs in a folder, newest first; none where the folder does not exist. */
export async function listRuns(runDir: string): Promise<RunRecord[]> {
  const records: RunRecord[] = [];
  for (const name of await runNames(runDir)) {
    const path = join(runDir, name);
    const record = await readRun(path).catch(async (thrown: unknown) => {
      // One that was removed since is no run any more.
      if ((await diskFiles.list(path)) === null) return null;
      throw thrown;
    });
    if (record !== null) records.push(record);
  }
  const beganMs = ({ startedAt, endedAt }: RunRecord) => {
    const ms = Date.parse(startedAt ?? endedAt ?? "");
    return Number.isNaN(ms) ? 0 : ms;
  };
  return records.sort((left, right) => beganMs(right) - beganMs(left));
}

/** Reads one run: its folder, or an experiment file by itself. */
export async function readRun(path: string): Promise<RunRecord> {
  const names = await diskFiles.list(path);
  if (names === null) {
    const ended = await readEnded(path);
    const state = ended.result.outcome ?? "unknown";
    const reason = ended.form.paceline?.reason ?? "the file does not state how the run ended";
    return {
      ...factsOfResult(ended),
      ...ended,
      name: ended.result.name,
      path,
      state,
      reason,
      problems: [],
    };
  }
  if (!isRunFolder(names)) {
    const what = `${path} is not a run folder: it holds no result.json and no events.jsonl`;
    throw new PacelineError("usage", `${what}; give the name of a run, see paceline runs ls`);
  }
  const problems: string[] = [];
  const attempt = async <T>(fallback: T, read: () => Promise<T>): Promise<T> => {
    try {
      return await read();
    } catch (thrown) {
      problems.push(toPacelineError(thrown).message);
      return fallback;
    }
  };
  const resultPath = join(path, "result.json");
  const hasResult = names.includes("result.json");
  const ended = hasResult ? await attempt(null, () => readEnded(resultPath)) : null;
  const outcome = ended?.result.outcome ?? null;
  const unknown: JudgedState = { state: "unknown", reason: "nobody can tell what it does" };
  const judged = await attempt(unknown, () => {
    return judgeRun(path, outcome, (problem) => problems.push(problem));
  });
  const told = isOfResult(judged) ? ended : null;
  const facts =
    told !== null
      ? factsOfResult(told)
      : {
          ...(await attempt(noPlan, () => readPlan(path, names))),
          ...(await attempt(noProgress, () =>
            readProgress(path, (problem) => problems.push(problem)),
          )),
        };
  const reason = told?.form.paceline?.reason;
  return {
    ...facts,
    ...judged,
    ...(reason ? { reason } : {}),
    name: basename(path),
    path,
    result: told?.result ?? null,
    form: told?.form ?? null,
    problems,
  };
}

/** The complete checkpoints of a run with their sizes, by ascending step. */
export async function sizedCheckpoints(path: string): Promise<SizedCheckpoint[]> {
  if ((await diskFiles.list(checkpointsFolder(path))) === null) return [];
  const sized: SizedCheckpoint[] = [];
  for (const checkpoint of await listCheckpoints(path)) {
    sized.push({ ...checkpoint, bytes: await folderBytes(checkpoint.path) });
  }
  return sized;
}

/** Warnings, losses and leavings of a run, in order. */
export async function remarksOf(path: string, onBroken = ignore): Promise<Remark[]> {
  const form = z.looseObject({ time: z.string().nullish(), kind: z.string(), text: z.string() });
  const remarks: Remark[] = [];
  for await (const line of readJsonLines(join(path, "events.jsonl"), onBroken)) {
    const { data } = form.safeParse(line);
    if (data === undefined || !remarkable.includes(data.kind)) continue;
    remarks.push({ time: data.time ?? null, kind: data.kind, text: data.text });
  }
  return remarks;
}

interface Ended {
  readonly form: ExperimentForm;
  readonly result: StudyResult;
}

async function readEnded(path: string): Promise<Ended> {
  const form = await readExperimentForm(path);
  return { form, result: studyResultOf(form, path) };
}

function factsOfResult({ form, result }: Ended): RunFacts {
  const { model, data, mode, workers, servers, seed, epochs, evaluations } = result;
  const { accuracyPercent, seconds, settings } = result;
  const planned = settings.epochs;
  const startedAt = form.paceline?.startedAt ?? null;
  const endedAt = form.paceline?.endedAt ?? form.timestamp ?? null;
  return {
    ...{ model, data, mode, workers, servers, seed, epochs, evaluations, seconds },
    epochsPlanned: typeof planned === "number" ? planned : null,
    accuracyPercent: accuracyPercent ?? evaluations.at(-1)?.accuracyPercent ?? null,
    ...{ startedAt, endedAt },
  };
}

type Plan = Pick<
  RunFacts,
  "model" | "data" | "mode" | "workers" | "servers" | "seed" | "epochsPlanned"
>;

const noPlan: Plan = {
  model: null,
  data: null,
  mode: null,
  workers: null,
  servers: null,
  seed: null,
  epochsPlanned: null,
};

/** What config.yaml says, wherever in it: an option stands at the top or under its group. */
async function readPlan(path: string, names: readonly string[]): Promise<Plan> {
  if (!names.includes("config.yaml")) return noPlan;
  const file = join(path, "config.yaml");
  const text = utf8Text(await readWhole(diskFiles, file, configBytesMax), file);
  const { content } = readYaml(text, file);
  const options = new Map<string, YamlValue>();
  for (const [name, value] of Object.entries(content ?? {})) {
    if (typeof value !== "object" || value === null) options.set(name, value);
    else for (const [inner, one] of Object.entries(value)) options.set(inner, one);
  }
  const word = (name: string) => {
    const value = options.get(name);
    return typeof value === "string" ? value : null;
  };
  // "2:8" is from 2 to 8.
  const number = (name: string) => {
    const most = /^(?:\d+:)?(\d+)$/.exec(word(name) ?? "");
    return most === null ? null : Number(most[1]);
  };
  const mode = word("mode");
  return {
    model: word("model"),
    data: word("data"),
    mode: mode === null ? null : modeWord(mode),
    workers: number("workers") ?? number("as-workers"),
    servers: number("servers"),
    seed: number("seed"),
    epochsPlanned: number("epochs"),
  };
}

type Progress = Pick<
  RunFacts,
  "epochs" | "evaluations" | "accuracyPercent" | "seconds" | "startedAt" | "endedAt"
>;

const noProgress: Progress = {
  epochs: [],
  evaluations: [],
  accuracyPercent: null,
  seconds: null,
  startedAt: null,
  endedAt: null,
};

const metricForm = z.discriminatedUnion("kind", [
  z.looseObject({ kind: z.literal("step"), seconds: z.number() }),
  z.looseObject({
    kind: z.literal("resumed"),
    step: z.number(),
    epochs: z.number(),
    seconds: z.number(),
  }),
  z.looseObject({
    kind: z.literal("epoch"),
    epoch: z.int().positive(),
    trainLoss: z.number().nullish(),
    trainAccuracyPercent: z.number().nullish(),
    workerSeconds: z.record(z.string(), z.number()).nullish(),
  }),
  z.looseObject({
    kind: z.literal("evaluation"),
    epoch: z.int().positive(),
    step: z.int().nonnegative(),
    accuracyPercent: z.number(),
    loss: z.number(),
    atSeconds: z.number(),
    trainedExamples: z.number().nullish(),
    version: z.string().nullish(),
  }),
]);

/** What metrics.jsonl has so far, less what was given up when the run was resumed. */
async function readProgress(path: string, onBroken: (sentence: string) => void): Promise<Progress> {
  const epochs = new Map<number, StudyEpoch>();
  const evaluations = new Map<string, StudyEvaluation & { readonly epoch: number }>();
  let seconds: number | null = null;
  for await (const line of readJsonLines(join(path, "metrics.jsonl"), onBroken)) {
    const { data } = metricForm.safeParse(line);
    if (data === undefined) continue;
    if (data.kind === "resumed") {
      seconds = data.seconds;
      for (const number of epochs.keys()) if (number > data.epochs) epochs.delete(number);
      for (const [key, { step }] of evaluations) if (step > data.step) evaluations.delete(key);
    } else if (data.kind === "step") seconds = data.seconds;
    else if (data.kind === "evaluation") {
      const { step, accuracyPercent, loss, atSeconds } = data;
      seconds = atSeconds;
      const key = `${data.epoch}/${step}`;
      // The last of an epoch is the last to be told.
      evaluations.delete(key);
      evaluations.set(key, {
        epoch: data.epoch,
        seconds: atSeconds,
        step,
        examples: data.trainedExamples ?? null,
        accuracyPercent,
        loss,
        ...(data.version == null ? {} : { version: data.version }),
      });
    } else {
      const times = Object.values(data.workerSeconds ?? {});
      epochs.set(data.epoch, {
        epoch: data.epoch,
        longestSeconds: times.length === 0 ? null : Math.max(...times),
        meanSeconds:
          times.length === 0 ? null : times.reduce((sum, one) => sum + one, 0) / times.length,
        testAccuracyPercent: null,
        trainAccuracyPercent: data.trainAccuracyPercent ?? null,
        trainLoss: data.trainLoss ?? null,
        testLoss: null,
      });
    }
  }
  const tests = lastOfEpochs([...evaluations.values()]);
  const told = [...evaluations.values()]
    .map(({ epoch, ...evaluation }) => evaluation)
    .sort((left, right) => left.step - right.step || left.seconds - right.seconds);
  return {
    epochs: [...epochs.values()]
      .sort((left, right) => left.epoch - right.epoch)
      .map((row) => ({
        ...row,
        testAccuracyPercent: tests.get(row.epoch)?.accuracyPercent ?? null,
        testLoss: tests.get(row.epoch)?.loss ?? null,
      })),
    evaluations: told,
    accuracyPercent: told.at(-1)?.accuracyPercent ?? null,
    seconds,
    startedAt: await firstEventTime(path),
    endedAt: null,
  };
}

async function firstEventTime(path: string): Promise<string | null> {
  for await (const line of readJsonLines(join(path, "events.jsonl"), ignore)) {
    const time = (line as { time?: unknown } | null)?.time;
    return typeof time === "string" ? time : null;
  }
  return null;
}

/** `paceline eval` and `paceline predict`: what stored models are worth, and what they see. */
import { constants, setPriority } from "node:os";
import { basename, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PacelineError } from "../../errors.js";
import type { OptionKey } from "../../options/options.js";
import { didYouMean } from "../../suggest.js";
import type { Call, CommandPlan } from "./command-plan.js";
import type { EvaluationChoice } from "./evaluate.js";
import type { FollowedRun } from "./follow.js";

const splits = ["test", "train"] as const;
const topDefault = 5;
const lookIntervalMs = 100;

/** `paceline eval`. */
export const evalPlan: CommandPlan = {
  name: "eval",
  sentence: "evaluate a checkpoint, or each checkpoint of a run in progress",
  options: "eval",
  extra: [
    {
      flags: "--ckpt <path>",
      sentence: "a checkpoint; a run's folder or name (its latest); auto (the newest of all runs)",
    },
    { flags: "--follow <run>", sentence: "evaluate each checkpoint of a run until the run ends" },
    { flags: "--wait", sentence: "with --follow: wait for a run that does not exist yet" },
    { flags: "--split <test|train>", sentence: "split to evaluate on (default: test)" },
    {
      flags: "--other-classes",
      sentence: "evaluate on a data set whose class names differ, by label number",
    },
  ],
  examples: [
    "paceline eval --ckpt mlp-bsp-4w-001",
    "paceline eval --ckpt runs/mlp-bsp-4w-001/checkpoints/step-1407 --json",
    "paceline eval --follow mlp-bsp-4w-001",
    "paceline eval --follow mlp-bsp-4w-002 --wait --json",
  ],
  run: evaluateCommand,
};

/** `paceline predict`. */
export const predictPlan: CommandPlan = {
  name: "predict",
  sentence: "classify pictures with the model of a checkpoint",
  options: "predict",
  arguments: ["[pictures...]"],
  extra: [
    {
      flags: "--ckpt <path>",
      sentence: "a checkpoint; a run's folder or name (its latest); auto (the newest of all runs)",
    },
    { flags: "--top <count>", sentence: `how many classes to show (default: ${topDefault})` },
  ],
  examples: [
    "paceline predict --ckpt mlp-bsp-4w-001 seven.png",
    "paceline predict --ckpt auto --top 3 --json first.png second.jpg",
  ],
  async run({ words, flags, resolution, options, io }) {
    const example = predictPlan.examples[0];
    const checkpoint = (flags.ckpt as string | undefined) ?? null;
    if (checkpoint === null) throw usage(`paceline predict needs --ckpt, as in ${example}`);
    if (words.length === 0) throw usage(`paceline predict needs pictures, as in ${example}`);
    const top = topOf((flags.top as string | undefined) ?? `${topDefault}`);
    const engine = resolution.origins.engine.kind === "default" ? null : options.engine;
    const { predict } = await import("./predict.js");
    return predict({ checkpoint, pictures: words, top, engine }, options, io);
  },
};

async function evaluateCommand(call: Call): Promise<number> {
  const { flags, options, io } = call;
  const choice = choiceOf(call);
  const checkpoint = flags.ckpt as string | undefined;
  const followed = flags.follow as string | undefined;
  if ((checkpoint === undefined) === (followed === undefined)) {
    const both = checkpoint === undefined ? "needs --ckpt or --follow" : "takes one of the two";
    throw usage(`paceline eval ${both}, as in ${evalPlan.examples.slice(1, 3).join(", or ")}`);
  }
  if (followed === undefined) {
    if (flags.wait === true) throw usage("--wait requires --follow; leave it out");
    const { evaluate } = await import("./evaluate.js");
    return evaluate(checkpoint!, choice, options, io);
  }
  const run = await runToFollow(followed, call);
  const { follow } = await import("./follow.js");
  // The run's own processes go first; a platform that does not let us is no reason to stop.
  try {
    setPriority(constants.priority.PRIORITY_LOW);
  } catch {}
  return follow(run, choice, options, io);
}

function choiceOf({ flags, options, resolution }: Call): EvaluationChoice {
  const written = (flags.split as string | undefined) ?? "test";
  const split = splits.find((one) => one === written);
  if (split === undefined) {
    const hint = didYouMean(written, splits);
    throw usage(`--split ${written} is not a split of a data set${hint}; write test or train`);
  }
  const [own, other] = split === "test" ? ["test", "train"] : ["train", "test"];
  const given = (key: OptionKey) => resolution.origins[key].kind !== "default";
  const isFlag = resolution.origins[`${other}Limit` as OptionKey].kind === "flag";
  if (isFlag) throw usage(`--${other}-limit has no effect with --split ${split}; leave it out`);
  const limit = own === "test" ? options.testLimit : options.trainLimit;
  return {
    split,
    data: options.data,
    engine: given("engine") ? options.engine : null,
    otherClasses: flags.otherClasses === true,
    limit: given(`${own}Limit` as OptionKey) ? limit : "run",
  };
}

function topOf(written: string): number {
  const top = /^\d{1,9}$/.test(written) ? Number(written) : 0;
  if (top >= 1) return top;
  throw usage(`--top ${written} is not a number of classes; write a whole number from 1`);
}

async function runToFollow(word: string, { flags, options, io }: Call): Promise<FollowedRun> {
  const { endOfRun, isRunFolder, runNames } = await import("../../study/run-folders.js");
  const { diskFiles } = await import("../../store/files.js");
  const find = async () => {
    for (const path of [join(options.runDir, word), word]) {
      if (isRunFolder((await diskFiles.list(path)) ?? [])) return path;
    }
    return null;
  };
  let folder = await find();
  const deadlineMs = performance.now() + options.startTimeoutMs;
  const waits = flags.wait === true;
  if (folder === null && waits && !options.quiet) io.stderr.write(`waiting for run ${word}\n`);
  while (folder === null && waits && performance.now() < deadlineMs) {
    await sleep(lookIntervalMs);
    folder = await find();
  }
  if (folder === null) {
    const names = await runNames(options.runDir);
    const what = `no run ${JSON.stringify(word)} in ${options.runDir}`;
    const since = waits ? ` after ${options.startTimeoutMs / 1000} s (--start-timeout)` : "";
    const remedy = waits ? "start it" : "see paceline runs ls, or wait for it with --wait";
    throw usage(`${what}${since}${didYouMean(word, names)}; ${remedy}`);
  }
  const path = folder;
  return { name: basename(resolve(path)), folder: path, endOf: () => endOfRun(path) };
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

/**
 * `paceline eval --follow`: an evaluator beside a run. It looks at the run's checkpoints again and
 * again, scores each once in the order of their steps, keeps the scores in the run's folder, and
 * ends when the run is over and nothing is left to score. It only reads what the run writes.
 */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { errorCodes, PacelineError } from "../../errors.js";
import type { CommandIo } from "../../options/resolved-options.js";
import { printable } from "../../report/progress.js";
import type { ModelScorer } from "../../runtime/compute/stored-model.js";
import { epochOf } from "../../runtime/run-preparation.js";
import { type CheckpointEntry, listCheckpoints } from "../../store/checkpoint/checkpoint-folder.js";
import { lockFolder } from "../../store/runs/folder-lock.js";
import { JsonLinesWriter, readJsonLines } from "../../store/runs/json-lines.js";
import { onSignals, signalExitCode } from "../signals.js";
import {
  type EvaluateOptions,
  type EvaluationChoice,
  planEvaluation,
  readModel,
  scoreForm,
  scorerFor,
} from "./evaluate.js";

/** A run to be followed. */
export interface FollowedRun {
  readonly name: string;
  readonly folder: string;
  /** Why the run is over, in words; null while it goes on. */
  endOf(): Promise<string | null>;
}

/** The file of a run's folder that keeps the scores. */
export const scoresFile = "evaluations.jsonl";

/** How long to wait before looking again. */
const lookIntervalMs = 500;

const evaluationForm = z.object({
  kind: z.literal("evaluation"),
  step: z.int(),
  epoch: z.int(),
  epochs: z.int(),
  accuracy_percent: z.number(),
  loss: z.number(),
  examples: z.int(),
  seconds: z.number(),
  data: z.string(),
  split: z.string(),
  /** When the checkpoint was written: a run that is resumed may write a step again. */
  created: z.string(),
});

/** A line of the scores' file, and of standard output with --json. */
export type KeptEvaluation = z.infer<typeof evaluationForm>;

/** Follows a run to its end; resolves to the exit code. */
export async function follow(
  run: FollowedRun,
  choice: EvaluationChoice,
  options: EvaluateOptions,
  io: Pick<CommandIo, "stdout" | "stderr">,
): Promise<number> {
  const kept: KeptEvaluation[] = [];
  const path = join(run.folder, scoresFile);
  const tell = (text: string) => void io.stderr.write(`${printable(text)}\n`);
  // One at a time writes scores: two would write into each other's lines.
  const lock = await lockFolder(run.folder, "evaluations.lock");
  for await (const line of readJsonLines(path, tell)) {
    const parsed = evaluationForm.safeParse(line);
    if (parsed.success) kept.push(parsed.data);
  }
  const scores = await JsonLinesWriter.open(path);
  scores.onTrouble = ({ message }) => tell(`${message}; still following`);
  const stop = new AbortController();
  const follower = new Follower({ run, choice, options, io, scores, kept, stop: stop.signal });
  const release = onSignals((signal) => {
    if (stop.signal.aborted) process.exit(signalExitCode(signal));
    stop.abort(signal);
    void follower.close();
  });
  try {
    return await follower.run();
  } finally {
    release();
    await follower.close();
    const lost = await scores.close();
    if (lost !== null) tell(`${lost.path} lacks ${lost.lines} scores: ${lost.reason}`);
    await lock.release();
  }
}

interface FollowerParts {
  readonly run: FollowedRun;
  readonly choice: EvaluationChoice;
  readonly options: EvaluateOptions;
  readonly io: Pick<CommandIo, "stdout" | "stderr">;
  readonly scores: JsonLinesWriter;
  /** Grows by what is scored. */
  readonly kept: KeptEvaluation[];
  /** Aborted with the name of a signal. */
  readonly stop: AbortSignal;
}

/** A checkpoint as it lies there: one that is written anew is another. */
interface Sighting extends CheckpointEntry {
  readonly key: string;
}

class Follower {
  readonly #parts: FollowerParts;
  readonly #scorer: ModelScorer;
  /** Keys of checkpoints that are scored or given up. */
  readonly #handled = new Set<string>();
  /** Steps that were there at the last look and wait to be scored. */
  #waiting = new Map<number, string>();
  /** Scores of these checkpoints under this choice, made now or earlier. */
  readonly #results: KeptEvaluation[] = [];
  #scored = 0;
  #skipped = 0;
  #unreadable = 0;
  /** What was last said of the examples. */
  #noted: string | null = null;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#scorer = scorerFor(parts.choice, parts.options, parts.io);
  }

  close(): Promise<void> {
    return this.#scorer.close();
  }

  async run(): Promise<number> {
    const { run, stop } = this.#parts;
    this.#log(`following ${run.folder}`);
    try {
      for (;;) {
        // Before the look: what is written up to the end is then seen.
        const end = await run.endOf();
        const next = await this.#look();
        stop.throwIfAborted();
        if (next !== null) await this.#handle(next);
        else if (end !== null) return this.#tellEnd(end);
        else await sleep(lookIntervalMs, undefined, { signal: stop });
      }
    } catch (thrown) {
      if (!stop.aborted) throw thrown;
      const signal = stop.reason as NodeJS.Signals;
      const rest = "the same command continues where this one stopped";
      this.#log(`${signal}: ${this.#scored} checkpoints scored; ${rest}`);
      return signalExitCode(signal);
    }
  }

  /** The checkpoint of the lowest step that is not handled, or null. */
  async #look(): Promise<Sighting | null> {
    const { folder } = this.#parts.run;
    const sightings: Sighting[] = [];
    for (const entry of await listCheckpoints(folder)) {
      // Gone between the two is gone at the next look.
      const written = await lstat(join(entry.path, "manifest.json")).catch(() => null);
      const key = `${entry.step}/${written?.ino ?? ""}/${written?.mtimeMs ?? ""}`;
      if (!this.#handled.has(key)) sightings.push({ ...entry, key });
    }
    const here = new Set(sightings.map(({ step }) => step));
    for (const [step, key] of this.#waiting) {
      if (here.has(step) || this.#handled.has(key)) continue;
      this.#skip(step, "it was removed before it was scored; raise --keep to have all scored");
    }
    this.#waiting = new Map(sightings.map(({ step, key }) => [step, key]));
    return sightings[0] ?? null;
  }

  async #handle(sighting: Sighting): Promise<void> {
    const { choice, options, kept, scores } = this.#parts;
    const { step, key, path } = sighting;
    const checkpoint = await readModel(path).catch((thrown: unknown) => {
      if (!(thrown instanceof PacelineError)) throw thrown;
      return thrown;
    });
    if (checkpoint instanceof PacelineError) return this.#giveUp(sighting, checkpoint);
    this.#handled.add(key);
    const { manifest, weights } = checkpoint;
    const { created } = manifest;
    const { spec, note } = await planEvaluation(manifest, choice, options);
    if (note !== null && note !== this.#noted) this.#log(note);
    this.#noted = note;
    const about = { data: spec.data, split: choice.split, examples: spec.testExamples, created };
    const earlier = kept.find((one) => one.step === step && alike(one, about));
    if (earlier !== undefined) {
      this.#results.push(earlier);
      return;
    }
    const startedMs = performance.now();
    const score = await this.#scorer.score(spec, weights);
    const seconds = (performance.now() - startedMs) / 1000;
    const evaluation: KeptEvaluation = {
      kind: "evaluation",
      step,
      epoch: epochOf(manifest),
      epochs: spec.epochs,
      ...scoreForm(score),
      seconds,
      data: spec.data,
      split: choice.split,
      created,
    };
    scores.append(evaluation);
    await scores.flush();
    kept.push(evaluation);
    this.#results.push(evaluation);
    this.#scored++;
    this.#print(evaluation, `${scoreWords(evaluation)}  ${seconds.toFixed(2)} s`);
  }

  /** A checkpoint that can't be read: gone by now, or broken and left alone. */
  async #giveUp({ step, key, path }: Sighting, error: PacelineError): Promise<void> {
    this.#handled.add(key);
    const there = await listCheckpoints(this.#parts.run.folder);
    if (!there.some((entry) => entry.path === path)) {
      this.#skip(step, "it was removed while it was read; raise --keep to have all scored");
      return;
    }
    this.#unreadable++;
    this.#skip(step, error.message);
  }

  #skip(step: number, reason: string): void {
    this.#skipped++;
    const line = { kind: "skipped", step, reason };
    if (this.#parts.options.json) this.#parts.io.stdout.write(`${JSON.stringify(line)}\n`);
    this.#parts.io.stderr.write(`step ${step} is skipped: ${printable(reason)}\n`);
  }

  async #tellEnd(end: string): Promise<number> {
    const { run } = this.#parts;
    const best = bestOf(this.#results);
    this.#log(`the run is over: ${end}`);
    if (best === null && this.#skipped === 0) {
      const sentence = `run ${run.name} is over (${end}) and left no checkpoint to score`;
      throw new PacelineError("checkpoint", `${sentence}: train with --checkpoint-every`);
    }
    const counts = { scored: this.#scored, skipped: this.#skipped };
    if (best !== null) {
      const path = (await listCheckpoints(run.folder)).find(({ step }) => step === best.step)?.path;
      const place = path === undefined ? "its checkpoint is gone" : printable(path);
      const told = `${counts.scored} scored here, ${counts.skipped} skipped`;
      const line = { ...best, kind: "best", checkpoint: path ?? null, ...counts };
      this.#print(line, `best: ${scoreWords(best)}  (${place}; ${told})`);
    }
    return this.#unreadable > 0 ? errorCodes.checkpoint.exitCode : 0;
  }

  #print(line: object, text: string): void {
    const { options, io } = this.#parts;
    io.stdout.write(`${options.json ? JSON.stringify(line) : text}\n`);
  }

  #log(text: string): void {
    const { options, io } = this.#parts;
    if (!options.quiet) io.stderr.write(`${printable(text)}\n`);
  }
}

type About = Pick<KeptEvaluation, "data" | "split" | "examples" | "created">;

function alike(left: About, right: About): boolean {
  const fields = ["data", "split", "examples", "created"] as const;
  return fields.every((field) => left[field] === right[field]);
}

/** The highest accuracy; among equals the lowest loss, then the earliest. */
function bestOf(evaluations: readonly KeptEvaluation[]): KeptEvaluation | null {
  const ranked = [...evaluations].sort(
    (left, right) =>
      right.accuracy_percent - left.accuracy_percent ||
      left.loss - right.loss ||
      left.step - right.step,
  );
  return ranked[0] ?? null;
}

function scoreWords({ step, epoch, epochs, accuracy_percent: percent, loss }: KeptEvaluation) {
  const numbers = `accuracy ${percent.toFixed(2)}%  loss ${loss.toFixed(4)}`;
  return `step ${step}  epoch ${epoch}/${epochs}  ${numbers}`;
}

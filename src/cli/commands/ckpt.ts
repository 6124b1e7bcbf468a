/** `paceline ckpt`: the checkpoints of runs, looked at, checked, handed to other programs. */
import { lstat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { errorCodes, PacelineError, toPacelineError } from "../../errors.js";
import { modelTitle } from "../../protocol/run-spec.js";
import { printable } from "../../report/progress.js";
import type { CheckedCheckpoint, DemandsOf } from "../../store/checkpoint/checkpoint-check.js";
import type { CheckpointEntry } from "../../store/checkpoint/checkpoint-folder.js";
import { alternatives, didYouMean } from "../../suggest.js";
import type { Call, CommandPlan } from "./command-plan.js";

const verbs = { ls: list, inspect, verify, export: exportModel };
const exportExample = "paceline ckpt export mlp-bsp-4w-001 --out mlp.safetensors";

/** The command with its words. */
export const ckptPlan: CommandPlan = {
  name: "ckpt",
  sentence: "list, inspect, verify or export checkpoints",
  options: "ckpt",
  arguments: [`<${Object.keys(verbs).join("|")}>`, "[paths...]"],
  verbs: [
    { name: "ls", words: "[RUN...]", sentence: "list the checkpoints of all runs or of some" },
    { name: "inspect", words: "CKPT", sentence: "one checkpoint: model, step, tensors, settings" },
    { name: "verify", words: "[CKPT...]", sentence: "check every checksum of checkpoints" },
    { name: "export", words: "CKPT", sentence: "write the model as one safetensors file" },
  ],
  extra: [
    {
      flags: "--out <file>",
      sentence: "with export: the safetensors file to write",
      verbs: ["export"],
    },
    {
      flags: "--dtype <f32|bf16|f16>",
      sentence: "with export: type of the trained values (default: f32)",
      verbs: ["export"],
    },
  ],
  examples: [
    "paceline ckpt ls",
    "paceline ckpt inspect mlp-bsp-4w-001",
    "paceline ckpt inspect runs/mlp-bsp-4w-001/checkpoints/step-1407 --json",
    "paceline ckpt verify",
    "paceline ckpt verify mlp-bsp-4w-001",
    exportExample,
  ],
  async run(call) {
    const [word, ...paths] = call.words;
    const verb = word as keyof typeof verbs;
    for (const flag of ["out", "dtype"]) {
      if (call.flags[flag] !== undefined && verb !== "export") {
        const remedy = "leave it out, or write export";
        throw usage(`--${flag} does not apply to paceline ckpt ${verb}; ${remedy}`);
      }
    }
    return verbs[verb](paths, call);
  },
};

interface Listed extends CheckpointEntry {
  readonly run: string;
  readonly epoch: number | null;
  readonly examples: number | null;
  readonly model: string | null;
  readonly data: string | null;
  readonly bytes: number;
  readonly created: string | null;
  /** Why it can't be resumed from, as far as the manifest and the files' sizes show. */
  readonly problem: string | null;
}

async function list(names: readonly string[], { options, io }: Call): Promise<number> {
  const { listCheckpoints, runsUnder } = await import(
    "../../store/checkpoint/checkpoint-folder.js"
  );
  const runs = names.length === 0 ? await runsUnder(options.runDir) : [];
  for (const name of names) runs.push(await runFolder(name, options.runDir));
  const found: { readonly row: Listed; readonly ms: number }[] = [];
  for (const run of runs) {
    for (const entry of await listCheckpoints(run)) {
      const row = await listed(run, entry);
      const folder = await lstat(entry.path).catch(() => null);
      // A run that goes on removes its earlier ones.
      if (folder === null) continue;
      // What can't say when it was written was so when its folder was last changed.
      const ms = row.created === null ? Number.NaN : Date.parse(row.created);
      found.push({ row, ms: Number.isNaN(ms) ? folder.mtimeMs : ms });
    }
  }
  found.sort((left, right) => right.ms - left.ms || right.row.step - left.row.step);
  const rows = found.map(({ row }) => row);
  if (options.json) io.stdout.write(`${JSON.stringify(rows)}\n`);
  else if (rows.length > 0) io.stdout.write(lines(await listTable(rows)));
  else io.stderr.write(`${nothingIn(names, options.runDir)}\n`);
  for (const { problem } of rows) if (problem !== null) io.stderr.write(`${printable(problem)}\n`);
  return 0;
}

async function listTable(rows: readonly Listed[]): Promise<string[]> {
  const { bytesText, minute, table } = await import("./runs-text.js");
  const titles = ["Run", "Step", "Epoch", "Examples", "Model", "Data", "Size", "Written (UTC)"];
  return table(
    [...titles, "State"],
    rows.map(({ run, step, epoch, examples, model, data, bytes, created, problem }) => [
      run,
      String(step),
      epoch === null ? "-" : epoch.toFixed(2),
      String(examples ?? "-"),
      model ?? "-",
      data ?? "-",
      bytesText(bytes),
      minute(created),
      problem === null ? "readable" : "broken",
    ]),
  );
}

async function listed(run: string, entry: CheckpointEntry): Promise<Listed> {
  const { readManifest } = await import("../../store/checkpoint/checkpoint-folder.js");
  const { orMissing } = await import("../../store/checkpoint/checkpoint.js");
  const { epochOf } = await import("../../report/checkpoint-facts.js");
  const { folderBytes } = await import("../../study/run-folders.js");
  const nothing = { epoch: null, examples: null, model: null, data: null, created: null };
  const known = { run: basename(resolve(run)), ...entry, bytes: await folderBytes(entry.path) };
  try {
    const manifest = await orMissing(readManifest(entry.path));
    const { spec, examples, created, files } = manifest;
    const { model, data } = spec;
    const problem = await sizeProblem(entry.path, files);
    return { ...known, epoch: epochOf(manifest), examples, model, data, created, problem };
  } catch (thrown) {
    if (!(thrown instanceof PacelineError)) throw thrown;
    return { ...known, ...nothing, problem: thrown.message };
  }
}

async function sizeProblem(
  path: string,
  files: Readonly<Record<string, { readonly bytes: number }>>,
): Promise<string | null> {
  for (const [name, { bytes }] of Object.entries(files)) {
    const file = join(path, name);
    const stat = await lstat(file).catch(() => null);
    if (stat === null) return `${file} is missing; choose another checkpoint`;
    const sizes = `${stat.size} bytes and ${bytes} were written`;
    if (stat.size !== bytes)
      return `${file} is corrupt: it has ${sizes}; choose another checkpoint`;
  }
  return null;
}

async function inspect(paths: readonly string[], { options, io }: Call): Promise<number> {
  const path = await onePath("inspect", paths, options.runDir);
  const facts = await import("../../report/checkpoint-facts.js");
  const inspection = await facts.inspectCheckpoint(path);
  if (options.json) {
    io.stdout.write(`${JSON.stringify(inspection)}\n`);
    return 0;
  }
  const { section } = await import("./runs-text.js");
  const told = facts
    .inspectionFacts(inspection)
    .map(([label, text]) => `${label.padEnd(12)}  ${text}`);
  for (const { title, titles, rows } of facts.inspectionTables(inspection)) {
    told.push(...section(title, titles, rows));
  }
  io.stdout.write(lines(told));
  return 0;
}

async function verify(words: readonly string[], { options, io }: Call): Promise<number> {
  const { checkCheckpoint } = await import("../../store/checkpoint/checkpoint-check.js");
  const demandsOf = await ownDemands();
  const checked: CheckedCheckpoint[] = [];
  const note = (one: CheckedCheckpoint): void => {
    checked.push(one);
    if (!options.json) io.stdout.write(lines(verdict(one)));
  };
  for (const word of words.length === 0 ? [null] : words) {
    try {
      const paths = await checkpointsAt(word, options.runDir);
      for (const path of paths) note(await checkCheckpoint(path, demandsOf));
    } catch (thrown) {
      const { code, message } = toPacelineError(thrown);
      // What is named and isn't there is said among the others, which are still looked at.
      if (word === null || code === "internal") throw thrown;
      note({ path: word, manifest: null, problems: [message] });
    }
  }
  const sound = checked.filter(({ problems }) => problems.length === 0).length;
  if (options.json) io.stdout.write(`${JSON.stringify(checked.map(verdictForm))}\n`);
  else if (checked.length > 1) {
    io.stdout.write(`${sound} of ${checked.length} checkpoints are sound\n`);
  }
  return sound === checked.length ? 0 : errorCodes.checkpoint.exitCode;
}

function verdict({ path, manifest, problems }: CheckedCheckpoint): string[] {
  if (manifest === null || problems.length > 0) {
    return [`broken  ${path}`, ...problems.map((problem) => `        ${problem}`)];
  }
  const { spec, layout } = manifest;
  return [`sound   ${path}: ${modelTitle(spec)}, ${layout.tensors.length} tensors`];
}

function verdictForm({ path, manifest, problems }: CheckedCheckpoint) {
  return { path, step: manifest?.globalStep ?? null, isSound: problems.length === 0, problems };
}

async function exportModel(paths: readonly string[], call: Call): Promise<number> {
  const { options, flags, io } = call;
  const { exportCheckpoint, exportKinds } = await import(
    "../../store/checkpoint/checkpoint-export.js"
  );
  const out = (flags.out as string | undefined) ?? "";
  if (out === "") throw usage(`paceline ckpt export needs --out, as in ${exportExample}`);
  const written = (flags.dtype as string | undefined) ?? "f32";
  const kind = exportKinds.find((one) => one === written);
  if (kind === undefined) {
    const hint = didYouMean(written, exportKinds);
    throw usage(`--dtype ${written} is not a type${hint}; write ${alternatives(exportKinds)}`);
  }
  const path = await onePath("export", paths, options.runDir);
  const exported = await exportCheckpoint({ path, out, kind }, await ownDemands());
  const { bytesText } = await import("./runs-text.js");
  const { model, step, tensors, bytes } = exported;
  const sentence = `${out}: ${model} of step ${step}, ${tensors} tensors, ${bytesText(bytes)}`;
  io.stdout.write(options.json ? `${JSON.stringify({ ...exported, kind })}\n` : lines([sentence]));
  return 0;
}

/** What the models and update rules of this build demand; loaded only where it is asked. */
async function ownDemands(): Promise<DemandsOf> {
  return (await import("../../runtime/compute/model-demands.js")).ownDemands;
}

/** The one checkpoint that a verb is asked about. */
async function onePath(verb: string, words: readonly string[], runRoot: string): Promise<string> {
  if (words.length !== 1) {
    const sentence = `paceline ckpt ${verb} takes one checkpoint or run, not ${words.length}`;
    throw usage(`${sentence}; see paceline ckpt ls`);
  }
  const { resolveResume } = await import("../../store/checkpoint/checkpoint-folder.js");
  return (await resolveResume({ wanted: words[0]!, runRoot, flag: "checkpoint" })).path;
}

/** A checkpoint's own folder, or all that a run has; null: of all runs. */
async function checkpointsAt(word: string | null, runDir: string): Promise<string[]> {
  const { listCheckpoints, runsUnder } = await import(
    "../../store/checkpoint/checkpoint-folder.js"
  );
  const { diskFiles } = await import("../../store/files.js");
  if (word === null) {
    const paths: string[] = [];
    for (const run of await runsUnder(runDir)) {
      for (const { path } of await listCheckpoints(run)) paths.push(path);
    }
    if (paths.length === 0) throw new PacelineError("checkpoint", nothingIn([], runDir));
    return paths;
  }
  for (const path of places(word, runDir)) {
    const entries = await listCheckpoints(path);
    if (entries.length > 0) return entries.map((entry) => entry.path);
    // Its manifest may be what is broken, so it must not be asked which step it is of.
    if ((await diskFiles.list(path))?.includes("manifest.json")) return [path];
  }
  return [await onePath("verify", [word], runDir)];
}

/** The folder of a run that is named, or pointed at. */
async function runFolder(word: string, runDir: string): Promise<string> {
  const { runsUnder } = await import("../../store/checkpoint/checkpoint-folder.js");
  const { diskFiles } = await import("../../store/files.js");
  for (const path of places(word, runDir)) {
    if ((await diskFiles.list(path)) !== null) return path;
  }
  const known = (await runsUnder(runDir)).map((path) => basename(path));
  const hint = didYouMean(word, known);
  throw new PacelineError(
    "checkpoint",
    `there is no run ${JSON.stringify(word)} in ${runDir}${hint}; see paceline ckpt ls`,
  );
}

/** Where a word may lead, as it does for --resume: a name is a run's first. */
function places(word: string, runDir: string): string[] {
  return basename(word) === word && !/^\.\.?$/.test(word) ? [join(runDir, word), word] : [word];
}

function nothingIn(names: readonly string[], runDir: string): string {
  const where = names.length === 0 ? runDir : names.join(", ");
  return `no checkpoints in ${where}; train with --checkpoint-every, or give another --run-dir`;
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${printable(text)}\n`).join("");
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

/** Every command: its words, its options, and what it runs, loaded only when it is called. */
import { PacelineError } from "../errors.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import { isInBucket } from "../store/files.js";
import { adminPlan } from "./commands/admin.js";
import { awsPlan } from "./commands/aws.js";
import { benchPlan } from "./commands/bench.js";
import { certsPlan } from "./commands/certs.js";
import { chartsPlan } from "./commands/charts.js";
import { ckptPlan } from "./commands/ckpt.js";
import type { CommandPlan } from "./commands/command-plan.js";
import { dataPlan } from "./commands/data.js";
import { evalPlan, predictPlan } from "./commands/eval.js";
import { experimentsPlan } from "./commands/experiments.js";
import { healthPlan } from "./commands/health.js";
import { jobsPlan } from "./commands/jobs.js";
import { parseLogsPlan } from "./commands/parse-logs.js";
import { runsPlan } from "./commands/runs.js";
import { submitPlan } from "./commands/submit.js";
import { tunePlan } from "./commands/tune.js";
import { upPlan } from "./commands/up.js";

const runFile = { arguments: ["[run.yaml]"], config: true, tellsOptions: true } as const;

/** All of them, in the order in which help shows them. */
export const commandPlans: readonly CommandPlan[] = [
  {
    name: "train",
    buckets: true,
    sentence: "train on this machine: coordinator, servers and workers in one command",
    options: "train",
    ...runFile,
    needs: "model and data",
    resumes: true,
    examples: [
      "paceline train --model mlp --data mnist -w 4 -s 2",
      "paceline train --model mlp --data mnist --mode asp --epochs 5",
      "paceline train run.yaml --set training.lr=0.05 --dry-run",
    ],
    async run({ options, io }) {
      if (options.dryRun) return (await import("./commands/dry-run.js")).dryRun(options, io);
      return (await import("./commands/train.js")).train(options, io);
    },
  },
  {
    name: "resume",
    sentence: "resume a run with the settings in its folder; flags override them",
    options: "train",
    arguments: ["<run>"],
    examples: ["paceline resume mlp-bsp-4w-001", "paceline resume runs/digits --epochs 10"],
    async run() {
      // The program calls the command that began the run (cli/program.ts).
      return 0;
    },
  },
  {
    name: "baseline",
    buckets: true,
    sentence: "train in one process, without servers",
    options: "baseline",
    ...runFile,
    needs: "model and data",
    resumes: true,
    examples: [
      "paceline baseline --model mlp --data mnist --as-workers 4",
      "paceline baseline configs/baseline.yaml --dry-run",
      "paceline baseline run.yaml --resume auto",
    ],
    async run({ options, io }) {
      return (await import("./commands/baseline.js")).baseline(options, io);
    },
  },
  {
    name: "coordinator",
    buckets: true,
    sentence: "one role: tracks membership and assigns work",
    options: "coordinator",
    ...runFile,
    needs: "model and data",
    resumes: true,
    examples: [
      "paceline coordinator --model mlp --data mnist -w 2 -s 1",
      "paceline coordinator --resume mlp-bsp-2w-001",
      "paceline coordinator --serve --jobs 2",
    ],
    async run({ options, io, goesOn }) {
      return (await import("./commands/coordinator.js")).coordinator(options, io, goesOn);
    },
  },
  {
    name: "server",
    sentence: "one role: holds a shard of the parameters",
    options: "server",
    needs: "a coordinator",
    tellsOptions: true,
    examples: ["paceline server --coordinator 127.0.0.1:8000"],
    async run({ options, io }) {
      return (await import("./commands/server.js")).server(options, io);
    },
  },
  {
    name: "worker",
    sentence: "one role: computes gradients",
    options: "worker",
    needs: "a coordinator",
    tellsOptions: true,
    examples: ["paceline worker --coordinator 127.0.0.1:8000"],
    async run({ options, io }) {
      return (await import("./commands/worker.js")).worker(options, io);
    },
  },
  upPlan,
  submitPlan,
  jobsPlan,
  {
    name: "status",
    sentence: "show the state of a coordinator",
    options: "status",
    needs: "a coordinator",
    examples: ["paceline status --coordinator 127.0.0.1:8000"],
    async run({ options, io }) {
      return (await import("./commands/status.js")).status(options, io);
    },
  },
  healthPlan,
  adminPlan,
  {
    name: "ring",
    sentence: "show the placement of chunks, the load per server, and what moves",
    options: "ring",
    extra: [
      { flags: "--remove <server>", sentence: "show which chunks move when this server leaves" },
    ],
    examples: ["paceline ring -s 5 --chunk-values 1 --load-bound none --remove server4"],
    async run({ options, flags, io }) {
      const removed = (flags.remove as string | undefined) ?? null;
      const { ringReport, printRing } = await import("./commands/ring.js");
      const report = ringReport(options, removed);
      io.stdout.write(options.json ? `${JSON.stringify(report)}\n` : printRing(report, removed));
      return 0;
    },
  },
  {
    name: "config",
    sentence: "print the options in effect, the schema of the config file, or the documents",
    options: "train",
    arguments: ["<print|schema|docs>", "[run.yaml]"],
    config: true,
    verbs: [
      {
        name: "print",
        words: "[run.yaml]",
        sentence: "every option with its value and its origin",
      },
      { name: "schema", words: "", sentence: "the JSON schema of a config file" },
      { name: "docs", words: "", sentence: "the documents that are generated from the options" },
    ],
    extra: [
      {
        flags: "--write <folder>",
        sentence: "with docs: write the files there",
        verbs: ["docs"],
      },
      {
        flags: "--role <train|coordinator|server|worker>",
        sentence: "with print: what this command takes from the environment (default: train)",
        verbs: ["print"],
      },
    ],
    examples: ["paceline config print run.yaml", "paceline config schema > paceline.schema.json"],
    async run(call) {
      return (await import("./documents.js")).configCommand(call);
    },
  },
  experimentsPlan,
  tunePlan,
  runsPlan,
  parseLogsPlan,
  chartsPlan,
  ckptPlan,
  dataPlan,
  evalPlan,
  predictPlan,
  benchPlan,
  certsPlan,
  awsPlan,
  {
    name: "init",
    sentence: "write a config file for a run, with a comment above each option",
    options: "train",
    arguments: ["[run.yaml]"],
    examples: [
      "paceline init",
      "paceline init run.yaml --model cnn6 --data cifar10 -w 2 --mode asp",
    ],
    async run(call) {
      return (await import("./commands/init.js")).init(call);
    },
  },
  {
    name: "completion",
    sentence: "a script that lets a shell complete commands and options",
    options: "completion",
    arguments: ["<bash|zsh|fish>"],
    verbs: ["bash", "zsh", "fish"].map((name) => ({
      name,
      words: "",
      sentence: `the script for ${name}`,
    })),
    examples: [
      "paceline completion bash > ~/.local/share/bash-completion/completions/paceline",
      "paceline completion fish | source",
    ],
    async run({ words, io }) {
      const { completionScript } = await import("./commands/completion.js");
      io.stdout.write(completionScript(words[0] ?? "", commandPlans));
      return 0;
    },
  },
  {
    name: "doctor",
    sentence: "check that this machine has what a run needs",
    options: "doctor",
    examples: ["paceline doctor", "paceline doctor --json"],
    async run({ options, io }) {
      return (await import("./commands/doctor.js")).doctor(options, io);
    },
  },
];

/**
 * What to type instead, where the command can't start with what was said; null when it can.
 * @throws PacelineError `usage` when it is the coordinator's address that is missing.
 */
export function nextSteps({ name, needs }: CommandPlan, options: ResolvedOptions): string | null {
  const { model, data, serve, coordinator } = options;
  if (needs === "a coordinator" && coordinator === null) {
    const example = `paceline ${name} --coordinator 127.0.0.1:8000`;
    const sentence = `paceline ${name} needs to know where the coordinator listens`;
    throw new PacelineError("usage", `${sentence}; write ${example}`);
  }
  const needsWork = (needs === "model and data" && !serve) || name === "submit";
  if (!needsWork || (model !== null && data !== null)) return null;
  const missing = [model === null ? "--model" : "", data === null ? "--data" : ""];
  const named = missing.filter((flag) => flag !== "").join(" and ");
  const place = needs === "a coordinator" ? ` --coordinator ${coordinator}` : "";
  const base = `paceline ${name}${place}`;
  const chosen = `${base} --model ${model ?? "mlp"} --data ${data ?? dataFor(model)}`;
  const width = chosen.length + 9;
  return [
    `paceline ${name} needs ${named}. For instance:`,
    "",
    `  ${chosen}`,
    `  ${`${chosen} --fast`.padEnd(width)} a small run, done in seconds`,
    `  ${`${base} run.yaml`.padEnd(width)} with model and data in the file`,
    "",
    `paceline ${name} --help lists every option, paceline doctor looks at this machine.`,
    "",
  ].join("\n");
}

/**
 * Refuses a bucket of S3 where what a command does with runs needs a folder of this machine.
 * @throws PacelineError `usage`.
 */
export function demandPlace({ name, buckets }: CommandPlan, options: ResolvedOptions): void {
  const { runDir, trace } = options;
  if (!isInBucket(runDir)) return;
  if (buckets !== true) {
    const remedy = `copy what is there first: aws s3 sync ${runDir} runs`;
    const sentence = `paceline ${name} needs a folder of this machine, --run-dir is ${runDir}`;
    throw new PacelineError("usage", `${sentence}; ${remedy}`);
  }
  if (!trace) return;
  const sentence = `--trace writes its parts side by side, and --run-dir is ${runDir}`;
  throw new PacelineError("usage", `${sentence}; leave it out, or give a folder`);
}

function dataFor(model: string | null): string {
  return model === "logistic" ? "mnist-parity" : "mnist";
}

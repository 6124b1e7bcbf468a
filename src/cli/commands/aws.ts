/** `paceline aws`: a cluster on AWS, as terraform/ describes it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { costLines } from "../../deploy/fargate-cost.js";
import { jsonOf, outputOf, type ProgramPlace, runProgramHere } from "../../deploy/outer-program.js";
import { demandTerraformFolder, readPlan, readStack } from "../../deploy/stack.js";
import {
  fetchLogs,
  type LogChoice,
  type LogRole,
  logRoles,
  showLogs,
  sinceMs,
} from "../../deploy/stack-logs.js";
import { readStatus } from "../../deploy/stack-status.js";
import { PacelineError } from "../../errors.js";
import { alternatives } from "../../suggest.js";
import { fetchedText, planText, statusText } from "./aws-text.js";
import type { Call, CommandPlan, ExtraFlag } from "./command-plan.js";

const verbs = { plan, up, status, logs, fetch, experiments, down };
type Verb = keyof typeof verbs;

/** Each flag with the verbs that take it. */
const extra: readonly ExtraFlag[] = [
  { flags: "--dir <folder>", sentence: "Paceline's folder terraform/ (default: terraform)" },
  {
    flags: "--var <name=value...>",
    sentence: "variables of terraform/, such as worker_count=8",
    verbs: ["plan", "up", "experiments", "down"],
  },
  {
    flags: "--var-file <file>",
    sentence: "a file of variables, such as dev.tfvars",
    verbs: ["plan", "up", "experiments", "down"],
  },
  { flags: "--name <name>", sentence: "the name of the run that is started", verbs: ["up"] },
  { flags: "--no-run", sentence: "start no run", verbs: ["up"] },
  {
    flags: "--no-build",
    sentence: "take the images that were pushed before",
    verbs: ["up", "experiments"],
  },
  {
    flags: "--role <role>",
    sentence: `lines of one role: ${logRoles.join(", ")}`,
    verbs: ["logs", "fetch"],
  },
  {
    flags: "--filter <pattern>",
    sentence: "lines that match a filter pattern of CloudWatch, such as METRICS_JSON",
    verbs: ["logs", "fetch"],
  },
  {
    flags: "--since <span>",
    sentence: "lines of the last 30m, 6h or 2d (default: 1h, of fetch all that are kept)",
    verbs: ["logs", "fetch"],
  },
  { flags: "-f, --follow", sentence: "go on with new lines", verbs: ["logs"] },
  {
    flags: "-o, --out <folder>",
    sentence: "the folder for the logs (default: experiment_results/logs/<stack>)",
    verbs: ["fetch"],
  },
  {
    flags: "--priority <least>",
    sentence: "only cells at or above high, medium or optional",
    verbs: ["experiments"],
  },
  { flags: "--retry-failed", sentence: "run failed cells again", verbs: ["experiments"] },
  {
    flags: "--results-dir <folder>",
    sentence: "folder for results, instead of the one in the matrix",
    verbs: ["experiments"],
  },
  { flags: "--keep", sentence: "leave the cluster up in the end", verbs: ["experiments"] },
  { flags: "-y, --yes", sentence: "do not ask", verbs: ["up", "experiments", "down"] },
];

/** The command with its words. */
export const awsPlan: CommandPlan = {
  name: "aws",
  sentence: "a cluster on AWS ECS Fargate: plan it, make it, look at it, fetch its logs, remove it",
  options: "aws",
  arguments: [`<${Object.keys(verbs).join("|")}>`, "[matrix.yaml]"],
  verbs: [
    {
      name: "plan",
      words: "",
      sentence: "what would be made or changed, and its cost by the hour",
    },
    { name: "up", words: "", sentence: "make or change it, and start a run (terraform/deploy.sh)" },
    {
      name: "status",
      words: "",
      sentence: "tasks with their ranks, why tasks stopped, and the cost",
    },
    { name: "logs", words: "", sentence: "lines of its logs" },
    { name: "fetch", words: "", sentence: "write its logs to a folder, a file for each task" },
    {
      name: "experiments",
      words: "MATRIX",
      sentence: "make it, run a matrix of experiments on it, fetch logs, chart, remove it",
    },
    { name: "down", words: "", sentence: "fetch the logs, then remove all (terraform/destroy.sh)" },
  ],
  extra,
  examples: [
    "paceline aws plan --var worker_count=8 worker_spot=true",
    "paceline aws up --var-file dev.tfvars --name sync_4workers",
    "paceline aws status",
    "paceline aws logs --role worker --filter METRICS_JSON -f",
    "paceline aws fetch --since 6h --out logs",
    "paceline aws experiments configs/experiments-ecs.yaml --priority high --yes",
    "paceline aws down --yes",
  ],
  run: (call) => aws(call.words[0] as Verb, call),
};

/** What a verb works with. */
interface Asked {
  readonly call: Pick<Call, "flags" | "options" | "io" | "words">;
  readonly place: ProgramPlace & { readonly folder: string };
}

/** Runs the command; resolves to the exit code. */
export async function aws(verb: Verb, call: Asked["call"]): Promise<number> {
  for (const { flags, verbs: takers = [] } of extra) {
    const [, negation, name = ""] = /--(no-)?([\w-]+)/.exec(flags) ?? [];
    const key = name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    const value = call.flags[key];
    const isGiven = negation === undefined ? value !== undefined : value === false;
    if (!isGiven || takers.length === 0 || takers.includes(verb)) continue;
    const sentence = `--${negation ?? ""}${name} does not apply to paceline aws ${verb}`;
    throw usage(`${sentence}; leave it out, or write ${alternatives(takers)}`);
  }
  const [, matrix] = call.words;
  if (matrix !== undefined && verb !== "experiments") {
    throw usage(`paceline aws ${verb} takes no ${matrix}; leave it out, or write experiments`);
  }
  const folder = resolve(textFlag(call, "dir") ?? "terraform");
  await demandTerraformFolder(folder);
  return verbs[verb]({ call, place: { folder, environment: call.io.environment } });
}

async function plan({ call, place }: Asked): Promise<number> {
  const { io, options } = call;
  const scratch = await mkdtemp(join(tmpdir(), "paceline-plan-"));
  try {
    const file = join(scratch, "plan");
    await outputOf("terraform", ["init", "-input=false", "-no-color"], place);
    const words = ["plan", "-input=false", "-no-color", `-out=${file}`, ...variablesOf(call)];
    await outputOf("terraform", words, place);
    const planned = readPlan(await jsonOf("terraform", ["show", "-json", file], place));
    const cost = costLines(planned.groups, planned);
    const text = options.json
      ? `${JSON.stringify({ ...planned, cost })}\n`
      : planText(planned, cost);
    io.stdout.write(text);
    return 0;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function up(asked: Asked): Promise<number> {
  const { flags } = asked.call;
  const name = textFlag(asked.call, "name");
  return script(asked, "deploy.sh", [
    ...variablesOf(asked.call),
    ...(name === null ? [] : ["--name", name]),
    ...yesOf(asked.call),
    ...(flags.run === false ? ["--no-run"] : []),
    ...(flags.build === false ? ["--no-build"] : []),
  ]);
}

async function experiments({ call, place }: Asked): Promise<number> {
  const [, matrix] = call.words;
  if (matrix === undefined) throw usage("paceline aws experiments needs a matrix; give its file");
  const { awsExperiments } = await import("./aws-experiments.js");
  return awsExperiments({ matrix, call, place, variables: variablesOf(call) });
}

async function down(asked: Asked): Promise<number> {
  return script(asked, "destroy.sh", [...yesOf(asked.call), ...variablesOf(asked.call)]);
}

function yesOf({ flags }: Asked["call"]): string[] {
  return flags.yes === true ? ["--yes"] : [];
}

async function status({ call, place }: Asked): Promise<number> {
  const stack = await readStack(place);
  const picture = await readStatus(stack, place);
  const { io, options } = call;
  const json = () => `${JSON.stringify({ ...stack, ...picture })}\n`;
  io.stdout.write(options.json ? json() : statusText(stack, picture, Date.now()));
  return 0;
}

async function logs({ call, place }: Asked): Promise<number> {
  const choice = { ...logChoice(call), follow: call.flags.follow === true };
  const stack = await readStack(place);
  return showLogs(stack, choice, place, passedOn(call));
}

async function fetch({ call, place }: Asked): Promise<number> {
  const choice = logChoice(call);
  const stack = await readStack(place);
  const folder = textFlag(call, "out") ?? join("experiment_results", "logs", stack.name);
  const fetched = await fetchLogs(stack, choice, folder, place, Date.now());
  const { io, options } = call;
  if (options.json) io.stdout.write(`${JSON.stringify({ folder, fetched })}\n`);
  else io.stdout.write(fetchedText(fetched));
  if (fetched.length > 0) return 0;
  const sentence = `${stack.serverLogs} and ${stack.workerLogs} have no such lines`;
  throw new PacelineError("data", `${sentence}; look further back, or leave --filter out`);
}

function logChoice(call: Asked["call"]): LogChoice {
  const role = textFlag(call, "role");
  const since = textFlag(call, "since");
  if (role !== null && !logRoles.includes(role as LogRole)) {
    throw usage(`--role ${role} is no role of a stack; write ${alternatives(logRoles)}`);
  }
  if (since !== null) sinceMs(since);
  return { role: role as LogRole | null, since, filter: textFlag(call, "filter") };
}

/** As the programs take them. */
function variablesOf({ flags }: Asked["call"]): string[] {
  const given = (flags.var ?? []) as readonly string[];
  const wrong = given.find((text) => !/^[a-z_]+=/.test(text));
  if (wrong !== undefined) {
    throw usage(`--var ${wrong} is not name=value; write it as worker_count=8`);
  }
  const file = flags.varFile === undefined ? [] : [`-var-file=${flags.varFile}`];
  return [...file, ...given.map((text) => `-var=${text}`)];
}

function script({ call, place }: Asked, name: string, words: readonly string[]): Promise<number> {
  return runProgramHere(join(place.folder, name), words, place, passedOn(call));
}

function passedOn({ io }: Asked["call"]) {
  return {
    out: (text: string) => void io.stdout.write(text),
    err: (text: string) => void io.stderr.write(text),
  };
}

function textFlag({ flags }: Asked["call"], name: string): string | null {
  return (flags[name] as string | undefined) ?? null;
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

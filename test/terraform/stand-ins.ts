/**
 * Programs that stand in for aws, docker and terraform: each writes down the words that it is
 * called with and answers by a table of patterns. Tests put them first in the search path.
 */
import { spawn } from "node:child_process";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Place } from "../run-paceline.js";
import { repository } from "./terraform-runs.js";

/** What a program says to words that match a pattern of the shell; the first that does counts. */
export interface Answer {
  readonly to: string;
  readonly out?: string;
  readonly err?: string;
  readonly exitCode?: number;
}

/** How a script ended. */
export interface ScriptEnd {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
  /** The calls of stand-ins, in their order. */
  readonly calls: readonly string[];
}

/** By program; what has no answer says nothing and ends well. */
export type Answers = Readonly<Record<string, readonly Answer[]>>;

const programs = ["aws", "docker", "terraform"];

/** Puts the scripts of terraform/ and the stand-ins into a place. */
export async function makeScripts(place: Place): Promise<void> {
  await mkdir(place.path("terraform"));
  await mkdir(place.path("bin"));
  await symlink(join(repository, "dist"), place.path("dist"));
  for (const name of await readdir(join(repository, "terraform"))) {
    if (!name.endsWith(".sh")) continue;
    await cp(join(repository, "terraform", name), place.path("terraform", name));
  }
}

/** Writes the stand-ins with these answers; the calls of before are forgotten. */
export async function writeStandIns(place: Place, answers: Answers): Promise<void> {
  await writeFile(place.path("calls"), "");
  for (const program of programs) {
    const cases = (answers[program] ?? []).map(({ to, out = "", err = "", exitCode = 0 }) => {
      const said = out === "" ? "" : `printf '%s\\n' ${quoted(out)};`;
      const complained = err === "" ? "" : `printf '%s\\n' ${quoted(err)} >&2;`;
      return `  ${to.replaceAll(" ", "\\ ")}) ${said} ${complained} exit ${exitCode} ;;`;
    });
    const script = [
      "#!/bin/sh",
      `printf '%s\\n' "${program} $*" >> ${quoted(place.path("calls"))}`,
      // What is piped in is read, so that nobody writes into a closed pipe.
      `case "$*" in *stdin*|console*) cat >> ${quoted(place.path("piped"))} ;; esac`,
      'case "$*" in',
      ...cases,
      "esac",
    ];
    await writeFile(place.path("bin", program), `${script.join("\n")}\n`, { mode: 0o755 });
  }
}

/** The search path of what runs in a place with stand-ins. */
export function standInPath(place: Place): string {
  return `${place.path("bin")}:${dirname(process.execPath)}:${process.env.PATH}`;
}

/** The calls of stand-ins so far. */
export async function callsOf(place: Place): Promise<string[]> {
  const text = await readFile(place.path("calls"), "utf8");
  return text.split("\n").filter((line) => line !== "");
}

/** Runs a script of terraform/ with these answers; its standard input is what `typed` says. */
export async function runScript(
  place: Place,
  words: readonly string[],
  answers: Answers,
): Promise<ScriptEnd> {
  await writeStandIns(place, answers);
  const [script = "", ...rest] = words;
  const env = { PATH: standInPath(place), HOME: place.folder, SETTLE_SECONDS: "0" };
  const child = spawn(place.path("terraform", script), rest, {
    cwd: place.folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
  });
  const told = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (told.out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (told.err += text));
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { exitCode, ...told, calls: await callsOf(place) };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

const arn = "arn:aws:ecs:us-west-2:1:task/distributed-ps-dev-cluster";
const registry = "1.dkr.ecr.us-west-2.amazonaws.com/distributed-ps-dev";

/** The words of a stack that is up. */
export const outputs: Readonly<Record<string, string>> = {
  aws_region: "us-west-2",
  project_name: "distributed-ps",
  environment: "dev",
  ecs_cluster_name: "distributed-ps-dev-cluster",
  parameter_server_ecr_repository_url: `${registry}-parameter-server`,
  worker_ecr_repository_url: `${registry}-worker`,
  coordinator_service_name: "distributed-ps-dev-coordinator",
  parameter_server_service_name: "distributed-ps-dev-parameter-server",
  worker_service_name: "distributed-ps-dev-worker",
  parameter_server_log_group: "/ecs/distributed-ps-dev-parameter-server",
  worker_log_group: "/ecs/distributed-ps-dev-worker",
  security_group_parameter_server_id: "sg-1",
  submit_task_definition: "arn:aws:ecs:us-west-2:1:task-definition/distributed-ps-dev-submit:1",
  cluster_secret_arn: "arn:aws:secretsmanager:us-west-2:1:secret:distributed-ps-dev-cluster",
  dashboard_name: "distributed-ps-dev",
};

/** An account and a stack in which all goes well. */
export const allWell: Answers = {
  aws: [
    { to: "sts get-caller-identity*", out: "123456789012" },
    { to: "ssm get-parameters-by-path*", out: "us-east-1\tus-west-2" },
    { to: "service-quotas*L-3032A538*", out: "64.0" },
    { to: "secretsmanager get-secret-value*", err: "ResourceNotFoundException", exitCode: 254 },
    { to: "ecr get-login-password*", out: "secret-word" },
    { to: "ecs run-task*", out: `${arn}/0123` },
    { to: "ecs describe-tasks*lastStatus*", out: "STOPPED" },
    { to: "ecs describe-tasks*exitCode*", out: "0" },
    { to: "logs tail*", out: 'METRICS_JSON: {"type":"SERVER_FINAL_METRICS"}' },
  ],
  docker: [{ to: "image inspect*", out: "linux/amd64" }],
  terraform: [
    { to: "console*", out: '"us-west-2 distributed-ps-dev false 8192 2816 true"' },
    ...Object.entries(outputs).map(([name, out]) => ({ to: `output -raw ${name}`, out })),
    {
      to: "output -json parameter_server_service_names",
      out: '["distributed-ps-dev-parameter-server","distributed-ps-dev-parameter-server-1"]',
    },
    { to: "output -json public_subnet_ids", out: '["subnet-a","subnet-b"]' },
    { to: "output -json public_subnet_cidrs", out: '["10.0.1.0/24","10.0.2.0/24"]' },
    { to: "output -json availability_zones", out: '["us-west-2a","us-west-2b"]' },
  ],
};

/** The same, but for some answers of a program, which come first. */
export function but(program: string, ...answers: readonly Answer[]): Answers {
  return { ...allWell, [program]: [...answers, ...(allWell[program] ?? [])] };
}

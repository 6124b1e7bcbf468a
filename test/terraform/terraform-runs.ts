/** Runs the terraform program on terraform/, or a copy, with AWS as a stub provider knows it. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { type StubProvider, startStubProviders } from "./stub-provider.js";

/** The folder of the repository. */
export const repository = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const limitMs = 120_000;
/** mock_provider came with 1.7, what variables' checks use of other variables with 1.9. */
const oldest = [1, 9];

/** How terraform ended, and what it said on either stream. */
export interface TerraformEnd {
  readonly exitCode: number;
  readonly told: string;
}

/** A container of a task definition. */
export interface Container {
  readonly name: string;
  readonly image: string;
  readonly entryPoint: readonly string[];
  readonly command: readonly string[];
  readonly environment: readonly { readonly name: string; readonly value: string }[];
  readonly secrets: readonly { readonly name: string; readonly valueFrom: string }[];
  /** Seconds from SIGTERM to SIGKILL. */
  readonly stopTimeout: number;
  /** Null for a task that nobody looks after. */
  readonly healthCheck: {
    readonly command: readonly string[];
    readonly timeout: number;
  } | null;
  readonly logConfiguration: { readonly options: Readonly<Record<string, string>> };
}

/** Why no test can be made here; null where terraform is there. */
export function lackOfTerraform(): string | null {
  const { error, stdout } = spawnSync("terraform", ["version", "-json"], { encoding: "utf8" });
  if (error !== undefined) return "terraform is not installed: see https://developer.hashicorp.com";
  const version: string = JSON.parse(stdout.slice(stdout.indexOf("{"))).terraform_version;
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isOld = major < oldest[0]! || (major === oldest[0] && minor < oldest[1]!);
  return isOld ? `terraform ${version} is older than ${oldest.join(".")}` : null;
}

/** Starts a stub for each of these providers; they go when the test is over. */
export async function stubProvider(
  context: TestContext,
  names: readonly string[] = ["aws"],
): Promise<StubProvider> {
  const provider = await startStubProviders(repository, names);
  context.after(() => provider.close());
  return provider;
}

/** Runs terraform in a folder to its end, with `typed` on its standard input. */
export function terraform(
  words: readonly string[],
  folder: string,
  provider: StubProvider | null = null,
  typed = "",
): Promise<TerraformEnd> {
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    CHECKPOINT_DISABLE: "1",
    TF_IN_AUTOMATION: "1",
  };
  const options = { cwd: folder, env: { ...env, ...provider?.environment }, maxBuffer: 64 << 20 };
  return new Promise((resolve) => {
    const given = { ...options, timeout: limitMs };
    const child = execFile("terraform", words, given, (error, out, err) => {
      const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ exitCode, told: `${out}${err}` });
    });
    child.stdin?.end(typed);
  });
}

/** Carries out the runs of terraform/tests; resolves to the resources that each has made. */
export async function statesOfRuns(
  context: TestContext,
): Promise<Map<string, readonly Resource[]>> {
  const provider = await stubProvider(context);
  const folder = join(repository, "terraform");
  const { exitCode, told } = await terraform(["test", "-json", "-verbose"], folder, provider);
  const said = told.split("\n").filter((line) => !line.includes('"test_state"'));
  assert.equal(exitCode, 0, said.join("\n"));
  const lines = told.split("\n").filter((line) => line.startsWith("{"));
  const states = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === "test_state");
  return new Map(
    states.map((line) => [line["@testrun"], line.test_state.root_module.resources] as const),
  );
}

/** A resource of a state. */
export interface Resource {
  readonly type: string;
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** The containers of the task definitions among these, by their names. */
export function containersOf(resources: readonly Resource[]): Map<string, Container> {
  const definitions = resources.filter(({ type }) => type === "aws_ecs_task_definition");
  const containers = definitions.flatMap(
    ({ values }) => JSON.parse(String(values.container_definitions)) as Container[],
  );
  return new Map(containers.map((container) => [container.name, container]));
}

/** What a container has in its environment. */
export function environmentOf({ environment }: Container): Record<string, string> {
  return Object.fromEntries(environment.map(({ name, value }) => [name, value]));
}

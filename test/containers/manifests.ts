/**
 * What is written down for machines to run: the containers of compose.yaml and of the manifests in
 * k8s/, as the command lines and environments that a process of Paceline gets.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { interpolated, readCompose } from "./compose-file.js";

/** A manifest; what it holds is for its kind to say. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  // biome-ignore lint/suspicious/noExplicitAny: each kind has another form, which schemas judge.
  readonly [field: string]: any;
}

/** A command line with its environment, and where it stands. */
export interface WrittenCommand {
  readonly where: string;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string };
    readonly resourceFieldRef?: { readonly resource: string };
  };
}

/** A container of a pod. */
export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly Variable[];
  readonly resources?: { readonly limits?: Readonly<Record<string, string>> };
  readonly [probe: string]: unknown;
}

/** What a kubelet puts in for a field of the pod. */
const fields: Readonly<Record<string, string>> = {
  "metadata.name": "paceline-server-1",
  "status.podIP": "10.0.0.7",
  "metadata.annotations['batch.kubernetes.io/job-completion-index']": "1",
};
const probes = ["startupProbe", "livenessProbe", "readinessProbe"] as const;
/** What the images set, as both Dockerfiles say. */
const imageVariables = variablesOf("Dockerfile.server");

/** The folder of the manifests. */
export const manifestFolder = fileURLToPath(new URL("../../k8s/", import.meta.url));

/** Reads the manifests of a YAML text; a mistake in its form is an error. */
export function readManifests(text: string): Manifest[] {
  return parseAllDocuments(text, { merge: true }).map((document) => {
    assert.deepEqual([...document.errors, ...document.warnings], []);
    return document.toJS() as Manifest;
  });
}

/** The manifests of a folder, but for what kustomize alone reads. */
export function manifestsOf(folder: string): Manifest[] {
  const names = readdirSync(`${manifestFolder}${folder}`).sort();
  const files = names.filter((name) => name !== "kustomization.yaml");
  return files.flatMap((name) =>
    readManifests(readFileSync(`${manifestFolder}${folder}/${name}`, "utf8")),
  );
}

/** The templates of pods in a manifest. */
export function podsOf({
  kind,
  spec,
  metadata,
}: Manifest): { where: string; pod: Manifest["spec"] }[] {
  const where = `${kind}/${metadata.name}`;
  if (kind === "JobSet") {
    // biome-ignore lint/suspicious/noExplicitAny: the form of a JobSet has no schema here.
    return spec.replicatedJobs.map(({ name, template }: any) => {
      return { where: `${where}/${name}`, pod: template.spec.template.spec };
    });
  }
  return spec?.template === undefined ? [] : [{ where, pod: spec.template.spec }];
}

/** Every process of Paceline that a manifest starts, probes too. */
export function commandsOf(manifest: Manifest): WrittenCommand[] {
  return podsOf(manifest).flatMap(({ where, pod }) =>
    (pod.containers as Container[])
      .filter(({ image }) => /(^|\/)paceline-/.test(image))
      .flatMap((container) => commandsOfContainer(where, container)),
  );
}

function commandsOfContainer(where: string, container: Container): WrittenCommand[] {
  const { command, args = [], env = [] } = container;
  assert.equal(command, undefined, `${where}: the image's entry point is kept`);
  const variables: Record<string, string> = {};
  // Names that end in $(NAME) are of variables that stand above.
  const expanded = (text: string) =>
    text.replace(/\$\((\w+)\)/g, (_, name: string) => {
      assert.ok(name in variables, `${where}: $(${name}) stands for nothing`);
      return variables[name]!;
    });
  for (const variable of env)
    variables[variable.name] = expanded(valueFor(where, variable, container));
  const environment = { ...imageVariables, ...variables };
  const checks = probes
    .map((probe) => container[probe] as { exec?: { command: string[] } } | undefined)
    .flatMap((probe) => (probe?.exec === undefined ? [] : [probe.exec.command]))
    .map(([program, ...argv]) => {
      assert.equal(program, "paceline", where);
      return { where, argv, environment };
    });
  return [{ where, argv: args.map(expanded), environment }, ...checks];
}

function valueFor(
  where: string,
  { name, value, valueFrom }: Variable,
  container: Container,
): string {
  if (value !== undefined) return value;
  const resource = valueFrom?.resourceFieldRef?.resource;
  const found =
    resource === undefined
      ? fields[valueFrom?.fieldRef?.fieldPath ?? ""]
      : container.resources?.limits?.[resource.replace("limits.", "")];
  assert.ok(found !== undefined, `${where}: ${name} comes from something unknown`);
  return found;
}

/** Every process that compose.yaml starts, those of its script too. */
export function commandsOfCompose(): WrittenCommand[] {
  return Object.entries(readCompose().services).flatMap(([name, service]) => {
    const { command, entrypoint, environment = {} } = service;
    const own = { ...imageVariables, ...environment };
    if (entrypoint === undefined) return [{ where: name, argv: command, environment: own }];
    return commandsOfScript(name, command.map(interpolated).join("\n"), own);
  });
}

/** The lines of a script that call paceline, without what a shell makes of them. */
export function commandsOfScript(
  where: string,
  script: string,
  environment: Readonly<Record<string, string>>,
  values: Readonly<Record<string, string>> = {},
): WrittenCommand[] {
  const lines = script.split("\n").map((line) => line.trim());
  const filled = (word: string) =>
    word.replace(/^"(.*)"$/, "$1").replace(/\$(\w+)/g, (_, name: string) => {
      assert.ok(name in values, `${where}: $${name} stands for nothing`);
      return values[name]!;
    });
  return lines
    .filter((line) => line.startsWith("paceline ") && !line.startsWith("paceline()"))
    .map((line) => line.replace(/ &$/, "").split(" ").slice(1).map(filled))
    .map((argv) => ({ where, argv, environment }));
}

/** The variables that an image is built with. */
export function variablesOf(dockerfile: string): Record<string, string> {
  const text = readFileSync(new URL(`../../${dockerfile}`, import.meta.url), "utf8");
  const [, block = ""] = /^ENV ((?:.*\\\n)*.*)$/m.exec(text) ?? [];
  const pairs = block.split(/\s+(?:\\\s+)?/).map((pair) => pair.split("="));
  return Object.fromEntries(pairs.filter(([name]) => name !== "" && name !== "\\"));
}

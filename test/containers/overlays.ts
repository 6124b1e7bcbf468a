/**
 * As much of kustomize as k8s/ makes use of: resources, a namespace, labels, replicas, images, and
 * patches of both kinds. What names nothing is an error, as is a key that is not known here. Where
 * kubectl is installed, a test holds what it builds against this.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { type Manifest, manifestFolder, readManifests } from "./manifests.js";

interface Target {
  readonly kind?: string;
  readonly name?: string;
}

interface Patch {
  readonly path?: string;
  readonly patch?: string;
  readonly target?: Target;
}

interface Kustomization {
  readonly namespace?: string;
  readonly labels?: readonly {
    readonly pairs: Record<string, string>;
    readonly includeTemplates: boolean;
  }[];
  readonly resources: readonly string[];
  readonly replicas?: readonly { readonly name: string; readonly count: number }[];
  readonly images?: readonly { readonly name: string; readonly newName: string }[];
  readonly patches?: readonly Patch[];
}

type Json = Record<string, unknown>;

const known = new Set(["apiVersion", "kind", "namespace", "labels", "resources", "replicas"]);
for (const key of ["images", "patches"]) known.add(key);

/** Builds an overlay. */
export function build(folder: string): Manifest[] {
  const at = join(manifestFolder, folder);
  const text = readFileSync(join(at, "kustomization.yaml"), "utf8");
  const { resources, ...rest } = parse(text) as Kustomization;
  for (const key of Object.keys(rest)) assert.ok(known.has(key), `${folder}: ${key}`);
  const manifests = resources.flatMap((name) => {
    assert.ok(existsSync(join(at, name)), `${folder}: there is no ${name}`);
    if (!name.endsWith(".yaml")) return build(join(folder, name));
    return readManifests(readFileSync(join(at, name), "utf8"));
  });
  for (const patch of rest.patches ?? []) applyPatch(manifests, patch, at);
  if (rest.namespace !== undefined) setNamespace(manifests, rest.namespace);
  for (const { pairs, includeTemplates } of rest.labels ?? []) {
    for (const manifest of manifests) addLabels(manifest, pairs, includeTemplates);
  }
  for (const { name, newName } of rest.images ?? []) rename(manifests, name, newName);
  for (const { name, count } of rest.replicas ?? []) {
    const found = manifests.filter(
      ({ metadata, spec }) => metadata.name === name && "replicas" in (spec ?? {}),
    );
    assert.equal(found.length, 1, `${folder}: replicas of ${name}`);
    found[0]!.spec.replicas = count;
  }
  return manifests;
}

function setNamespace(manifests: readonly Manifest[], namespace: string): void {
  for (const { kind, metadata } of manifests) {
    if (kind !== "Namespace") Object.assign(metadata, { namespace });
  }
}

function addLabels(manifest: Manifest, pairs: Json, includeTemplates: boolean): void {
  const inner = includeTemplates ? [manifest.spec?.template].filter(Boolean) : [];
  const claims = includeTemplates ? (manifest.spec?.volumeClaimTemplates ?? []) : [];
  for (const { metadata } of [manifest, ...inner, ...claims]) {
    metadata.labels = { ...metadata.labels, ...pairs };
  }
}

function rename(manifests: readonly Manifest[], name: string, newName: string): void {
  const containers = manifests.flatMap(({ spec }) => spec?.template?.spec.containers ?? []);
  const found = containers.filter(({ image }) => image.split(":")[0] === name);
  assert.ok(found.length > 0, `no container has the image ${name}`);
  for (const container of found) container.image = container.image.replace(name, newName);
}

function applyPatch(manifests: Manifest[], { path, patch, target }: Patch, at: string): void {
  const value = parse(patch ?? readFileSync(join(at, path!), "utf8")) as Json | Operation[];
  const own = Array.isArray(value) ? {} : { kind: value.kind, name: (value.metadata as Json).name };
  const wanted = target ?? (own as Target);
  const isWanted = ({ kind, metadata }: Manifest) =>
    matches(wanted.kind, kind) && matches(wanted.name, metadata.name);
  const found = manifests.filter(isWanted);
  assert.ok(found.length > 0, `no resource is ${JSON.stringify(wanted)}`);
  for (const manifest of found) {
    if (Array.isArray(value)) for (const operation of value) operate(manifest, operation);
    else Object.assign(manifest.spec, merged(manifest.spec, value.spec as Json));
  }
}

function matches(pattern: string | undefined, text: string): boolean {
  return pattern === undefined || new RegExp(`^(?:${pattern})$`).test(text);
}

/** An operation of RFC 6902. */
interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value: unknown;
}

function operate(manifest: Manifest, { op, path, value }: Operation): void {
  const names = path.split("/").slice(1);
  const last = names.pop()!;
  // biome-ignore lint/suspicious/noExplicitAny: a path leads through whatever is there.
  const holder = names.reduce((at: any, name) => at?.[name], manifest);
  assert.ok(holder !== undefined && ["add", "replace"].includes(op), `${op} ${path}`);
  assert.ok(op === "add" || last in holder, `${path} is not there to be replaced`);
  holder[last] = structuredClone(value);
}

/** A strategic merge: of lists with names, those of one name are merged, others are replaced. */
function merged(before: Json, patch: Json): Json {
  const out: Json = { ...before };
  for (const [key, value] of Object.entries(patch)) {
    const old = out[key];
    if (Array.isArray(value) && Array.isArray(old) && isNamed(value)) {
      out[key] = mergedList(old as Json[], value as Json[]);
    } else if (isObject(value) && isObject(old)) out[key] = merged(old, value);
    else out[key] = structuredClone(value);
  }
  return out;
}

/** As kustomize orders them: what the patch names first. */
function mergedList(before: readonly Json[], patch: readonly Json[]): Json[] {
  const named = patch.map((change) => {
    const old = before.find(({ name }) => name === change.name);
    return old === undefined ? structuredClone(change) : merged(old, change);
  });
  return [...named, ...before.filter(({ name }) => !patch.some((one) => one.name === name))];
}

function isNamed(list: readonly unknown[]): boolean {
  return list.every((one) => isObject(one) && "name" in one);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

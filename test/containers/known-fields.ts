/**
 * Manifests against the schemas of Kubernetes, as the library kubernetes-models has them. Its
 * validators look at the fields that a schema knows and let others pass; a cluster refuses or drops
 * them. So each is given an object that notes what is looked at.
 */
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { StatefulSet } from "kubernetes-models/apps/v1/StatefulSet";
import { Job } from "kubernetes-models/batch/v1/Job";
import { NetworkPolicy } from "kubernetes-models/networking.k8s.io/v1/NetworkPolicy";
import { PodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import { Namespace } from "kubernetes-models/v1/Namespace";
import { PersistentVolumeClaim } from "kubernetes-models/v1/PersistentVolumeClaim";
import { Pod } from "kubernetes-models/v1/Pod";
import { Service } from "kubernetes-models/v1/Service";
import type { Manifest } from "./manifests.js";

const kinds = [Deployment, StatefulSet, Job, NetworkPolicy, PodDisruptionBudget]
  .concat([Namespace, PersistentVolumeClaim, Pod, Service] as never[])
  .map((model) => model as unknown as Model);

interface Model {
  readonly apiVersion: string;
  readonly kind: string;
  readonly prototype: { validate(this: object): void };
}

/** What is wrong with a manifest: fields of a wrong form, missing and unknown ones. */
export function problemsOf(manifest: Manifest): string[] {
  const { apiVersion, kind } = manifest;
  const model = kinds.find((one) => one.apiVersion === apiVersion && one.kind === kind);
  if (model === undefined) return [`${apiVersion} ${kind} is not a kind that is known here`];
  const seen = new Map<object, Set<string>>();
  const where = `${kind}/${manifest.metadata.name}`;
  try {
    model.prototype.validate.call(noting(manifest, seen));
  } catch (thrown) {
    return [`${where}: ${(thrown as Error).message}`];
  }
  return unread(manifest, seen).map((path) => `${where}: unknown field ${path}`);
}

/** The same object, of which each field that is read is noted. */
function noting<Value>(value: Value, seen: Map<object, Set<string>>): Value {
  if (value === null || typeof value !== "object") return value;
  const names = seen.get(value) ?? new Set<string>();
  seen.set(value, names);
  return new Proxy(value, {
    get(target, name) {
      if (typeof name === "string") names.add(name);
      return noting(Reflect.get(target, name), seen);
    },
  });
}

function unread(value: unknown, seen: Map<object, Set<string>>, path = ""): string[] {
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, field]) => {
    const here = `${path}/${name}`;
    const isKnown = Array.isArray(value) || seen.get(value)?.has(name) === true;
    return isKnown ? unread(field, seen, here) : [here];
  });
}

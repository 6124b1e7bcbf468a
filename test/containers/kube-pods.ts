/**
 * The pods of the manifests as `podman kube play` takes them. It knows neither sets nor projected
 * volumes, empty folders, a pod's address nor variables in arguments, so those are put in as a
 * cluster would: a pod for each replica, secrets laid down as a kubelet does, folders of the
 * host's. All else stays as it is.
 */
import { chmodSync, chownSync, mkdirSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "./manifests.js";

/** A pod, and what a cluster gives it besides. */
export interface PlayedPod {
  readonly name: string;
  readonly address: string;
  /** By which others find it. */
  readonly alias: string;
  readonly manifest: Manifest;
}

/** Where pods of a test find what is not in the manifests. */
export interface PodSurroundings {
  /** Folders of the host's for what a cluster would make. */
  readonly folder: string;
  /** The first three numbers of the network's addresses. */
  readonly subnet: string;
  /** The folder with the secret of this name's sources, laid down. */
  secretFolder(role: string): string;
  readonly owner: number;
}

interface Volume {
  readonly name: string;
  readonly emptyDir?: object;
  readonly projected?: object;
}

/** A pod for each replica of each set. */
export function podsToPlay(manifests: readonly Manifest[], around: PodSurroundings): PlayedPod[] {
  let last = 9;
  return manifests
    .filter(({ spec }) => spec?.template !== undefined)
    .flatMap((manifest) =>
      Array.from({ length: manifest.spec.replicas }, (_, index) => {
        const name = `${manifest.metadata.name}-${index}`;
        const address = `${around.subnet}.${++last}`;
        return podOf(manifest, name, address, around);
      }),
    );
}

function podOf(
  { metadata, spec }: Manifest,
  name: string,
  address: string,
  around: PodSurroundings,
): PlayedPod {
  const { containers, volumes = [], ...rest } = structuredClone(spec.template.spec);
  // Podman would open them on the host.
  delete containers[0].ports;
  const fields: Record<string, string> = { "status.podIP": address, "metadata.name": name };
  const [container] = containers;
  for (const variable of container.env) {
    const field = fields[variable.valueFrom?.fieldRef?.fieldPath];
    if (field === undefined) continue;
    delete variable.valueFrom;
    variable.value = field;
  }
  container.args = container.args.map((word: string) =>
    word.replace(/\$\((\w+)\)/g, (_, wanted: string) => {
      return container.env.find((one: { name: string }) => one.name === wanted).value;
    }),
  );
  const claimed = (spec.volumeClaimTemplates ?? []).map((claim: Manifest) => claim.metadata);
  const given = [...volumes, ...claimed].map((volume: Volume) =>
    volumeOf(volume, name, around, claimed.includes(volume)),
  );
  const manifest = {
    ...{ apiVersion: "v1", kind: "Pod" },
    metadata: { name, labels: spec.template.metadata.labels },
    spec: { ...rest, containers, volumes: given },
  };
  return { name, address, alias: `${name}.${metadata.name}`, manifest };
}

function volumeOf(
  volume: Volume,
  pod: string,
  { folder, owner, secretFolder }: PodSurroundings,
  isClaimed: boolean,
): object {
  const { name, emptyDir, projected } = volume;
  if (projected !== undefined) {
    const path = secretFolder(pod.replace(/^paceline-|-\d+$/g, ""));
    return { name, hostPath: { path, type: "Directory" } };
  }
  if (emptyDir === undefined && !isClaimed) return volume;
  const path = join(folder, `${pod}-${name}`);
  mkdirSync(path);
  chownSync(path, owner, owner);
  if (!isClaimed) chmodSync(path, 0o1777);
  return { name, hostPath: { path, type: "Directory" } };
}

/** Lays the files of a folder down as a kubelet does: links to a folder that is swapped whole. */
export function asSecretVolume(flat: string): string {
  const moment = "..2026_01_01_00_00_00.1234567890";
  mkdirSync(join(flat, moment), { mode: 0o755 });
  for (const file of readdirSync(flat)) {
    if (file.startsWith("..")) continue;
    renameSync(join(flat, file), join(flat, moment, file));
    symlinkSync(join("..data", file), join(flat, file));
  }
  symlinkSync(moment, join(flat, "..data"));
  return flat;
}

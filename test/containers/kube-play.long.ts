/**
 * The pods of k8s/laptop, run by `podman kube play`: an etcd, a coordinator that leads and two that
 * stand by, two servers, two workers, with secrets as a kubelet mounts them. `make test-containers`
 * runs it.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { stringify } from "yaml";
import { writeSampleMnist } from "../../dist/data/testing/sample-files.js";
import { initFolder } from "../../dist/transport/credentials/certificate-folder.js";
import { until } from "../run-paceline.js";
import { asSecretVolume, podsToPlay } from "./kube-pods.js";
import { build } from "./overlays.js";
import { ContainerCluster, podman, podmanOk, type Said } from "./podman.js";

const user = 10001;
const subnet = `10.89.${100 + (process.pid % 100)}`;
const network = `paceline-kube-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), "paceline-kube-"));
const volumes = ["paceline-runs", "paceline-data"];
/** For what it asks of containers alone; the pods are podman's own. */
const asked = new ContainerCluster(
  { name: "", services: {}, networks: {}, volumes: {} },
  "paceline",
);
const pods = podsToPlay(build("laptop"), { folder, subnet, owner: user, secretFolder });
const coordinators = [0, 1, 2].map((index) => `paceline-coordinator-${index}`);

/** A role's certificates and the token, root's and readable by the pod's group. */
function secretFolder(role: string): string {
  return join(folder, `secret-${role}`);
}

/** Runs paceline in the one container of a pod. */
function exec(pod: string, ...words: string[]): Promise<Said> {
  return podman("exec", `${pod}-paceline`, "paceline", ...words);
}

async function layDown(role: string): Promise<void> {
  const to = secretFolder(role);
  mkdirSync(to, { mode: 0o755 });
  for (const name of ["ca.pem", `${role}.pem`, `${role}-key.pem`, "token"]) {
    cpSync(join(folder, "certs", name), join(to, name));
    chownSync(join(to, name), 0, user);
    chmodSync(join(to, name), 0o440);
  }
  asSecretVolume(to);
}

/** Names of pods and claims are the manifests': what a test that was cut off left is in the way. */
async function removePods(): Promise<void> {
  for (const { name } of pods) await podman("pod", "rm", "--force", "--time", "0", name);
  for (const name of volumes) await podman("volume", "rm", "--force", name);
}

before(async () => {
  await removePods();
  chmodSync(folder, 0o755);
  await initFolder(join(folder, "certs"), [], 30);
  writeFileSync(join(folder, "certs", "token"), `${"0123456789abcdef".repeat(4)}\n`);
  for (const role of ["coordinator", "server", "worker"]) await layDown(role);
  await podmanOk("network", "create", "--subnet", `${subnet}.0/24`, network);
  for (const name of volumes) await podmanOk("volume", "create", name);
  const data = await podmanOk("volume", "inspect", "--format", "{{.Mountpoint}}", volumes[1]!);
  await writeSampleMnist(data, { train: 4096, test: 256, seed: 5 });
});
after(async () => {
  await removePods();
  await podman("network", "rm", "--force", network);
  rmSync(folder, { recursive: true, force: true });
});

/** Which coordinators lead, as they say themselves. */
async function leadersAmong(names: readonly string[]): Promise<string[]> {
  const told = await Promise.all(names.map((name) => exec(name, "health")));
  return names.filter((_, index) => told[index]!.out.includes("listens on 10."));
}

const said = async () => {
  const logs = await Promise.all(
    pods.map(async ({ name, manifest }) => {
      const container = `${name}-${manifest.spec.containers[0].name}`;
      return `--- ${name}\n${await asked.logs(container)}`;
    }),
  );
  return logs.join("\n");
};

test("all pods are ready, none of them root's", async () => {
  for (const { name, address, alias, manifest } of pods) {
    const path = join(folder, `${name}.yaml`);
    writeFileSync(path, stringify(manifest));
    await podmanOk("kube", "play", "--network", `${network}:ip=${address},alias=${alias}`, path);
  }
  for (const { name } of pods.filter((pod) => !pod.name.includes("etcd"))) {
    const isReady = async () => (await exec(name, "health", "--ready")).exitCode === 0;
    await until(`${name} is ready`, isReady, 120_000, 500).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await said()}`);
    });
    const processes = await asked.processes(`${name}-paceline`);
    for (const { uid, capabilities, gainsPrivileges } of processes) {
      assert.deepEqual([uid, capabilities, gainsPrivileges], [user, 0n, false], name);
    }
  }
});

test("names are known in every coordinator's pod", async () => {
  for (const name of coordinators) {
    const answers = async () => (await exec(name, "status")).exitCode === 0;
    await until(`${name} finds who leads`, answers, 120_000, 500);
  }
});

test("a leading coordinator that is killed costs no bit: the other goes on", async () => {
  const words = "--model mlp --data mnist -w 2 -s 2 --replicas 2 --mode bsp -b 16 --feed static";
  const run = (name: string) => [...`--name ${name} --epochs 6 ${words}`.split(" "), "--seed", "5"];
  const leads = (await leadersAmong(coordinators))[0]!;
  const [asker] = coordinators.filter((name) => name !== leads);
  assert.match((await exec(asker!, "health")).out, /stands by: the coordinator at 10\./);
  const calm = await exec(asker!, "submit", ...run("calm"), "--wait");
  assert.equal(calm.exitCode, 0, `${calm.err}${await said()}`);
  const ended = exec(asker!, "submit", ...run("struck"), "--wait");
  await asked.step(`${asker}-paceline`, "struck", 60);
  await podmanOk("kill", `${leads}-paceline`);
  const { exitCode, out, err } = await ended;
  assert.equal(exitCode, 0, `${out}${err}${await said()}`);
  const others = coordinators.filter((name) => name !== leads);
  assert.equal((await leadersAmong(others)).length, 1, "another leads");
  const runs = await podmanOk("volume", "inspect", "--format", "{{.Mountpoint}}", volumes[0]!);
  assert.equal(asked.weightsIn(runs, "struck"), asked.weightsIn(runs, "calm"));
});

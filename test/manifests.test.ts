/**
 * compose.yaml, k8s/ and the images' own variables, held against what reads them: each command line
 * and variable against the program's option parser, each manifest against Kubernetes' schemas.
 * `make test-containers` runs them.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { readCommandLine } from "../dist/cli/program.js";
import { environmentName, optionKeys } from "../dist/options/options.js";
import { problemsOf } from "./containers/known-fields.js";
import {
  commandsOf,
  commandsOfCompose,
  commandsOfScript,
  type Manifest,
  manifestFolder,
  manifestsOf,
  podsOf,
  readManifests,
  variablesOf,
  type WrittenCommand,
} from "./containers/manifests.js";
import { build } from "./containers/overlays.js";

const variables = new Set(optionKeys.map(environmentName));
const read = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");

/** Reads each as the program would; the commands that were named. */
async function readAll(commands: readonly WrittenCommand[]): Promise<string[]> {
  const names: string[] = [];
  for (const { where, argv, environment } of commands) {
    for (const name of Object.keys(environment)) {
      const isOurs = name.startsWith("PACELINE_");
      assert.ok(!isOurs || variables.has(name), `${where}: ${name} is no option's`);
    }
    const { plan, resolution } = await readCommandLine(argv, environment).catch((thrown) => {
      throw new Error(`${where}: paceline ${argv.join(" ")}: ${thrown.message}`);
    });
    // What is said must mean something there, and certificates are never left out.
    const { tls, tokenFile, host, healthSocket } = resolution.options;
    if (plan.name === "health") assert.notEqual(healthSocket, null, where);
    if (["coordinator", "server", "worker"].includes(plan.name)) {
      assert.ok(tls !== null, `${where}: --tls`);
      assert.ok(tokenFile !== null || !argv.includes("--token-file"), `${where}: --token-file`);
      assert.ok(plan.name === "worker" || host !== "127.0.0.1", `${where}: --host`);
    }
    names.push(plan.name);
  }
  return names;
}

describe("what compose.yaml starts", () => {
  test("is read by the program", async () => {
    assert.deepEqual((await readAll(commandsOfCompose())).sort(), [
      ...["certs", "coordinator", "server", "server", "worker"],
    ]);
  });

  test("is the images that the Dockerfiles make, at the version of this package", () => {
    const { version } = JSON.parse(read("package.json")) as { version: string };
    const texts = [read("compose.yaml"), ...manifestsOf("base").map((one) => JSON.stringify(one))];
    const images = texts.flatMap((text) => text.match(/paceline-(server|worker):[\w.-]+/g) ?? []);
    assert.ok(images.length > 5);
    for (const image of images)
      assert.match(image, new RegExp(`:${version.replace(/\./g, "\\.")}$`));
  });
});

describe("the two Dockerfiles", () => {
  test("check the health of a process as the program lets them", async () => {
    for (const name of ["Dockerfile.server", "Dockerfile.worker"]) {
      const [, check] = /^HEALTHCHECK .*CMD (\[.*\])$/m.exec(read(name))!;
      const [program, ...argv] = JSON.parse(check!) as string[];
      assert.equal(program, "paceline");
      const commands = [{ where: name, argv, environment: variablesOf(name) }];
      assert.deepEqual(await readAll(commands), ["health"]);
    }
  });

  test("set variables that are options' and differ in what a worker needs alone", () => {
    const [server, worker] = ["Dockerfile.server", "Dockerfile.worker"].map(read);
    for (const name of Object.keys(variablesOf("Dockerfile.worker"))) {
      assert.ok(name === "HOME" || variables.has(name), name);
    }
    const lines = (text: string) => text.split("\n").filter((line) => !line.startsWith("#"));
    const only = lines(worker!).filter((line) => !lines(server!).includes(line));
    assert.equal(only.length, 3, only.join("\n"));
    assert.match(only.join(), /libdnnl2:.*=2\.6\.3-1.*libgomp1.*CMD \["worker"\]/);
    for (const text of [server!, worker!]) {
      for (const [, image] of text.matchAll(/^ARG \w+_IMAGE=(\S+)$/gm)) {
        assert.match(image!, /:\d+\.\d+(\.\d+)?-(bookworm-)?slim$/, "a version is named");
      }
      assert.match(text, /^USER 10001:10001$/m);
    }
  });
});

const overlays = ["base", "laptop", "cloud"];

describe("what k8s/ starts", () => {
  for (const folder of [...overlays, "jobset"]) {
    test(`in ${folder} is read by the program`, async () => {
      const manifests = folder === "jobset" ? manifestsOf(folder) : build(folder);
      const names = await readAll(manifests.flatMap(commandsOf));
      for (const role of ["coordinator", "server", "worker", "health"]) {
        assert.ok(names.includes(role), role);
      }
    });
  }

  test("on SkyPilot's machines is read by the program", async () => {
    const task = parse(read("k8s/skypilot/paceline.yaml")) as { run: string; envs: object };
    const fields = ["name", "workdir", "num_nodes", "resources", "envs", "setup", "run"];
    assert.deepEqual(Object.keys(task).sort(), fields.sort());
    const values = { head: "10.0.0.1", own: "10.0.0.2", SKYPILOT_NODE_RANK: "1" };
    const environment = task.envs as Record<string, string>;
    const commands = commandsOfScript("skypilot", task.run, environment, values);
    assert.deepEqual(await readAll(commands), ["coordinator", "server", "worker"]);
  });

  test("of a command that has gone stale the place and the mistake are told", async () => {
    const environment = { PACELINE_TLS: "/certs" };
    const stale = { where: "Deployment/x", argv: ["worker", "--drain-withn=3s"], environment };
    await assert.rejects(readAll([stale]), /Deployment\/x: paceline worker .*--drain-withn/);
    const odd = { where: "x", argv: ["worker"], environment: { PACELINE_TSL: "/certs" } };
    await assert.rejects(readAll([odd]), /PACELINE_TSL is no option's/);
  });
});

describe("the manifests", () => {
  for (const folder of overlays) {
    test(`of ${folder} are what Kubernetes' schemas say`, () => {
      assert.deepEqual(build(folder).flatMap(problemsOf), []);
    });
  }

  test("of the JobSet hold jobs as Kubernetes' schemas say", () => {
    const [jobSet] = manifestsOf("jobset");
    const fields = ["network", "successPolicy", "failurePolicy", "replicatedJobs"];
    assert.deepEqual(Object.keys(jobSet!.spec), fields);
    for (const { name, replicas, template, ...rest } of jobSet!.spec.replicatedJobs) {
      assert.deepEqual([replicas, rest], [1, {}]);
      const job = { apiVersion: "batch/v1", kind: "Job", metadata: { name }, ...template };
      assert.deepEqual(problemsOf(job), []);
    }
  });

  test("with an unknown field, or a value of another form, are told", () => {
    const text = `
      apiVersion: v1
      kind: Pod
      metadata: { name: planted }
      spec:
        containers:
          - { name: a, image: b, livenesProbe: { exec: { command: [x] } } }`;
    const [planted] = readManifests(text);
    const unknown = "Pod/planted: unknown field /spec/containers/0/livenesProbe";
    assert.deepEqual(problemsOf(planted!), [unknown]);
    planted!.spec.containers[0].ports = [{ containerPort: "http" }];
    assert.match(problemsOf(planted!)[0]!, /Pod\/planted: .*containerPort/);
    const other = { ...planted!, kind: "Pud" };
    assert.deepEqual(problemsOf(other), ["v1 Pud is not a kind that is known here"]);
  });

  test("run nothing as root, mount secrets as the program takes them, name what there is", () => {
    for (const folder of overlays) {
      const manifests = build(folder);
      for (const { where, pod } of manifests.flatMap(podsOf)) demandConfined(where, pod);
      demandNames(manifests);
    }
    for (const { where, pod } of manifestsOf("jobset").flatMap(podsOf)) demandConfined(where, pod);
  });

  test("give members longer to leave than --drain-within", async () => {
    for (const manifest of build("cloud")) {
      for (const { where, argv, environment } of commandsOf(manifest)) {
        const { plan, resolution } = await readCommandLine(argv, environment);
        if (plan.name !== "server" && plan.name !== "worker") continue;
        const { terminationGracePeriodSeconds: seconds } = manifest.spec.template.spec;
        assert.ok(seconds * 1000 > resolution.options.drainWithinMs, where);
      }
    }
  });

  test("ask for as much of a node as docs/operating/kubernetes.md says", () => {
    const page = read("docs/operating/kubernetes.md");
    for (const folder of overlays) {
      const asked = build(folder).flatMap((manifest) => {
        const { replicas: count, template } = manifest.spec ?? {};
        if (template === undefined) return [];
        const { cpu, memory } = template.spec.containers[0].resources.requests;
        const cores = cpu.endsWith("m") ? Number.parseInt(cpu, 10) / 1000 : Number(cpu);
        const mib = Number.parseInt(memory, 10) * (memory.endsWith("Gi") ? 1024 : 1);
        return [{ isWorker: manifest.metadata.name === "paceline-worker", count, cores, mib }];
      });
      const [workers] = asked.filter(({ isWorker }) => isWorker);
      const others = asked.filter(({ isWorker }) => !isWorker);
      const cores = others.reduce((sum, one) => sum + one.count * one.cores, 0);
      const mib = others.reduce((sum, one) => sum + one.count * one.mib, 0);
      const row = new RegExp(
        `\\| \`k8s/${folder}\` \\| ${workers?.count} x ${workers?.cores} cores, ` +
          `${workers?.mib} MiB.* \\| ${Number(cores.toFixed(3))} cores, ${mib} MiB \\|`,
      );
      assert.match(page, row);
    }
  });

  test("are built by kubectl as they are built here, where there is a kubectl", (context) => {
    if (spawnSync("kubectl", ["version", "--client"]).status !== 0) {
      context.diagnostic("there is no kubectl here: what it builds is not compared");
      return;
    }
    for (const folder of overlays) {
      const words = ["kustomize", `${manifestFolder}${folder}`];
      const theirs = readManifests(execFileSync("kubectl", words, { encoding: "utf8" }));
      const byName = (one: Manifest) => `${one.kind}/${one.metadata.name}`;
      const sorted = (all: Manifest[]) =>
        [...all].sort((left, right) => (byName(left) < byName(right) ? -1 : 1));
      assert.deepEqual(sorted(build(folder)), sorted(theirs), folder);
    }
  });
});

function demandConfined(where: string, pod: Manifest["spec"]): void {
  assert.equal(pod.securityContext.runAsNonRoot, true, where);
  assert.equal(pod.securityContext.seccompProfile.type, "RuntimeDefault", where);
  assert.equal(pod.automountServiceAccountToken, false, where);
  for (const { securityContext, volumeMounts } of pod.containers) {
    assert.equal(securityContext.allowPrivilegeEscalation, false, where);
    assert.equal(securityContext.readOnlyRootFilesystem, true, where);
    assert.deepEqual(securityContext.capabilities.drop, ["ALL"], where);
    const volumes = (pod.volumes ?? []).map(({ name }: { name: string }) => name);
    for (const { name } of volumeMounts) assert.ok([...volumes, "state"].includes(name), name);
  }
  for (const { projected } of pod.volumes ?? []) {
    if (projected !== undefined) assert.equal(projected.defaultMode, 0o440, where);
  }
}

/** Services, budgets and policies choose pods that there are, ports that these have. */
function demandNames(manifests: readonly Manifest[]): void {
  const templates = manifests.flatMap(({ spec }) => (spec?.template ? [spec.template] : []));
  const chosen = (labels: Record<string, string>) =>
    templates.filter(({ metadata }) =>
      Object.entries(labels).every(([name, value]) => metadata.labels[name] === value),
    );
  for (const { kind, metadata, spec } of manifests) {
    const labels =
      kind === "Service" ? spec.selector : (spec?.selector ?? spec?.podSelector)?.matchLabels;
    if (labels === undefined) continue;
    assert.ok(chosen(labels).length > 0, `${kind}/${metadata.name}`);
    for (const { ports = [] } of kind === "NetworkPolicy" ? (spec.ingress ?? []) : []) {
      const named = chosen(labels).flatMap(({ spec: pod }) => pod.containers[0].ports ?? []);
      for (const { port } of ports) {
        assert.ok(
          named.some(({ name }: { name: string }) => name === port),
          `${port}`,
        );
      }
    }
  }
}

/** What lies in deploy/ and terraform/gcp: scripts that a shell can read, options that exist. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { environmentName, keysOf } from "../dist/options/options.js";
import { resolve } from "../dist/options/resolve.js";

const root = new URL("..", import.meta.url).pathname;
const units = join(root, "deploy", "systemd");
const startup = join(root, "terraform", "gcp", "startup");
const build = join(root, "deploy", "image", "build-gcp.sh");
const values: Readonly<Record<string, string>> = {
  ...{ secret: "s", project: "p", coordinator: "c:8000", coordinator_port: "8000" },
  ...{ server_port: "8001", bucket: "b", rank: "3" },
};

/** A start-up script as terraform fills it in; a name that it does not give is a fault. */
function filled(name: string): string {
  const text = readFileSync(join(startup, name), "utf8");
  return text.replaceAll(/\$\{(\w+)\}/g, (_, key: string) => {
    assert.ok(key in values, `${name} names ${key}`);
    return values[key]!;
  });
}

function assertReadable(text: string): void {
  execFileSync("sh", ["-n"], { input: text, stdio: ["pipe", "pipe", "inherit"] });
}

test("every script is one that a shell can read", () => {
  const common = filled("common.sh");
  for (const name of ["coordinator.sh", "worker.sh", "evaluator.sh"]) {
    assertReadable(common + filled(name));
  }
  for (const name of ["install.sh", "build-gcp.sh"]) {
    assertReadable(readFileSync(join(root, "deploy", "image", name), "utf8"));
  }
});

test("the options of start-up scripts are those of their roles, and can be read", () => {
  const files = ["coordinator.sh", "worker.sh"].map(filled).join("");
  const blocks = [
    ...files.matchAll(/paceline\/(coordinator|server|worker)\.env <<'?END'?\n(.*?)END/gs),
  ];
  assert.deepEqual(blocks.map(([, role]) => role).sort(), ["coordinator", "server", "worker"]);
  for (const [, role, block] of blocks) {
    const lines = block!.replace("$(hostname)", "host-3").trim().split("\n");
    const environment = Object.fromEntries(
      lines.map((line) => line.split("=") as [string, string]),
    );
    const known = keysOf(role as "worker").map(environmentName);
    for (const name of Object.keys(environment)) assert.ok(known.includes(name), `${role} ${name}`);
    resolve(role as "worker", { environment });
  }
});

test("units start the roles that they are named after", () => {
  const names = readdirSync(units).sort();
  const roles = ["coordinator.service", "server@.service", "worker@.service"];
  assert.deepEqual(
    names,
    roles.map((role) => `paceline-${role}`),
  );
  for (const name of names) {
    const text = readFileSync(join(units, name), "utf8");
    const role = /paceline-([a-z]+)/.exec(name)![1]!;
    assert.match(
      text,
      new RegExp(`^ExecStart=/opt/paceline/bin/paceline ${role}( --serve)?$`, "m"),
    );
    assert.match(text, new RegExp(`^EnvironmentFile=-/etc/paceline/${role}.env$`, "m"));
    assert.match(text, /^User=paceline$/m);
  }
});

/** Runs build-gcp.sh with a gcloud that writes down what it is asked; one of its calls may fail. */
function buildImage(context: TestContext, failing: string) {
  const folder = mkdtempSync(join(tmpdir(), "paceline-image-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const said = join(folder, "said");
  const gcloud = `#!/bin/sh\necho "$*" >>${said}\ncase "$*" in *"${failing}"*) exit 1 ;; esac\n`;
  writeFileSync(join(folder, "gcloud"), gcloud);
  chmodSync(join(folder, "gcloud"), 0o755);
  const archive = join(folder, "paceline-1.2.3.tgz");
  writeFileSync(archive, "");
  const env = { PATH: `${folder}:${process.env.PATH}`, TRIES: "2", WAIT: "0" };
  const { status, stdout } = spawnSync("sh", [build, "proj", "us-west1-b", archive], { env });
  const calls = readFileSync(said, "utf8").trim().split("\n");
  return { status, out: stdout.toString().trim(), calls: calls.map((call) => call.slice(8)) };
}

test("an image is made of a machine that is removed in any case", (context) => {
  const verbs = (calls: string[]) => calls.map((call) => call.split(" ").slice(0, 2).join(" "));
  const made = buildImage(context, "no such call");
  assert.equal(made.status, 0);
  const [, machine] = /instances create (\S+)/.exec(made.calls[0]!)!;
  assert.deepEqual(verbs(made.calls), [
    ...["instances create", `ssh ${machine}`, verbs(made.calls)[2], `ssh ${machine}`],
    ...["instances stop", "images create", "instances delete"],
  ]);
  assert.match(made.calls[2]!, /^scp .*paceline-1\.2\.3\.tgz .*install\.sh .*-worker@\.service/);
  assert.match(
    made.calls[3]!,
    /--command sudo sh install\.sh paceline-1\.2\.3\.tgz \. --project proj/,
  );
  assert.match(made.out, /^paceline-1-2-3-\d+$/);
  for (const failing of ["--command true", "scp", "sudo sh", "images create"]) {
    const { status, calls } = buildImage(context, failing);
    assert.notEqual(status, 0, failing);
    assert.match(calls.at(-1)!, /^instances delete/, failing);
  }
});

test("scripts say what they lack", () => {
  const told = (words: string[]) => spawnSync("sh", words).stderr.toString();
  assert.match(told([build]), /write sh build-gcp\.sh PROJECT ZONE/);
  assert.match(told([build, "p", "z", "no.tgz"]), /there is no file no\.tgz; npm pack makes it/);
  const install = join(root, "deploy", "image", "install.sh");
  assert.match(told([install]), /no package; write sh install\.sh paceline-VERSION\.tgz/);
  assert.match(told([install, "no.tgz"]), /there is no file no\.tgz/);
  assert.match(told([install, build, "/"]), /no units in \/; name their folder/);
});

/**
 * terraform/gcp without Google Cloud: Terraform holds it against the schemas of its providers and
 * runs its tests with them mocked, and the script that copies runs to the bucket copies them here.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makePlace } from "./run-paceline.js";
import {
  lackOfTerraform,
  repository,
  stubProvider,
  terraform,
} from "./terraform/terraform-runs.js";

const folder = join(repository, "terraform", "gcp");
const providers = ["google", "random"];
const lack = lackOfTerraform();

test("a name that Google Cloud does not have is refused, the others are not", async (context) => {
  if (lack !== null) return context.skip(lack);
  const provider = await stubProvider(context, providers);
  const place = await makePlace(context);
  const copy = place.path("gcp");
  await cp(folder, copy, { recursive: true, filter: (path) => !path.includes(".terraform") });
  const validate = () => terraform(["validate", "-no-color"], copy, provider);
  const { exitCode, told } = await validate();
  assert.equal(exitCode, 0, told);
  const instances = await readFile(join(copy, "instances.tf"), "utf8");
  const plant = async (from: string, to: string, complaint: RegExp) => {
    assert.ok(instances.includes(from));
    await writeFile(join(copy, "instances.tf"), instances.replace(from, to));
    const refused = await validate();
    assert.equal(refused.exitCode, 1);
    assert.match(refused.told, complaint);
  };
  await plant(
    "      type  = local",
    "      kind  = local",
    /argument named "kind" is not expected/,
  );
  await plant("  boot_disk {", "  disk {", /Blocks of type "disk" are not expected here/);
  await plant("  name         = local.coordinator", "  # ", /The argument "name" is required/);
});

test("clusters of all kinds are made as their variables say", async (context) => {
  if (lack !== null) return context.skip(lack);
  const provider = await stubProvider(context, providers);
  const { exitCode, told } = await terraform(["test", "-no-color"], folder, provider);
  assert.equal(exitCode, 0, told);
  assert.match(told, /Success! 6 passed, 0 failed\./);
});

/**
 * Stands in for `gcloud storage rsync`. Beside it a run goes on: every ten files another
 * checkpoint is written and an old one removed. After each it is looked whether all files
 * are in the bucket that a manifest there names.
 */
const gcloud = `
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync,
  writeFileSync, appendFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
const { RUNS: runs, BUCKETS: buckets, SAID: said } = process.env;
const words = process.argv.slice(2);
const place = (word) => word.replace("gs://", buckets + "/");
const [from, to] = words.slice(-2).map(place);
const exclude = words.find((word) => word.startsWith("--exclude="))?.slice(10);
const isExcluded = (name) => exclude !== undefined && new RegExp("^(?:" + exclude + ")").test(name);
const filesBelow = (root) => existsSync(root)
  ? readdirSync(root, { recursive: true })
      .filter((name) => statSync(join(root, name)).isFile())
      .sort()
  : [];
function goOn() {
  const checkpoints = join(runs, "digits", "checkpoints");
  mkdirSync(checkpoints, { recursive: true });
  const numbers = readdirSync(checkpoints).map((name) => Number(name.slice(5)));
  numbers.sort((a, b) => a - b);
  const step = (numbers.at(-1) ?? 0) + 1;
  const aside = join(runs, "digits", ".new");
  mkdirSync(aside);
  const names = ["model.safetensors", "optimizer.safetensors"];
  for (const name of names) writeFileSync(join(aside, name), "of step " + step);
  writeFileSync(join(aside, "manifest.json"), JSON.stringify({ step, names }));
  renameSync(aside, join(checkpoints, "step-" + step));
  if (numbers.length >= 6) rmSync(join(checkpoints, "step-" + numbers[0]), { recursive: true });
}
for (const [index, name] of filesBelow(from).entries()) {
  if (index % 10 === 0) goOn();
  if (isExcluded(name) || !existsSync(join(from, name))) continue;
  mkdirSync(dirname(join(to, name)), { recursive: true });
  cpSync(join(from, name), join(to, name));
  appendFileSync(said, "copied " + name + "\\n");
  for (const path of filesBelow(buckets).filter((one) => one.endsWith("manifest.json"))) {
    const manifest = join(buckets, path);
    for (const file of JSON.parse(readFileSync(manifest, "utf8")).names) {
      const lacks = !existsSync(join(dirname(manifest), file));
      if (lacks) appendFileSync(said, "lacks " + join(dirname(path), file) + "\\n");
    }
  }
}
goOn();
`;

test("the bucket never has a manifest of files that it lacks", async (context) => {
  const place = await makePlace(context);
  const script = await readFile(join(folder, "startup", "coordinator.sh"), "utf8");
  const [, upload = ""] =
    /cat >\/usr\/local\/bin\/paceline-upload <<'END'\n(.*?)\nEND\n/s.exec(script) ?? [];
  await mkdir(place.path("bin"));
  await mkdir(place.path("var", "runs", "digits", "checkpoints"), { recursive: true });
  const here = upload.replaceAll("/var/lib/paceline", place.path("var"));
  await writeFile(place.path("upload.sh"), here.replaceAll(/\$\{bucket\}/g, "some-bucket"));
  await writeFile(place.path("gcloud.mjs"), gcloud);
  const program = `#!/bin/sh\nexec '${process.execPath}' '${place.path("gcloud.mjs")}' "$@"\n`;
  await writeFile(place.path("bin", "gcloud"), program, { mode: 0o755 });
  const env = {
    PATH: `${place.path("bin")}:${process.env.PATH}`,
    ...{ RUNS: place.path("var", "runs"), BUCKETS: place.path("buckets") },
    SAID: place.path("said"),
  };
  await writeFile(place.path("var", "runs", ".queue.json"), "{}");
  for (let times = 0; times < 5; times++) {
    const { status, stderr } = spawnSync("sh", [place.path("upload.sh")], { env });
    assert.equal(status, 0, String(stderr));
  }
  const lines = (await readFile(place.path("said"), "utf8")).split("\n");
  assert.deepEqual(
    lines.filter((line) => line.startsWith("lacks")),
    [],
  );
  const bucket = place.path("buckets", "some-bucket", "runs", "digits", "checkpoints");
  const uploaded: string[] = [];
  for (const name of await readdir(bucket)) {
    const names = await readdir(join(bucket, name));
    if (names.includes("manifest.json")) uploaded.push(name);
  }
  assert.ok(uploaded.length > 0, "no checkpoint has come whole");
  // With nothing that goes on meanwhile all that is there comes.
  await writeFile(place.path("gcloud.mjs"), gcloud.replaceAll(/^.*\bgoOn\(\);$/gm, ""));
  await rm(place.path("buckets"), { recursive: true });
  assert.equal(spawnSync("sh", [place.path("upload.sh")], { env }).status, 0);
  const kept = await readdir(place.path("var", "runs", "digits", "checkpoints"));
  assert.deepEqual((await readdir(bucket)).sort(), kept.sort());
});

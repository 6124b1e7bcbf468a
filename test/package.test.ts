import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { writeSampleMnist } from "../dist/data/testing/sample-files.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), "utf8"));
const { packages } = read("package-lock.json") as { packages: Record<string, LockedPackage> };

// npm leaves out what a registry doesn't offer, and `npm ci` then refuses the file on every
// machine.
test("package-lock.json has the packages of every platform, so that npm ci accepts it", () => {
  const missing = Object.values(packages)
    .flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies))
    .filter((name) => packages[`node_modules/${name}`]?.version === undefined);
  assert.deepEqual(missing, []);
});

test("package-lock.json names no registry's host", () => {
  const resolved = Object.entries(packages).filter(([, locked]) => locked.resolved !== undefined);
  assert.deepEqual(
    resolved.map(([name]) => name),
    [],
  );
});

test("every version in package.json is exact", () => {
  const manifest = read("package.json") as Record<string, Record<string, string>>;
  for (const kind of ["dependencies", "optionalDependencies", "devDependencies"]) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {}))
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
  }
});

/** The README's program: its only block in JavaScript. */
function programShown(): string {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)];
  assert.equal(blocks.length, 1);
  return blocks[0]![1]!;
}

test("the packed tarball, beside the program of README.md, trains MNIST", async (context) => {
  const program = programShown();
  assert.ok(program.trimEnd().split("\n").length <= 15, "it is short");
  const folder = await mkdtemp(join(tmpdir(), "paceline-package-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  const [tarball] = await readdir(folder);
  const home = join(folder, "node_modules", "paceline");
  await mkdir(home, { recursive: true });
  await run("tar", ["-xzf", join(folder, tarball!), "-C", home, "--strip-components=1"]);
  // What it depends on, as an installation would have it.
  await symlink(join(root, "node_modules"), join(home, "node_modules"));
  await writeSampleMnist(join(folder, "data"), { train: 256, test: 64, seed: 1 });
  await writeFile(join(folder, "program.mjs"), program);
  const { PATH, HOME } = process.env;
  const { stdout } = await run(process.execPath, ["program.mjs"], {
    cwd: folder,
    env: { PATH, HOME, PACELINE_DATA_DIR: join(folder, "data") },
    timeout: 60_000,
  });
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0]!, /^test accuracy [\d.]+% /);
  assert.match(lines.at(-1)!, /^[\d.]+% of the test set; checkpoints in runs\/mlp-bsp-2w-001$/);
  const kept = await readdir(join(folder, "runs", "mlp-bsp-2w-001"));
  for (const name of ["checkpoints", "events.jsonl", "result.json"]) assert.ok(kept.includes(name));
});

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

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

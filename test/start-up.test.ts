/**
 * What a process of a run loads before it does anything. A run starts many of them, and a library
 * such as zod takes each longer to load than all of a room: what only some runs need is imported
 * when it is needed.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import ts from "typescript";
import { bundlePath, bundleScript } from "../dist/runtime/process/bundle.js";
import { parse, references, repositoryRoot } from "./tidy/sources.js";

const root = repositoryRoot();

/** The packages that a compiled file imports at once, itself or through others. */
function packagesOf(entry: string): Map<string, string> {
  const packages = new Map<string, string>();
  const files = [entry];
  for (const file of files) {
    const source = parse(file, readFileSync(join(root, file), "utf8"));
    for (const { node, specifier } of references(source)) {
      // A call is made later, if at all, and what a URL names is another thread's or process's.
      if (ts.isCallExpression(node) || ts.isNewExpression(node)) continue;
      if (!specifier.startsWith(".")) packages.set(specifier, file);
      else {
        const path = join(dirname(file), specifier);
        if (!files.includes(path)) files.push(path);
      }
    }
  }
  return packages;
}

const entries = ["cli/program", "cli/commands/train", "cli/commands/coordinator"].concat(
  ["cli/commands/server", "cli/commands/worker", "cli/coordinator-process"],
  ["runtime/compute/compute-service"],
);

describe("no process of a run loads at its start what only some runs need", () => {
  for (const entry of entries) {
    test(entry, () => {
      const packages = packagesOf(`dist/${entry}.js`);
      assert.ok(packages.has("node:path"), "imports are found");
      for (const name of [
        "zod",
        "yaml",
        "tar-stream",
        "vega",
        "vega-lite",
        "pngjs",
        "jpeg-js",
        "selfsigned",
      ]) {
        assert.equal(packages.get(name), undefined, `${name} is imported at the start`);
      }
    });
  }
});

describe("what processes begin with is packed", () => {
  test("of this build, with code that this Node.js takes", () => {
    const packedMs = statSync(bundlePath).mtimeMs;
    const later = readdirSync(join(root, "dist"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".js") && !name.endsWith(".test.js"))
      .filter((name) => statSync(join(root, "dist", name)).mtimeMs > packedMs);
    assert.deepEqual(later, [], "compiled after the bundle was made: make build");
    assert.equal(bundleScript().cachedDataRejected, false);
    // A script of which the code is kept can't import.
    assert.doesNotMatch(readFileSync(bundlePath, "utf8"), /[^.\w$]import\(/);
  });

  test("and can be loaded as it was compiled", () => {
    const command = join(root, "dist", "cli", "command.js");
    const version = execFileSync(process.execPath, [command, "--version"], { encoding: "utf8" });
    assert.match(version, /^\d+\.\d+\.\d+\n$/);
  });
});

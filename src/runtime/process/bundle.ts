/**
 * The one file into which scripts/bundle.mjs packs what the processes and threads of a run load. A
 * run starts many of them, and each would find, read and compile some two hundred modules. Beside
 * it is the code that V8 has made of it, for one version of Node.js and one architecture. Where
 * the file is missing, as after a build by tsc alone, the modules themselves are loaded.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";

/** What can be begun: the command, the coordinator's process of `train`, a compute thread. */
export type Part = "command" | "coordinator" | "compute";

type Parts = Readonly<Record<Part, () => Promise<unknown>>>;
type Wrapper = (
  exports: Partial<Parts>,
  importPackage: (name: string) => Promise<unknown>,
  require: NodeJS.Require,
  module: { readonly exports: object },
  filename: string,
  folder: string,
) => void;

/** Where the bundle is, if there is one. */
export const bundlePath = fileURLToPath(new URL("../../bundle/paceline.cjs", import.meta.url));

/** Begins a part of the program from the bundle, or by `load` where there is none. */
export async function runPart(part: Part, load: () => Promise<unknown>): Promise<void> {
  const begin = existsSync(bundlePath) ? partsOf(bundleScript())[part] : load;
  await begin();
}

/** Where the code of a bundle is that this Node.js can use. */
export function codePathOf(path: string): string {
  return `${path}.${process.version}-${process.arch}.code`;
}

/** The bundle, not run yet; V8 compiles it where it can't use the code that is kept. */
export function bundleScript(): Script {
  const codePath = codePathOf(bundlePath);
  return new Script(readFileSync(bundlePath, "utf8"), {
    filename: bundlePath,
    ...(existsSync(codePath) ? { cachedData: readFileSync(codePath) } : {}),
  });
}

function partsOf(script: Script): Parts {
  const exports: Partial<Parts> = {};
  const wrapper = script.runInThisContext() as Wrapper;
  // A script that is not compiled anew can't import by itself what is not packed.
  const importPackage = (name: string) => import(name);
  const require = createRequire(import.meta.url);
  wrapper(exports, importPackage, require, { exports }, bundlePath, dirname(bundlePath));
  return exports as Parts;
}

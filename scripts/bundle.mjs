// Packs what the processes and threads of a run load into dist/bundle/paceline.cjs, and keeps beside
// it the code that V8 makes of it: see runtime/process/bundle.ts.
// Usage: node scripts/bundle.mjs
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";
import { build } from "esbuild";

const repository = resolve(fileURLToPath(import.meta.url), "..", "..");
const dist = join(repository, "dist");
const folder = join(dist, "bundle");

/** What each part of the program begins with. */
const parts = {
  command: "cli/command.js",
  coordinator: "cli/coordinator-process.js",
  compute: "runtime/compute/compute-service.js",
};

/** Packages that only some runs need, that are native, or that look for their own files. */
const left = [
  ...["@aws-sdk/*", "@grpc/reflection", "@resvg/resvg-js", "dejavu-fonts-ttf", "grpc-health-check"],
  ...["jpeg-js", "koffi", "pino", "pngjs", "selfsigned", "tar-stream", "vega", "vega-lite", "yaml", "zod"],
];

/**
 * A module finds files from where it was compiled to, and not from where it is packed; packages that
 * it imports when it needs them are imported by who loads the bundle.
 */
const asInBundle = {
  name: "as-in-bundle",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const place = relative(dist, path);
      if (place.startsWith("..")) return undefined;
      const url = `urlOf(${JSON.stringify(place)})`;
      const text = readFileSync(path, "utf8").replaceAll("import.meta.url", url);
      return { contents: text.replaceAll(/\bimport\((?!"\.)/g, "importPackage(") };
    });
  },
};

const begins = Object.entries(parts).map(([part, file]) => `exports.${part} = () => import("./${file}");`);
const { outputFiles } = await build({
  stdin: { contents: begins.join("\n"), resolveDir: dist },
  ...{ bundle: true, platform: "node", format: "cjs", target: "node20", external: left },
  ...{ plugins: [asInBundle], write: false, logLevel: "warning", legalComments: "none" },
});

const urlOf = 'const urlOf = (place) => require("node:url").pathToFileURL(`${__dirname}/../${place}`).href;';
const names = "exports, importPackage, require, module, __filename, __dirname";
const source = `(function (${names}) {${urlOf}\n${outputFiles[0].text}\n})`;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const path = join(folder, "paceline.cjs");
writeFileSync(path, source);
const { codePathOf } = await import("../dist/runtime/process/bundle.js");
const script = new Script(source, { filename: path });
script.runInThisContext();
writeFileSync(codePathOf(path), script.createCachedData());

/**
 * Generates src/transport/wire/generated-*.ts from proto/, offline, with buf and protoc-gen-es from
 * node_modules. `--check` writes nothing and exits 1 when the committed files differ from what would
 * be generated.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const wire = join(root, "src", "transport", "wire");
const binaries = join(root, "node_modules", ".bin");

/** Runs buf and returns the generated files by the names they are to have. */
function generate() {
  const out = mkdtempSync(join(tmpdir(), "paceline-proto-"));
  try {
    const template = JSON.stringify({
      version: "v2",
      plugins: [
        { local: "protoc-gen-es", out, opt: ["target=ts", "import_extension=js"] },
      ],
    });
    const ran = spawnSync("buf", ["generate", "proto", "--template", template], {
      cwd: root,
      encoding: "utf8",
      shell: process.platform === "win32",
      env: { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH}` },
    });
    if (ran.error !== undefined || ran.status !== 0) {
      const reason = ran.error ?? ran.stderr;
      throw new Error(`buf generate failed; run npm ci and mend proto/: ${reason}`);
    }
    const folder = join(out, "paceline", "v1");
    return new Map(
      readdirSync(folder)
        .sort()
        .map((name) => [flatName(name), flatImports(readFileSync(join(folder, name), "utf8"))]),
    );
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** parameter_server_pb.ts -> generated-parameter-server.ts */
function flatName(name) {
  return `generated-${name.replace(/_pb\.ts$/, "").replaceAll("_", "-")}.ts`;
}

function flatImports(text) {
  return text.replaceAll(
    /"\.\/(\w+)_pb\.js"/g,
    (_, name) => `"./generated-${name.replaceAll("_", "-")}.js"`,
  );
}

function committed() {
  return readdirSync(wire).filter((name) => /^generated-.*\.ts$/.test(name));
}

const generated = generate();
const stale = committed().filter((name) => !generated.has(name));
if (process.argv.includes("--check")) {
  const present = new Set(committed());
  const different = [...generated].filter(
    ([name, text]) => !present.has(name) || readFileSync(join(wire, name), "utf8") !== text,
  );
  const names = [...different.map(([name]) => name), ...stale];
  if (names.length > 0) {
    const files = names.map((name) => `src/transport/wire/${name}`).join(", ");
    console.error(`${files} differ from proto/; run node scripts/generate-proto.mjs`);
    process.exit(1);
  }
} else {
  for (const name of stale) rmSync(join(wire, name));
  for (const [name, text] of generated) writeFileSync(join(wire, name), text);
}

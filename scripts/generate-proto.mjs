/**
 * Generates src/transport/wire/generated-*.ts and src/store/etcd/generated-*.ts from proto/, offline,
 * with buf and protoc-gen-es from node_modules. `--check` writes nothing and exits 1 when the committed
 * files differ from what would be generated.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Packages of proto/, and where what is made of them lies. */
const targets = new Map([
  [join("paceline", "v1"), join("src", "transport", "wire")],
  [join("etcd", "v3"), join("src", "store", "etcd")],
]);
const binaries = join(root, "node_modules", ".bin");

/** Runs buf and returns the generated files by the paths they are to have. */
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
    return new Map(
      [...targets].flatMap(([packaged, target]) =>
        readdirSync(join(out, packaged))
          .sort()
          .map((name) => {
            const text = readFileSync(join(out, packaged, name), "utf8");
            return [join(target, flatName(name)), flatImports(text)];
          }),
      ),
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
  return [...targets.values()].flatMap((target) =>
    readdirSync(join(root, target))
      .filter((name) => /^generated-.*\.ts$/.test(name))
      .map((name) => join(target, name)),
  );
}

const generated = generate();
const present = committed();
const stale = present.filter((path) => !generated.has(path));
if (process.argv.includes("--check")) {
  const different = [...generated].filter(
    ([path, text]) => !present.includes(path) || readFileSync(join(root, path), "utf8") !== text,
  );
  const paths = [...different.map(([path]) => path), ...stale];
  if (paths.length > 0) {
    console.error(`${paths.join(", ")} differ from proto/; run node scripts/generate-proto.mjs`);
    process.exit(1);
  }
} else {
  for (const path of stale) rmSync(join(root, path));
  for (const [path, text] of generated) writeFileSync(join(root, path), text);
}

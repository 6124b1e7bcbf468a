// Writes test/terraform/PROVIDER-schemas.json: the schemas of the resources that terraform/ and
// terraform/gcp use of a provider, taken from its published bindings.
//
//   npm pack @cdktf/provider-aws@21.22.1 && tar xzf cdktf-provider-aws-21.22.1.tgz
//   node scripts/extract-provider-schemas.mjs package
//
// The same with @cdktf/provider-google@14.36.0 and @cdktf/provider-random@11.1.1.
//
// The bindings say of each argument its type, whether it is a block, and in a comment whether it is
// required, optional or computed: the sources, in their source maps, have it all. Computed lists of
// objects are left out, and so are arguments that may be written as blocks though they are none:
// nothing in terraform/ uses either.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folders = ["terraform", "terraform/gcp"];
const scalars = { string: "string", number: "number", boolean: "bool" };
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node scripts/extract-provider-schemas.mjs FOLDER-OF-THE-PACKAGE");
  process.exit(2);
}

const sources = folders.flatMap((one) =>
  readdirSync(one)
    .filter((name) => name.endsWith(".tf"))
    .map((name) => join(one, name)),
);
const written = sources.map((path) => readFileSync(path, "utf8")).join("\n");
const { name: packed, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const providerName = packed.split("-").at(-1);
const target = `test/terraform/${providerName}-schemas.json`;
const resources = schemasOf("resource", "");
const data = schemasOf("data", "data-");
const { schema: provider, provider: providerVersion } = bindingsOf("provider");
// The language's own, in every provider.
delete provider.a.alias;
const lines = (schemas) =>
  Object.entries(schemas).map(([name, schema]) => `    "${name}": ${JSON.stringify(schema)}`);
const text = `{
  "from": "${packed} ${version}, hashicorp/${providerName} ${providerVersion}",
  "provider": ${JSON.stringify(provider)},
  "resources": {
${lines(resources).join(",\n")}
  },
  "data": {
${lines(data).join(",\n")}
  }
}
`;
writeFileSync(target, text);
console.log(`${target}: ${Object.keys(resources).length} resources, ${text.length} bytes`);

function schemasOf(kind, prefix) {
  const used = [...written.matchAll(new RegExp(`^${kind} "${providerName}_([a-z0-9_]+)"`, "gm"))];
  const names = [...new Set(used.map(([, name]) => name))].sort();
  const folderOf = (name) =>
    `${prefix === "" ? "" : `${prefix}${providerName}-`}${name.replaceAll("_", "-")}`;
  return Object.fromEntries(
    names.map((name) => [`${providerName}_${name}`, bindingsOf(folderOf(name)).schema]),
  );
}

function bindingsOf(name) {
  const built = readFileSync(join(folder, "lib", name, "index.js"), "utf8");
  const map = built.slice(built.indexOf("base64,", built.lastIndexOf("//# sourceMappingURL")) + 7);
  const code = JSON.parse(Buffer.from(map, "base64").toString("utf8")).sourcesContent[0];
  const main = code.match(/class (\w+) extends cdktf\.Terraform(?:Resource|DataSource|Provider)/);
  return {
    schema: blockOf(code, main[1], bodyAfter(code, "synthesizeHclAttributes()")),
    provider: code.match(/providerVersion: '([^']+)'/)[1],
  };
}

/** @param attributes the literal that lists what may be written. */
function blockOf(code, className, attributes) {
  const own = classText(code, className);
  const flags = new Map(
    [...own.matchAll(/\/\/ (\w+) - computed: (\w+), optional: (\w+), required: (\w+)/g)].map(
      ([, name, computed, optional, required]) => [
        name,
        `${required === "true" ? "r" : ""}${optional === "true" ? "o" : ""}${computed === "true" ? "c" : ""}`,
      ],
    ),
  );
  const a = {};
  const b = {};
  const entry =
    /^\s*(\w+): \{\s*value: (.*),\s*isBlock: (true|false),\s*type: "(\w+)",\s*storageClassType: "(\w+)",\s*\}/gm;
  for (const [, name, value, isBlock, type, storage] of attributes.matchAll(entry)) {
    const flag = flags.get(name) ?? "o";
    if (isBlock === "false") {
      const cty = typeOf(type, storage);
      if (cty !== null) a[name] = [cty, flag];
      continue;
    }
    if (flag.includes("c")) continue;
    const [, struct] = value.match(/(\w+)ToHclTerraform/);
    const reference = `${struct[0].toUpperCase()}${struct.slice(1)}OutputReference`;
    const isOne = own.includes(`new ${reference}(this, "${name}")`);
    b[name] = {
      n: type === "struct" ? "single" : type,
      ...(flag === "r" && type !== "struct" ? { min: 1 } : {}),
      ...(isOne && type !== "struct" ? { max: 1 } : {}),
      ...blockOf(code, reference, bodyAfter(code, `function ${struct}ToHclTerraform(`)),
    };
  }
  for (const [name, flag] of flags) {
    if (name in a || name in b || flag !== "c") continue;
    const cty = readType(own, name);
    if (cty !== null) a[name] = [cty, "c"];
  }
  return { a, b };
}

function typeOf(type, storage) {
  if (type === "simple") return scalars[storage] ?? null;
  const element = scalars[storage.replace(/(List|Map)$/, "")];
  return element === undefined ? null : [type, element];
}

/** Of what is only computed, by the way in which it is read. */
function readType(own, name) {
  const [, isSet, kind] =
    own.match(new RegExp(`return (cdktf\\.Fn\\.tolist\\()?this\\.get(\\w+)Attribute\\('${name}'`)) ??
    [];
  if (kind === "List") return [isSet === undefined ? "list" : "set", "string"];
  if (kind === "StringMap") return ["map", "string"];
  return scalars[kind?.toLowerCase()] ?? null;
}

function classText(code, name) {
  const from = code.indexOf(`class ${name} extends`);
  const to = code.indexOf("\n}\n", from);
  return code.slice(from, to);
}

function bodyAfter(code, start) {
  const from = code.indexOf(start);
  return code.slice(from, code.indexOf("// remove undefined attributes", from));
}

/**
 * Writes what the program is made of, as it is installed for production, to a CycloneDX JSON file:
 * node scripts/write-sbom.mjs FILE. npm makes it; it calls the whole by the name of its folder, so
 * the package's own name is put in.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error("write-sbom: name the file to write");
  process.exit(2);
}
const words = ["sbom", "--sbom-format", "cyclonedx", "--omit", "dev"];
const text = execFileSync("npm", words, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
const bill = JSON.parse(text);
bill.metadata.component.name = JSON.parse(readFileSync("package.json", "utf8")).name;
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(bill, null, 2)}\n`);
console.log(`${file}: ${bill.components.length} components, CycloneDX ${bill.specVersion}`);

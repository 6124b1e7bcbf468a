// Removes compiled files whose source is gone, so that a deleted test does not go on running, and the
// bundle, so that none is left of another build where this one fails.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";

const pairs = [
  ["dist", "src"],
  ["dist-test", "test"],
];
for (const [built, source] of pairs) {
  if (!existsSync(built)) continue;
  for (const entry of readdirSync(built, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const stem = relative(built, path).replace(/\.(d\.ts|js|js\.map)$/, "");
    if (stem === relative(built, path)) continue;
    if (!existsSync(join(source, `${stem}.ts`))) rmSync(path);
  }
}
rmSync(join("dist", "bundle"), { recursive: true, force: true });

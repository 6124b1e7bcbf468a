// Runs every compiled test with node's own runner, naming the files one by one: what `node --test`
// makes of a folder's name differs between Node.js versions.
// Usage: node scripts/run-tests.mjs [part of a path...]
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const wanted = process.argv.slice(2);
const files = ["dist", "dist-test"]
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)))
  .filter((path) => path.endsWith(".test.js"))
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`paceline: no test matches ${wanted.join(" ")}; run make build first.`);
  process.exit(1);
}
// Many tests wait for processes: a file a core, where node's own default leaves one core idle.
const lanes = `--test-concurrency=${availableParallelism()}`;
const child = spawnSync(process.execPath, ["--test", lanes, "--test-reporter=spec", ...files], {
  stdio: "inherit",
});
process.exit(child.status ?? 1);

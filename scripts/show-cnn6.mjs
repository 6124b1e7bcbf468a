// `make show-cnn6`: trains cnn6 on CIFAR-10 with batches dealt to two workers that have no data, one of
// which is killed on the way; then says how the loss went and what was dealt again. CIFAR-10 is taken
// from PACELINE_DATA_DIR or fetched.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const name = `show-cnn6-${new Date().toISOString().replace(/[-:]|\..*/g, "")}`;
const words = ["dist/cli/main.js", "train", "configs/show-cnn6.yaml", "--name", name];
const { status } = spawnSync(process.execPath, words, { stdio: ["inherit", "ignore", "inherit"] });
if (status !== 0) process.exit(status ?? 1);

const rows = (file) =>
  readFileSync(`runs/${name}/${file}`, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

const steps = rows("metrics.jsonl").filter(({ kind, loss }) => kind === "step" && loss !== null);
console.log("\n step   loss");
let told = -10;
for (const { step, loss } of steps) {
  if (step < told + 10) continue;
  told = step;
  console.log(`${String(step).padStart(5)}   ${loss.toFixed(3)}  ${"#".repeat(Math.round(loss * 20))}`);
}

const events = rows("events.jsonl").map(({ text }) => text);
const again = events.filter((text) => / are dealt again to /.test(text));
console.log(`\nlost:        ${events.filter((text) => /: lost at step /.test(text)).join("\n             ")}`);
console.log(`dealt again: ${again.join("\n             ")}`);

const { paceline } = JSON.parse(readFileSync(`runs/${name}/result.json`, "utf8"));
const { accuracy } = paceline.evaluations.at(-1);
console.log(`skipped:     ${paceline.skippedExamples} examples`);
console.log(`accuracy:    ${accuracy.toFixed(1)}% of the first 1000 test pictures`);

const [first, last] = [steps[0], steps.at(-1)];
if (last.loss < first.loss && again.length > 0 && paceline.skippedExamples === 0) process.exit(0);
console.error("the loss did not fall, or no batch was dealt again, or examples were skipped");
process.exit(1);

// `make demo`: trains MNIST in step and then freely, and prints both results in one table.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { summaryTable } from "../dist/store/runs/console-tables.js";

const stamp = new Date().toISOString().replace(/[-:]|\..*/g, "");
const rows = [];
for (const mode of ["bsp", "asp"]) {
  const name = `demo-${mode}-${stamp}`;
  const config = `configs/demo-${mode}.yaml`;
  const words = ["dist/cli/main.js", "train", config, "--name", name];
  const { status } = spawnSync(process.execPath, words, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
  const result = JSON.parse(readFileSync(`runs/${name}/result.json`, "utf8"));
  const workers = result.worker_metrics_aggregated;
  rows.push({
    experiment: name,
    mode: result.server_metrics.mode,
    workers: workers.num_workers,
    seconds: workers.total_training_time_seconds,
    epochSeconds: workers.average_epoch_time_seconds,
    accuracyPercent: workers.final_test_accuracy_percent,
  });
}
console.log(`\n${summaryTable(rows).join("\n")}\n`);
for (const { experiment } of rows) console.log(`runs/${experiment}/result.json`);

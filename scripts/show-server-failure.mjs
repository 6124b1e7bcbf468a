// `make show-server-failure`: the ring system's failure test. Logistic regression on MNIST (odd or
// even) over 5 servers, a checkpoint every 5 steps, an evaluation after each; in step 60 a server is
// killed. With one replica the run goes back to its checkpoint, with two it goes on. Prints what
// that cost and draws the accuracy against iterations carried out, which a run that goes back
// repeats some of. MNIST is taken from PACELINE_DATA_DIR or downloaded.
// Usage: node scripts/show-server-failure.mjs [folder for the pictures]
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linearAxis } from "../dist/study/chart/axes.js";
import { composeSpec } from "../dist/study/chart/compose.js";
import { renderPng, renderSvg } from "../dist/study/chart/render.js";
import { lineOfRank, themes } from "../dist/study/chart/theme.js";

const [out = "pictures"] = process.argv.slice(2);
const seeds = [1, 2, 3];
const failure = 60;
const cadence = 5;
const last = 90;
const runDir = mkdtempSync(join(tmpdir(), "paceline-failure-"));

function rowsOf(name, seed, words) {
  const run = `${name}-${seed}`;
  const { status } = spawnSync(
    process.execPath,
    [
      ...["dist/cli/main.js", "train", "--model", "logistic", "--data", "mnist-parity", "--seed", `${seed}`],
      ...["-s", "5", "-w", "1", "-b", "128", "--lr", "0.1", "--chunk-values", "100", "--max-steps", `${last}`],
      ...["--eval-every", "1it", "--checkpoint-every", `${cadence}it`, "--test-limit", "1152"],
      ...["--run-dir", runDir, "--name", run, "--quiet", "--no-progress", ...words],
      ...(process.env.PACELINE_DATA_DIR === undefined ? [] : ["--data-dir", process.env.PACELINE_DATA_DIR]),
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  if (status !== 0) process.exit(status ?? 1);
  return readFileSync(join(runDir, run, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ kind }) => kind === "evaluation");
}

/** What the failure cost: `rows` in the order in which they were made. */
function costOf(rows) {
  const at = rows.findIndex(({ step }) => step === failure - 1);
  const [before, after] = [rows[at], rows[at + 1]];
  const regained = rows.slice(at + 1).findIndex(({ step }) => step >= before.step);
  return {
    before: before.accuracyPercent,
    at: after.accuracyPercent,
    step: after.step,
    iterations: regained + 1,
    seconds: (Date.parse(after.time) - Date.parse(before.time)) / 1000,
    usual: (Date.parse(before.time) - Date.parse(rows[at - 20].time)) / 20_000,
  };
}

const percent = (value) => `${value.toFixed(2)} %`;

const ways = [
  { name: "2 replicas", words: ["--replicas", "2", "--inject", `kill:server=2,at=${failure}`] },
  { name: "1 replica", words: ["--inject", `kill:server=2,at=${failure}`] },
  { name: "no failure", words: [] },
];
try {
  const measured = ways.map(({ name, words }) => ({
    name,
    runs: seeds.map((seed) => rowsOf(name.replace(" ", "-"), seed, words)),
  }));
  const undisturbed = measured.at(-1).runs;
  for (const { name, runs } of measured.slice(0, 2)) {
    for (const [index, rows] of runs.entries()) {
      const { before, at, step, iterations, seconds, usual } = costOf(rows);
      const checkpoint = undisturbed[index].find((row) => row.step === step - 1);
      const asThen = undisturbed[index].every(
        (row) => rows.findLast((one) => one.step === row.step)?.accuracyPercent === row.accuracyPercent,
      );
      console.log(
        `${name}, seed ${seeds[index]}: ${percent(before)} before, then ${percent(at)} at step ${step} ` +
          `(step ${step - 1}: ${percent(checkpoint.accuracyPercent)}); regained after ${iterations} iterations; ` +
          `${seconds.toFixed(2)} s instead of ${usual.toFixed(2)} s; ` +
          `${asThen ? "in the end" : "NOT"} as without a failure`,
      );
      if (!asThen) process.exitCode = 1;
    }
  }
  const first = 40;
  const lines = measured.map(({ name, runs }, index) => ({
    label: name,
    mode: lineOfRank(index),
    dash: [[], [10, 3], [3, 3]][index],
    pointless: name === "no failure",
    points: Array.from({ length: last - first + 1 }, (_, turn) => turn + first).map((x) => {
      const values = runs.map((rows) => rows[x - rows[0].step]?.accuracyPercent ?? Number.NaN);
      return { x, y: values.reduce((sum, value) => sum + value) / values.length, std: null, simulated: false };
    }),
  }));
  const values = lines.flatMap(({ points }) => points.map(({ y }) => y));
  const chart = {
    name: "server-failure",
    title: "A server is killed: with one replica the run goes back, with two it goes on",
    subtitle: `Logistic regression on MNIST (odd or even), 5 servers, 1 worker, checkpoint every ${cadence} steps, killed in step ${failure}`,
    columns: 1,
    panels: [
      {
        ...{ kind: "lines", title: "", heightPx: 320, lines },
        x: linearAxis("iterations carried out", first, last),
        y: linearAxis("test accuracy (%)", Math.floor(Math.min(...values)) - 1, Math.ceil(Math.max(...values)) + 1),
      },
    ],
    captions: [`Means over ${seeds.length} seeds; the first 1,152 test pictures, scored after each iteration.`],
  };
  mkdirSync(out, { recursive: true });
  for (const [theme, suffix] of [
    ["light", ""],
    ["dark", "-dark"],
  ]) {
    const svg = await renderSvg(composeSpec(chart, themes[theme]));
    writeFileSync(join(out, `${chart.name}${suffix}.png`), await renderPng(svg));
  }
} finally {
  rmSync(runDir, { recursive: true, force: true });
}

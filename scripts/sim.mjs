// Simulates whole clusters in virtual time, one for each seed, and says which seeds fail and why.
// Usage: node scripts/sim.mjs [--seeds COUNT] [--from SEED] [--mode MODE]   many seeds
//        node scripts/sim.mjs --seed SEED [--mode MODE] [--messages]        one, with its story
//
// Each seed draws its mode where none is given. A failing seed is made smaller, and what happened
// in it is written down. --processes says how many processes share the seeds (one a core if left
// out); with --first each ends with the first of its seeds that fails.
import { fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const self = fileURLToPath(import.meta.url);
const storyFolder = join(".build", "sim");
/** So many kinds of failure are looked into. */
const kindsMax = 4;

const { values: given } = parseArgs({
  options: {
    ...{ seed: { type: "string" }, seeds: { type: "string", default: "1000" } },
    ...{ from: { type: "string", default: "0" }, mode: { type: "string" } },
    ...{ first: { type: "boolean", default: false }, messages: { type: "boolean", default: false } },
    processes: { type: "string", default: String(availableParallelism()) },
    share: { type: "string" },
  },
});
const mode = given.mode === undefined || given.mode === "" ? null : given.mode;
if (given.share !== undefined) await simulateShare(Number(given.share));
else if (given.seed !== undefined) await replay(Number(given.seed));
else await simulateMany();

/** One of the processes that share the seeds: tells each verdict. */
async function simulateShare(share) {
  const { simulateSeeds } = await import("../dist/sim/simulate-seeds.js");
  const { seeds: count, from, processes } = given;
  const range = { from: Number(from) + share, count: Number(count) - share, stride: Number(processes) };
  await simulateSeeds({ mode, ...range }, ({ seed, outcomes, violations }) => {
    process.send({ seed, outcomes, violations });
    return given.first && violations.length > 0;
  });
  process.disconnect();
}

async function simulateMany() {
  const { seedsText, SeedsTally } = await import("../dist/sim/simulate-seeds.js");
  const startedMs = performance.now();
  const tally = new SeedsTally();
  const seconds = () => (performance.now() - startedMs) / 1000;
  const progress = setInterval(() => {
    const rate = (tally.count / seconds()).toFixed(1);
    console.error(`${tally.count} of ${given.seeds} seeds, ${rate} a second`);
  }, 10_000);
  const shares = Array.from({ length: Number(given.processes) }, (_, share) => {
    const options = { execArgv: process.execArgv, serialization: "advanced" };
    return fork(self, [...process.argv.slice(2), "--share", String(share)], options);
  });
  const ends = shares.map(
    (child) =>
      new Promise((resolve) => {
        child.on("message", (verdict) => tally.add(verdict));
        child.on("exit", (code, signal) => resolve(code ?? signal));
      }),
  );
  const codes = await Promise.all(ends);
  clearInterval(progress);
  const report = tally.report();
  console.log(seedsText(report));
  console.log(`${report.count} seeds in ${seconds().toFixed(0)} s`);
  const isWhole = codes.every((code) => code === 0);
  if (!isWhole) console.error(`a process of the simulation ended with ${codes.join(", ")}`);
  process.exitCode = report.kinds.length === 0 && isWhole ? 0 : 1;
  if (given.first) return;
  for (const { seeds, kind } of report.kinds.slice(0, kindsMax)) await lookInto(seeds[0], kind);
}

/** One seed, with its story; a failing one is made smaller besides. */
async function replay(seed) {
  const { drawSchedule } = await import("../dist/sim/schedule.js");
  const { simulateSchedule } = await import("../dist/sim/simulate-seed.js");
  const { storyOf } = await import("../dist/sim/story.js");
  const schedule = drawSchedule(mode, seed);
  const verdict = await simulateSchedule(schedule, { trace: given.messages ? "all" : "story" });
  console.log(storyOf(schedule, verdict));
  console.log(`hash ${verdict.hash}`);
  const [violation] = verdict.violations;
  if (violation === undefined) return;
  process.exitCode = 1;
  await lookInto(seed, violation.kind);
}

/** Makes a failing seed smaller and writes both stories down. */
async function lookInto(seed, kind) {
  const { drawSchedule } = await import("../dist/sim/schedule.js");
  const { shrinkSchedule } = await import("../dist/sim/shrink.js");
  const drawn = drawSchedule(mode, seed);
  const { schedule, left, before, runs } = await shrinkSchedule(drawn, kind);
  const own = mode === null ? "" : ` MODE=${mode}`;
  console.log(`${kind}: make sim SEED=${seed}${own}`);
  console.log(`  story: ${await writeStory(drawn, `seed-${seed}`)}`);
  const smaller = await writeStory(schedule, `seed-${seed}-small`);
  console.log(`  ${left} of ${before} faults are enough (${runs} simulations): ${smaller}`);
}

async function writeStory(schedule, name) {
  const { simulateSchedule } = await import("../dist/sim/simulate-seed.js");
  const { storyOf } = await import("../dist/sim/story.js");
  const verdict = await simulateSchedule(schedule, { trace: given.messages ? "all" : "story" });
  const path = join(storyFolder, `${name}.txt`);
  mkdirSync(storyFolder, { recursive: true });
  writeFileSync(path, storyOf(schedule, verdict));
  return path;
}

// Simulates whole clusters in virtual time, one for each seed, and says which seeds fail and why.
// Usage: node scripts/sim-seeds.mjs MODE [COUNT [FROM]]   many seeds, grouped by what did not hold
//        node scripts/sim-seeds.mjs MODE seed NUMBER      one seed, with its whole trace
import { seedsText, simulateSeeds } from "../dist/sim/simulate-seeds.js";
import { simulateSeed } from "../dist/sim/simulate-seed.js";

const [mode = "bsp", count = "1000", from = "0"] = process.argv.slice(2);
if (count === "seed") {
  const verdict = await simulateSeed(mode, Number(from), { trace: true });
  for (const line of verdict.trace) console.log(line);
  console.log(`hash ${verdict.hash}; ${verdict.outcomes.join("; ")}`);
  process.exitCode = verdict.violations.length === 0 ? 0 : 1;
} else {
  const startedMs = performance.now();
  let done = 0;
  let saidMs = startedMs;
  const report = await simulateSeeds(mode, { from: Number(from), count: Number(count) }, () => {
    done++;
    const nowMs = performance.now();
    if (nowMs - saidMs < 10_000) return;
    saidMs = nowMs;
    console.error(`${done} of ${count} seeds, ${(done / ((nowMs - startedMs) / 1000)).toFixed(0)}/s`);
  });
  console.log(seedsText(report));
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(`${(done / seconds).toFixed(0)} seeds a second`);
  process.exitCode = report.kinds.length === 0 ? 0 : 1;
}

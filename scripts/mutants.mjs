// `make mutants`: plants each fault of test/mutants/*.json in a copy of the build, one at a time, and
// runs the tests that are named beside it. A fault is caught when one of them fails, or does not end.
// Usage: node scripts/mutants.mjs [part of a file's path or of a fault's sentence...]
//
// A list holds objects: file (a source), from (text that stands once in it), to (what stands there
// instead), tests (parts of the paths of compiled tests) and fault (what is wrong then, in a sentence).
// In place of tests it may name seeds (mode, or null for the mode that each draws; from; count): then
// simulated runs must notice.
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const repository = resolve(fileURLToPath(import.meta.url), "..", "..");
const builds = ["dist", "dist-test"];
const testLimitMs = 120_000;
/** Two hundred seeds take half a minute where nothing else runs. */
const seedsLimitMs = 600_000;

const wanted = process.argv.slice(2);
const mutants = listedMutants().filter(
  ({ file, fault }) => wanted.length === 0 || wanted.some((part) => `${file} ${fault}`.includes(part)),
);
if (mutants.length === 0) {
  console.error(`paceline: no fault of test/mutants matches ${wanted.join(" ")}.`);
  process.exit(2);
}
const began = performance.now();
const copies = [];
process.on("exit", () => {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

// Tests that fail without any fault would catch all of them.
const soundTests = [...new Set(mutants.flatMap(({ tests = [] }) => tests))];
const sound = await inTurn(soundTests, async (copy, test) => ({
  test,
  ...(await runTests(copy, [test])),
}));
const broken = sound.filter(({ passed }) => !passed);
for (const { test, said } of broken) {
  console.error(`fails without a fault: ${test}${said === "" ? "" : `\n${said}`}`);
}
if (broken.length > 0) process.exit(1);
console.log(`${soundTests.length} groups of tests pass without a fault`);
const ranges = new Map(mutants.flatMap(({ seeds }) => (seeds ? [[JSON.stringify(seeds), seeds]] : [])));
const soundSeeds = await inTurn([...ranges.values()], runSeeds);
for (const [index, { passed, said }] of soundSeeds.entries()) {
  if (!passed) console.error(`seeds fail without a fault: ${[...ranges.keys()][index]}\n${said}`);
}
if (soundSeeds.some(({ passed }) => !passed)) process.exit(1);

const outcomes = await inTurn(mutants, tryMutant);
const missed = outcomes.filter((caught) => !caught).length;
const seconds = ((performance.now() - began) / 1000).toFixed(0);
console.log(`${mutants.length - missed} of ${mutants.length} planted faults caught in ${seconds} s`);
process.exitCode = missed === 0 ? 0 : 1;

/** Every listed fault; ends the process where a list is wrong. */
function listedMutants() {
  const folder = join(repository, "test", "mutants");
  const listed = readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .flatMap((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));
  const compiled = builds
    .flatMap((build) => readdirSync(join(repository, build), { recursive: true }).map((name) => join(build, name)))
    .filter((path) => path.endsWith(".test.js"));
  const problems = listed.flatMap((mutant) => problemsOf(mutant, compiled));
  for (const problem of problems) console.error(`paceline: test/mutants: ${problem}`);
  if (problems.length > 0) process.exit(2);
  return listed;
}

function problemsOf({ file, from, to, tests = [], seeds, fault }, compiled) {
  const what = `${file}: "${fault}"`;
  const found = readFileSync(join(repository, file), "utf8").split(from).length - 1;
  const problems = tests
    .filter((test) => !compiled.some((path) => path.includes(test)))
    .map((test) => `${what}: no compiled test matches ${test}`);
  if (found !== 1) problems.push(`${what}: its text stands ${found} times in the file, not once`);
  if (from === to) problems.push(`${what}: changes nothing`);
  if (tests.length > 0 === (seeds !== undefined)) problems.push(`${what}: name tests or seeds`);
  return problems;
}

/** Plants one fault, runs its tests, takes it out again; true if it was caught. */
async function tryMutant(copy, { file, from, to, tests, seeds, fault }) {
  const source = readFileSync(join(repository, file), "utf8");
  const compiledFile = join(copy, file.replace(/^src\//, "dist/").replace(/\.ts$/, ".js"));
  const before = readFileSync(compiledFile, "utf8");
  const planted = ts.transpileModule(source.replace(from, () => to), {
    fileName: file,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ES2022,
      verbatimModuleSyntax: true,
    },
  });
  if (planted.diagnostics.length > 0) {
    const [{ messageText }] = planted.diagnostics;
    console.error(`paceline: ${file}: "${fault}" is no TypeScript: ${messageText}`);
    return false;
  }
  writeFileSync(compiledFile, planted.outputText);
  const { passed, seconds, timedOut, said } = await (seeds === undefined
    ? runTests(copy, tests)
    : runSeeds(copy, seeds));
  writeFileSync(compiledFile, before);
  const verdict = passed ? "MISSED" : timedOut ? "hangs " : "caught";
  console.log(`${verdict} ${seconds.toFixed(1).padStart(5)} s  ${file}: ${fault}`);
  if (seeds !== undefined && !passed) console.log(said);
  return !passed;
}

/** Runs the tests whose paths contain one of these parts in a copy, stopping at the first failure. */
async function runTests(copy, parts) {
  const files = builds
    .flatMap((build) => readdirSync(join(copy, build), { recursive: true }).map((name) => join(build, name)))
    .filter((path) => path.endsWith(".test.js") && parts.some((part) => path.includes(part)))
    .sort();
  const options = ["--test", "--test-concurrency=1", "--test-reporter=spec", ...files];
  // One failure tells enough.
  const { output, ...end } = await runNode(copy, options, testLimitMs, /^\s*✖ /m);
  const said = output.split("\n").filter((line) => line.includes("✖")).slice(0, 3).join("\n");
  return { ...end, said };
}

/** Simulates seeds in a copy, to the first that fails; its script stands there as a link. */
async function runSeeds(copy, { mode, from, count }) {
  const links = ["--preserve-symlinks", "--preserve-symlinks-main"];
  const range = ["--mode", mode ?? "", "--from", String(from), "--seeds", String(count)];
  const script = [...links, join("scripts", "sim.mjs"), "--first", "--processes", "1"];
  const { output, ...end } = await runNode(copy, [...script, ...range], seedsLimitMs, null);
  return { ...end, said: output.trimEnd() };
}

/** Runs node in a copy until it ends, says what is `enough`, or has had its time. */
async function runNode(copy, options, limitMs, enough) {
  const started = performance.now();
  const child = spawn(process.execPath, options, {
    ...{ cwd: copy, stdio: ["ignore", "pipe", "ignore"], detached: true },
    env: { ...process.env, PACELINE_TESTS: "long" },
  });
  let timedOut = false;
  const limit = setTimeout(() => {
    timedOut = true;
    endGroup(child);
  }, limitMs);
  let output = "";
  child.stdout.on("data", (piece) => {
    output += piece;
    if (enough?.test(output)) endGroup(child);
  });
  const code = await new Promise((ended) => child.on("close", ended));
  clearTimeout(limit);
  return { passed: code === 0, seconds: (performance.now() - started) / 1000, timedOut, output };
}

/** Ends the runner with the processes that its tests have started. */
function endGroup(child) {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

/** Does something with each item, in as many copies at a time as there are cores, up to four. */
async function inTurn(items, work) {
  const results = [];
  let next = 0;
  const lanes = Math.min(4, availableParallelism(), items.length);
  while (copies.length < lanes) copies.push(copyOfRepository());
  await Promise.all(
    copies.slice(0, lanes).map(async (copy) => {
      while (next < items.length) {
        const index = next++;
        results[index] = await work(copy, items[index]);
      }
    }),
  );
  return results;
}

/**
 * A folder that looks like the repository to tests; only the builds in it are its own. Processes load
 * the modules there, as no fault is planted in the bundle.
 */
function copyOfRepository() {
  const copy = mkdtempSync(join(tmpdir(), "paceline-mutants-"));
  for (const name of readdirSync(repository)) {
    if (builds.includes(name)) cpSync(join(repository, name), join(copy, name), { recursive: true });
    else if (name !== ".git") symlinkSync(join(repository, name), join(copy, name));
  }
  rmSync(join(copy, "dist", "bundle"), { recursive: true, force: true });
  return copy;
}

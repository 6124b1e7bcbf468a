// Runs every compiled test, several files at a time.
//
// Starting node and loading modules takes longer than most files' tests. So those that touch nothing
// which the files of a process share (its environment, its children, hooks for all tests) run many
// to a process; each other file has its own.
//
// Tests of whole clusters wait about as much as they compute. So there are as many processes of tests
// as cores, and more, up to twice as many, while cores are idle; on a busy machine none is added, and
// one that ends is followed by none.
// Usage: node scripts/run-tests.mjs [part of a path...]
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** Enough to make starting cheap, few enough for the last processes to end at about one time. */
const filesInProcess = 8;
/** What a file may hold that another in its process would notice. */
const shared =
  /run-paceline|real-etcd|\bprocess\.|child_process|worker_threads|\bmock\b|globalThis|\bgc\b|^(before|(before|after)Each)\(/m;
/** Cores are looked at so often; processes are added while more than this share of them is idle. */
const lookMs = 1000;
const idleShare = 0.15;

const cores = availableParallelism();
const wanted = process.argv.slice(2);
const folder = join(".build", "tests", String(process.pid));
const began = performance.now();
const left = processesOf(compiledTests());
const running = new Set();
const totals = new Map();
const failed = [];

process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    for (const child of running) child.kill(signal);
    process.exit(130);
  });
}
for (let lane = 0; lane < cores; lane++) startNext();
let times = coreTimes();
const watch = setInterval(() => {
  const now = coreTimes();
  const share = (now.idle - times.idle) / Math.max(1, now.all - times.all);
  times = now;
  if (share > idleShare && running.size < 2 * cores) startNext();
}, lookMs);

/** The paths of the tests that are wanted; ends the process where there are none. */
function compiledTests() {
  const files = ["dist", "dist-test"]
    .filter((root) => existsSync(root))
    .flatMap((root) => readdirSync(root, { recursive: true }).map((name) => join(root, name)))
    .filter((path) => path.endsWith(".test.js"))
    .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
    .sort();
  if (files.length > 0) return files;
  console.error(`paceline: no test matches ${wanted.join(" ")}; run make build first.`);
  process.exit(1);
}

/**
 * What each process is to run, those of whole clusters first: they take longest. Neighbours, which
 * take about as long as each other, come into several processes.
 */
function processesOf(files) {
  const isAlone = (path) => shared.test(readFileSync(path, "utf8"));
  const alone = files.filter(isAlone).map((path) => [path]);
  const together = files.filter((path) => !isAlone(path));
  const count = Math.ceil(together.length / filesInProcess);
  const groups = Array.from({ length: count }, (_, group) => {
    return together.filter((_, index) => index % count === group);
  });
  const isOfClusters = ([path]) => path.startsWith("dist-test");
  return [
    ...alone.filter(isOfClusters),
    ...groups,
    ...alone.filter((one) => !isOfClusters(one)),
  ];
}

/**
 * A script that runs the tests of these files. Its own first test waits until all are loaded: while
 * one awaits something at its top, tests of those before would end, and what all share be cleared.
 */
function scriptOf(group) {
  if (group.length === 1) return group[0];
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${left.length}.test.mjs`);
  const urls = group.map((one) => pathToFileURL(resolve(one)).href);
  const text = `import { test } from "node:test";
    let settle;
    const loading = new Promise((resolve, reject) => (settle = { resolve, reject }));
    test("${group.length} files are loaded", () => loading);
    try {
      for (const url of ${JSON.stringify(urls)}) await import(url);
      settle.resolve();
    } catch (error) {
      settle.reject(error);
    }`;
  writeFileSync(path, text);
  return path;
}

/** Starts the next process, or tells how all went when the last has ended. */
function startNext() {
  const group = left.shift();
  if (group === undefined) {
    if (running.size === 0) tellEnd();
    return;
  }
  const started = performance.now();
  const child = spawn(process.execPath, ["--test-reporter=spec", scriptOf(group)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (output += text));
  }
  child.on("close", (code, signal) => {
    running.delete(child);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const name = group.length === 1 ? group[0] : `${group[0]} and ${group.length - 1} more`;
    if (code !== 0) failed.push(`${name} (${signal ?? `exit code ${code}`})`, ...crosses(output));
    // What each counts is told as one sum.
    const told = output.replace(/^ℹ (\w+) ([\d.]+)\n/gm, (_, what, count) => {
      totals.set(what, (totals.get(what) ?? 0) + Number(count));
      return "";
    });
    console.log(`\n${name}: ${seconds} s\n${told.trimEnd()}`);
    // More than one a core are added while cores are idle.
    if (running.size < cores) startNext();
  });
}

/** The lines that name tests which failed, each once. */
function crosses(output) {
  return new Set(output.match(/^ *✖ (?!failing tests).*$/gm) ?? []);
}

/** Time that all cores have spent since the machine started, in ms, and the idle part of it. */
function coreTimes() {
  const all = cpus().map(({ times: one }) => one);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  return { idle: sum(all.map(({ idle }) => idle)), all: sum(all.flatMap(Object.values)) };
}

function tellEnd() {
  clearInterval(watch);
  for (const line of failed) console.log(line.startsWith(" ") || line.startsWith("✖") ? line : `\nfailed: ${line}`);
  // In the words of node's own runner, which scripts look for.
  const counts = ["tests", "suites", "pass", "fail", "cancelled", "skipped", "todo"];
  for (const what of counts) console.log(`ℹ ${what} ${totals.get(what) ?? 0}`);
  console.log(`ℹ duration_ms ${(performance.now() - began).toFixed(0)}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

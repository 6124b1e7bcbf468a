import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { PacelineError } from "../errors.js";
import { aroundFiles, diskFiles } from "../store/files.js";
import { lockName } from "../store/runs/folder-lock.js";
import { endOfRun, folderBytes, judgeRun, leftOut, removeRuns, runNames } from "./run-folders.js";

const root = mkdtempSync(join(tmpdir(), "paceline-folders-"));
after(() => rmSync(root, { recursive: true }));

let rootCount = 0;
const hourAgo = new Date(Date.now() - 3_600_000);

/** A folder of runs, each with the files given. */
function runDir(runs: Readonly<Record<string, Readonly<Record<string, string>>>>): string {
  rootCount += 1;
  const path = join(root, `runs-${rootCount}`);
  mkdirSync(path);
  for (const [run, files] of Object.entries(runs)) {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(path, run, name, ".."), { recursive: true });
      writeFileSync(join(path, run, name), text);
    }
  }
  return path;
}

function cluster(pid: number, host = hostname(), workerPid: number | null = null): string {
  const coordinator = { role: "coordinator", id: 0, pid, host, address: "" };
  const worker = { ...coordinator, role: "worker", pid: workerPid };
  return JSON.stringify({ members: workerPid === null ? [coordinator] : [coordinator, worker] });
}

/** The pid of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

/** What a run has begun with whose folder a process has. */
function takenBy(pid: number): Record<string, string> {
  const owner = { pid, host: hostname(), start: null, since: new Date().toISOString() };
  return { "config.yaml": "", [lockName]: JSON.stringify(owner) };
}

const ended = { "events.jsonl": "{}\n", "result.json": "{}" };

describe("a run", () => {
  test("is running while a process of its lives here", async () => {
    const path = join(runDir({ a: { "cluster.json": cluster(process.pid) } }), "a");
    const { state, reason } = await judgeRun(path, null);
    assert.equal(state, "running");
    assert.equal(reason, `its coordinator-0 lives as process ${process.pid}`);
  });
  test("is running while the process that has its folder lives, in spite of clocks", async () => {
    const files = { ...takenBy(process.pid), "cluster.json": cluster(process.pid) };
    const path = join(runDir({ a: files }), "a");
    utimesSync(join(path, "cluster.json"), hourAgo, hourAgo);
    const reason = `process ${process.pid} writes there`;
    assert.deepEqual(await judgeRun(path, null), { state: "running", reason });
  });
  test("that went on after a result is running again", async () => {
    const path = join(runDir({ a: { ...ended, "cluster.json": cluster(process.pid) } }), "a");
    utimesSync(join(path, "result.json"), hourAgo, hourAgo);
    assert.equal((await judgeRun(path, "interrupted")).state, "running");
  });
  test("has ended once its result is written, though its coordinator serves on", async () => {
    const files = { "cluster.json": cluster(process.pid), ...ended };
    assert.equal((await judgeRun(join(runDir({ a: files }), "a"), "done")).state, "done");
  });
  test("whose coordinator died without a result has failed", async () => {
    const pid = deadPid();
    const path = join(runDir({ a: { "cluster.json": cluster(pid) } }), "a");
    const reason = `its coordinator, process ${pid}, died without a result`;
    assert.deepEqual(await judgeRun(path, null), { state: "failed", reason });
  });
  test("that was resumed and killed has failed, whatever its result of before says", async () => {
    const pid = deadPid();
    const files = { ...takenBy(pid), ...ended, "cluster.json": cluster(pid) };
    const path = join(runDir({ a: files }), "a");
    utimesSync(join(path, "result.json"), hourAgo, hourAgo);
    const reason = `its coordinator, process ${pid}, died without a result`;
    assert.deepEqual(await judgeRun(path, "done"), { state: "failed", reason });
  });
  test("is not taken for running because its pid was given to a later process", async () => {
    const path = join(runDir({ a: { "cluster.json": cluster(process.pid) } }), "a");
    utimesSync(join(path, "cluster.json"), hourAgo, hourAgo);
    const expected = existsSync("/proc/self/stat") ? "failed" : "running";
    assert.equal((await judgeRun(path, null)).state, expected);
  });
  test("is unknown where its processes are elsewhere", async () => {
    const path = join(runDir({ a: { "cluster.json": cluster(process.pid, "far-away") } }), "a");
    const { state, reason } = await judgeRun(path, null);
    assert.equal(state, "unknown");
    assert.match(reason, /on far-away$/);
  });
  test("is unknown before anybody has come", async () => {
    const path = join(runDir({ a: { "events.jsonl": "" } }), "a");
    assert.equal((await judgeRun(path, null)).state, "unknown");
  });
  test("with a cluster.json of another form is what its result says, and can go", async () => {
    const files = { ...ended, "cluster.json": '{"members":[{"pid":"x"}]}' };
    const folder = runDir({ a: files });
    const told: string[] = [];
    const judged = await judgeRun(join(folder, "a"), "done", (sentence) => told.push(sentence));
    assert.equal(judged.state, "done");
    assert.match(told.join(), /cluster\.json lists no members: it is broken/);
    assert.equal((await removeRuns(folder, ["a"], false)).length, 1);
  });
});

describe("a run is over", () => {
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, string[], RegExp])[] =
    [
      ["when its result is there", { "config.yaml": "", ...ended }, [], /^its result is written$/],
      [
        "though its coordinator serves on",
        { "config.yaml": "", "cluster.json": cluster(process.pid), ...ended },
        [],
        /^its result is written$/,
      ],
      [
        "when its coordinator has died without a result",
        { "config.yaml": "", "cluster.json": cluster(deadPid()) },
        [],
        /^its coordinator, process \d+, died without a result$/,
      ],
      [
        "when its coordinator has died after it was resumed",
        { ...takenBy(deadPid()), "cluster.json": cluster(deadPid()), ...ended },
        ["result.json"],
        /^its coordinator, process \d+, died without a result$/,
      ],
      ["not while it begins", { "config.yaml": "", "events.jsonl": "" }, [], /^goes on$/],
      [
        "not while its coordinator lives",
        { "config.yaml": "", "cluster.json": cluster(process.pid) },
        [],
        /^goes on$/,
      ],
      [
        "not while a worker waits for its coordinator to come back",
        { "config.yaml": "", "cluster.json": cluster(deadPid(), hostname(), process.pid) },
        [],
        /^goes on$/,
      ],
      [
        "when its result is there, of a clock that was set back since the start",
        { "config.yaml": "", "cluster.json": cluster(deadPid()), ...ended },
        ["cluster.json", "result.json"],
        /^its result is written$/,
      ],
      [
        "not while its coordinator lives, though the clock was set forward since its start",
        { ...takenBy(process.pid), "cluster.json": cluster(process.pid) },
        ["config.yaml", "cluster.json"],
        /^goes on$/,
      ],
      [
        "not by what was before it was resumed",
        { ...takenBy(process.pid), "cluster.json": cluster(deadPid()), ...ended },
        ["cluster.json", "result.json"],
        /^goes on$/,
      ],
      [
        "not by the pid of another machine",
        { "config.yaml": "", "cluster.json": cluster(deadPid(), "far-away") },
        [],
        /^goes on$/,
      ],
    ];
  for (const [what, files, old, expected] of cases) {
    test(what, async () => {
      const path = join(runDir({ a: files }), "a");
      for (const name of old) utimesSync(join(path, name), hourAgo, hourAgo);
      assert.match((await endOfRun(path)) ?? "goes on", expected);
    });
  }
});

test("names are those of folders that hold runs, and of no link", async () => {
  const path = runDir({ b: ended, a: ended, other: { "x.txt": "" }, ".hidden": ended });
  symlinkSync(join(path, "a"), join(path, "link"));
  writeFileSync(join(path, "file"), "");
  assert.deepEqual(await runNames(path), ["a", "b"]);
  assert.deepEqual(await runNames(join(path, "nowhere")), []);
});

test("a folder that can't be listed, or is gone by then, hides no run and is told", async () => {
  const path = runDir({ first: ended, locked: ended, second: ended });
  const locked = join(path, "locked");
  const files = aroundFiles(diskFiles, async (verb, where, action) => {
    if (verb === "list" && where === locked) {
      throw new PacelineError("storage", `can't list ${where}: permission denied`);
    }
    // Somebody removes one between two looks.
    if (verb === "list" && where === path) {
      const names = await action();
      rmSync(join(path, "second"), { recursive: true });
      return names;
    }
    return action();
  });
  assert.deepEqual(await runNames(path, files), ["first"]);
  const told = `${locked} is left out: can't list ${locked}: permission denied`;
  assert.deepEqual(await leftOut(path, files), [told]);
  assert.equal(await folderBytes(join(path, "second")), 0);
});

test("a folder's bytes are those of all its files", async () => {
  const path = runDir({ a: { "one.txt": "12345", "checkpoints/step-1/w.bin": "123" } });
  assert.equal(await folderBytes(path), 8);
});

describe("removing", () => {
  test("removes what is named and nothing else", async () => {
    const path = runDir({ a: ended, b: ended, c: ended });
    const removed = await removeRuns(path, ["a", "c", "a"], false);
    assert.deepEqual(
      removed.map(({ name, bytes }) => [name, bytes]),
      [
        ["a", 5],
        ["c", 5],
      ],
    );
    assert.deepEqual(readdirSync(path), ["b"]);
  });
  test("on trial says what would go and removes nothing", async () => {
    const path = runDir({ a: ended });
    assert.equal((await removeRuns(path, ["a"], true))[0]!.bytes, 5);
    assert.deepEqual(readdirSync(path), ["a"]);
  });
  test("takes a link inside a run for a link", async () => {
    const path = runDir({ a: ended, kept: { "weights.bin": "precious" } });
    symlinkSync(join(path, "kept"), join(path, "a", "checkpoints"));
    await removeRuns(path, ["a"], false);
    assert.equal(readFileSync(join(path, "kept", "weights.bin"), "utf8"), "precious");
  });

  const refused: readonly (readonly [string, RegExp])[] = [
    ["../outside", /"\.\.\/outside" is not a run name; write names as paceline runs ls/],
    ["..", /"\.\." is not a run name/],
    [".", /"\." is not a run name/],
    ["", /"" is not a run name/],
    ["good/", /"good\/" is not a run name/],
    ["good/checkpoints", /is not a run name/],
    ["link", /link is a link and stays; remove it, and what it points to, by hand/],
    ["stranger", /stranger is not a run folder and stays; remove it by hand/],
    ["file", /file is not a run folder/],
    ["running", /running is running \(its coordinator-0 lives as process \d+\) and stays; stop it/],
    ["fresh", /fresh was written to \d+ s ago and may be running .*try again in a minute/],
    ["nowhere", /nowhere: there is no such file or folder/],
  ];
  for (const [name, message] of refused) {
    test(`refuses ${JSON.stringify(name)}, and then removes none of the others`, async () => {
      const path = runDir({
        good: ended,
        stranger: { "thesis.txt": "" },
        running: { "events.jsonl": "", "cluster.json": cluster(process.pid) },
        fresh: { "events.jsonl": "" },
      });
      mkdirSync(join(path, "..", "outside"), { recursive: true });
      writeFileSync(join(path, "..", "outside", "events.jsonl"), "");
      symlinkSync(join(path, "good"), join(path, "link"));
      writeFileSync(join(path, "file"), "");
      const before = readdirSync(path);
      await assert.rejects(removeRuns(path, ["good", name], false), message);
      assert.deepEqual(readdirSync(path), before);
      assert.ok(existsSync(join(path, "..", "outside", "events.jsonl")));
    });
  }

  test("takes a run of unknown state that nobody has written to for long", async () => {
    const path = runDir({ old: { "events.jsonl": "" } });
    utimesSync(join(path, "old", "events.jsonl"), hourAgo, hourAgo);
    await removeRuns(path, ["old"], false);
    assert.deepEqual(readdirSync(path), []);
  });
});

test("folders whose names are not UTF-8 are told, and hinder nothing", async () => {
  const path = runDir({ a: ended });
  const odd = Buffer.concat([Buffer.from(`${path}/caf`), Buffer.of(0xe9)]);
  mkdirSync(odd);
  writeFileSync(Buffer.concat([odd, Buffer.from("/result.json")]), "{}");
  assert.deepEqual(await runNames(path), ["a"]);
  const what = `${join(path, "caf\\xE9")} is left out: its name is not UTF-8; rename it`;
  assert.deepEqual(await leftOut(path), [what]);
  assert.equal(await folderBytes(path), (await folderBytes(join(path, "a"))) + 2);
});

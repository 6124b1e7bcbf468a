import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";
import { setTimeout as later } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { exitWithParent } from "../../cli/supervised.js";
import type { Clock } from "../../host/clock.js";
import { usableCores } from "./cores.js";
import { memberEnvironment, memberFlags, threadsOfEach } from "./member-process.js";
import { type MemberExit, Supervisor, type SupervisorSetup } from "./supervisor.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-supervisor-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const supervised = pathToFileURL(
  join(import.meta.dirname, "..", "..", "cli", "supervised.js"),
).href;
const entry = join(folder, "member.mjs");
writeFileSync(
  entry,
  `import { exitWithParent } from ${JSON.stringify(supervised)};
   exitWithParent();
   const [role, rank, what] = process.argv.slice(2);
   console.log(role, rank, what, process.env.OMP_NUM_THREADS, process.env.COLOUR ?? "-");
   if (what === "fail") {
     for (let line = 1; line <= 8; line++) console.error("line " + line);
     process.exitCode = 1;
   }
   if (what.startsWith("exit")) process.exitCode = Number(what.slice(4));
   if (what === "deaf") process.on("SIGTERM", () => {});
   if (what === "stay" || what === "deaf") setInterval(() => {}, 1000);
   if (what === "flags") console.log(process.execArgv.join(" "));
   if (what !== "fail") console.log("ready");`,
);

const limitMs = 20_000;

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `${what} within ${limitMs} ms`);
    await later(5);
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const state = `/proc/${pid}/stat`;
    // An orphan that nobody has waited for yet is a zombie: it has ended.
    return !existsSync(state) || !/\) Z /.test(readFileSync(state, "utf8"));
  } catch {
    return false;
  }
}

/** The letter that Linux has for what a process does: T while it is stopped. */
function stateOf(pid: number): string | undefined {
  return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];
}

/** A clock whose timers go off when the test says so. */
class HandClock implements Clock {
  readonly delays: number[] = [];
  #waiting: { action: () => void }[] = [];

  nowMs(): number {
    return 0;
  }

  after(delayMs: number, action: () => void) {
    const waiting = { action };
    this.delays.push(delayMs);
    this.#waiting.push(waiting);
    return {
      cancel: () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
      },
    };
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  goOff(): void {
    for (const { action } of this.#waiting.splice(0)) action();
  }
}

interface Trial {
  readonly supervisor: Supervisor;
  readonly exits: MemberExit[];
  readonly clock: HandClock;
  readonly log: (role: string, rank: number) => string;
}

let trials = 0;
const open: Supervisor[] = [];

function begin(what: string, changes: Partial<SupervisorSetup> = {}): Trial {
  const trial = ++trials;
  const exits: MemberExit[] = [];
  const clock = new HandClock();
  const logPath = (role: string, rank: number) => join(folder, `${trial}-${role}-${rank}.log`);
  const supervisor = new Supervisor({
    entry,
    flags: memberFlags("auto"),
    argumentsOf: (role, rank) => [role, String(rank), what],
    environment: { COLOUR: "green" },
    threads: 2,
    logPath,
    maxRestarts: 3,
    onExit: (exit) => exits.push(exit),
    clock,
    ...changes,
  });
  open.push(supervisor);
  const log = (role: string, rank: number) =>
    existsSync(logPath(role, rank)) ? readFileSync(logPath(role, rank), "utf8") : "";
  return { supervisor, exits, clock, log };
}

afterEach(() => {
  for (const supervisor of open.splice(0)) supervisor.killAll();
});

describe("a supervisor", () => {
  test("starts a member with its arguments, threads, environment and log", async () => {
    const { supervisor, exits, log, clock } = begin("leave");
    supervisor.start("server", 1);
    await until("the end", () => exits.length === 1);
    assert.equal(log("server", 1), "server 1 leave 2 green\nready\n");
    const { pid, ...rest } = exits[0]!;
    assert.ok(pid > 0);
    assert.deepEqual(rest, {
      role: "server",
      rank: 1,
      code: 0,
      signal: null,
      problem: null,
      injected: false,
      restarts: false,
    });
    assert.deepEqual([clock.waiting, supervisor.pids()], [0, []]);
  });

  test("starts a worker that fails again, ever later, up to the limit", async () => {
    const { supervisor, exits, clock, log } = begin("fail");
    supervisor.start("worker", 2);
    for (let count = 1; count <= 4; count++) {
      await until(`end ${count}`, () => exits.length === count);
      clock.goOff();
    }
    assert.deepEqual(clock.delays, [250, 500, 1000]);
    assert.deepEqual(
      exits.map(({ rank, code, restarts }) => [rank, code, restarts]),
      [
        [2, 1, true],
        [2, 1, true],
        [2, 1, true],
        [2, 1, false],
      ],
    );
    assert.equal(new Set(exits.map(({ pid }) => pid)).size, 4);
    assert.equal(log("worker", 2).split("worker 2 fail").length - 1, 4);
  });

  for (const code of [2, 6, 7]) {
    test(`starts no worker again that ended with ${code}: it would say the same`, async () => {
      const { supervisor, exits, clock } = begin(`exit${code}`);
      supervisor.start("worker", 0);
      await until("the end", () => exits.length === 1);
      assert.deepEqual([exits[0]!.code, exits[0]!.restarts, clock.waiting], [code, false, 0]);
    });
  }

  test("starts a worker again that somebody killed, under its rank", async () => {
    const { supervisor, exits, clock, log } = begin("stay");
    supervisor.start("worker", 3);
    await until("its start", () => log("worker", 3).includes("ready"));
    const [first] = supervisor.pids();
    process.kill(first!.pid, "SIGKILL");
    await until("its end", () => exits.length === 1);
    assert.equal(exits[0]!.signal, "SIGKILL");
    assert.equal(exits[0]!.restarts, true);
    clock.goOff();
    await until("its return", () => log("worker", 3).split("ready").length === 3);
    const [again] = supervisor.pids();
    assert.equal(again?.rank, 3);
    assert.notEqual(again?.pid, first?.pid);
  });

  test("does not start a worker again that was killed on purpose, nor a server", async () => {
    const { supervisor, exits, clock, log } = begin("stay");
    supervisor.start("worker", 0);
    supervisor.start("server", 0);
    await until("both", () => ["worker", "server"].every((role) => log(role, 0) !== ""));
    assert.equal(supervisor.kill("worker", 0), true);
    await until("the worker's end", () => exits.length === 1);
    process.kill(supervisor.pids()[0]!.pid, "SIGKILL");
    await until("the server's end", () => exits.length === 2);
    assert.deepEqual(
      exits.map(({ role, injected, restarts }) => [role, injected, restarts]),
      [
        ["worker", true, false],
        ["server", false, false],
      ],
    );
    assert.equal(clock.waiting, 0);
    assert.equal(supervisor.kill("worker", 0), false);
  });

  test("starts a server again where others have copies of what it held", async () => {
    const { supervisor, exits, clock, log } = begin("stay", { restartsServers: true });
    supervisor.start("server", 0);
    await until("its start", () => log("server", 0).includes("ready"));
    process.kill(supervisor.pids()[0]!.pid, "SIGKILL");
    await until("its end", () => exits.length === 1);
    assert.deepEqual([exits[0]!.role, exits[0]!.restarts], ["server", true]);
    clock.goOff();
    await until("its return", () => log("server", 0).split("ready").length === 3);
    assert.equal(supervisor.kill("server", 0), true, "also one that is killed on purpose");
    await until("its second end", () => exits.length === 2);
    assert.deepEqual([exits[1]!.injected, exits[1]!.restarts], [true, true]);
    clock.goOff();
    await until("its second return", () => log("server", 0).split("ready").length === 4);
  });

  test("stops a member for a while, and does not leave it stopped", async () => {
    const { supervisor, clock, log } = begin("stay");
    supervisor.start("worker", 0);
    await until("its start", () => log("worker", 0).includes("ready"));
    const { pid } = supervisor.pids()[0]!;
    assert.equal(supervisor.pause("worker", 1, 700), false, "there is none");
    assert.equal(supervisor.pause("worker", 0, 700), true);
    await until("its stop", () => stateOf(pid) === "T");
    assert.deepEqual(clock.delays, [700]);
    clock.goOff();
    await until("its going on", () => stateOf(pid) !== "T");
    assert.equal(supervisor.pause("worker", 0, 900), true);
    await until("its second stop", () => stateOf(pid) === "T");
    const stopped = supervisor.stop();
    await until("its end", () => !lives(pid));
    await stopped;
    assert.equal(clock.waiting, 0);
  });

  test("starts nobody again once the run is ending", async () => {
    let ending = false;
    const { supervisor, exits, clock, log } = begin("fail", { mayRestart: () => !ending });
    supervisor.start("worker", 0);
    await until("the first end", () => exits.length === 1);
    ending = true;
    clock.goOff();
    assert.deepEqual(supervisor.pids(), []);
    supervisor.start("worker", 1);
    await until("the second end", () => exits.length === 2);
    assert.deepEqual(
      exits.map(({ restarts }) => restarts),
      [true, false],
    );
    assert.equal(clock.waiting, 0);
    assert.equal(log("worker", 0).split("worker 0 fail").length - 1, 1);
  });

  test("gives a member few heaps unless its environment says how many", async () => {
    const heaps = (environment: Record<string, string>) =>
      memberEnvironment(environment, 1).MALLOC_ARENA_MAX;
    assert.deepEqual([heaps({}), heaps({ MALLOC_ARENA_MAX: "8" })], ["2", "8"]);
    const cores = usableCores();
    assert.deepEqual([threadsOfEach(1), threadsOfEach(cores + 1)], [cores, 1]);
  });

  test("gives a member Node's flags, and with gRPC less space for young objects", async () => {
    assert.deepEqual(memberFlags("unix"), ["--max-semi-space-size=4"]);
    const { supervisor, log } = begin("flags", { flags: memberFlags("grpc") });
    supervisor.start("server", 0);
    await until("the end", () => log("server", 0).includes("ready"));
    assert.match(log("server", 0), /^--max-semi-space-size=1$/m);
  });

  test("says why a process could not be started", async () => {
    const { supervisor } = begin("stay", { logPath: () => join(folder, "none", "a.log") });
    assert.throws(() => supervisor.start("worker", 0), {
      code: "storage",
      message: /can't write .*a\.log: there is no such file or folder/,
    });
    assert.deepEqual(supervisor.pids(), []);
  });
});

describe("stopping", () => {
  test("ends everybody, starts nobody again and reports no exits", async () => {
    const { supervisor, exits, clock, log } = begin("stay");
    for (const rank of [0, 1, 2]) supervisor.start("worker", rank);
    await until("all", () => [0, 1, 2].every((rank) => log("worker", rank).includes("ready")));
    const pids = supervisor.pids().map(({ pid }) => pid);
    assert.equal(pids.filter(lives).length, 3);
    await Promise.all([supervisor.stop(), supervisor.stop()]);
    assert.deepEqual(pids.filter(lives), []);
    assert.deepEqual([exits.length, clock.waiting, supervisor.pids().length], [0, 0, 0]);
    supervisor.start("worker", 0);
    assert.deepEqual(supervisor.pids(), []);
  });

  test("kills those that do not end within the limit", async () => {
    const { supervisor, clock, log } = begin("deaf", { stopLimitMs: 1234 });
    supervisor.start("server", 0);
    await until("its start", () => log("server", 0).includes("ready"));
    const { pid } = supervisor.pids()[0]!;
    const stopped = supervisor.stop();
    assert.deepEqual(clock.delays, [1234]);
    assert.ok(lives(pid));
    clock.goOff();
    await stopped;
    assert.ok(!lives(pid));
  });

  test("forgets a start that is yet to come", async () => {
    const { supervisor, exits, clock } = begin("fail");
    supervisor.start("worker", 0);
    await until("the end", () => exits.length === 1);
    assert.equal(clock.waiting, 1);
    await supervisor.stop();
    assert.equal(clock.waiting, 0);
  });

  test("waits for those that were killed at once", async () => {
    const { supervisor, log } = begin("stay");
    supervisor.start("worker", 0);
    await until("its start", () => log("worker", 0).includes("ready"));
    const { pid } = supervisor.pids()[0]!;
    supervisor.killAll();
    await supervisor.stop();
    assert.ok(!lives(pid));
  });
});

describe("members whose parent is gone", () => {
  test("end when the parent is killed with SIGKILL", async () => {
    const parent = join(folder, "parent.mjs");
    const module = pathToFileURL(join(import.meta.dirname, "supervisor.js")).href;
    const logs = join(folder, "orphans");
    writeFileSync(
      parent,
      `import { Supervisor } from ${JSON.stringify(module)};
       const supervisor = new Supervisor({
         entry: ${JSON.stringify(entry)},
         argumentsOf: (role, rank) => [role, String(rank), "stay"],
         flags: [], environment: {}, threads: 1, maxRestarts: 3, onExit: () => {},
         logPath: (role, rank) => ${JSON.stringify(logs)} + role + rank,
       });
       for (const rank of [0, 1]) supervisor.start("worker", rank);
       process.stdout.write(JSON.stringify(supervisor.pids().map(({ pid }) => pid)) + "\\n");`,
    );
    const child = spawn(process.execPath, [parent], { stdio: ["ignore", "pipe", "inherit"] });
    let told = "";
    child.stdout.on("data", (bytes: Buffer) => (told += bytes));
    const log = (rank: number) =>
      existsSync(`${logs}worker${rank}`) ? readFileSync(`${logs}worker${rank}`, "utf8") : "";
    await until(
      "the members",
      () => told.endsWith("\n") && [0, 1].every((r) => /ready/.test(log(r))),
    );
    const pids = JSON.parse(told) as number[];
    assert.equal(pids.filter(lives).length, 2);
    child.kill("SIGKILL");
    await until("their end", () => !pids.some(lives));
  });

  test("end at once when the parent went before they could listen", () => {
    const codes: number[] = [];
    const self = { once: () => {}, exit: (code: number) => codes.push(code) };
    exitWithParent({ ...self, send: () => {}, connected: false });
    assert.deepEqual(codes, [1]);
  });

  test("without a supervisor nothing is listened for", () => {
    const once = () => assert.fail("listened");
    exitWithParent({ once, exit: () => assert.fail("ended") });
  });
});

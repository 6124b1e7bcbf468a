import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CoordinatorSnapshot, MemberSnapshot } from "../protocol/run-events.js";
import { idleWorker } from "../protocol/statistics.js";
import { Random } from "../random.js";
import { clockTime, LiveRegion, printable, progressLines } from "./progress.js";

const escapeCharacter = "\u001b";
const pieces = new RegExp(`${escapeCharacter}\\[\\d*[A-Z]|.`, "gsu");

/** A terminal that knows as much as the region uses: wrapping, carriage return, up, erase below. */
class Terminal {
  columns: number;
  rows = 50;
  writes = 0;
  #lines: string[] = [""];
  #row = 0;
  #column = 0;

  constructor(columns: number) {
    this.columns = columns;
  }

  write(text: string): void {
    this.writes += 1;
    for (const [piece] of text.matchAll(pieces)) this.#obey(piece);
  }

  /** Lines on the screen, without the empty one that the cursor may stand on. */
  get screen(): string[] {
    const lines = this.#lines.map((line) => line.trimEnd());
    return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
  }

  #obey(piece: string): void {
    if (piece === "\n") this.#down();
    else if (piece === "\r") this.#column = 0;
    else if (piece === "\u001b[J") {
      this.#lines = this.#lines.slice(0, this.#row + 1);
      this.#lines[this.#row] = this.#lines[this.#row]!.slice(0, this.#column);
    } else if (piece.endsWith("A") && piece.length > 1) {
      this.#row = Math.max(0, this.#row - Number(piece.slice(2, -1)));
    } else this.#put(piece);
  }

  #put(character: string): void {
    if (this.#column === this.columns) this.#down();
    const line = this.#lines[this.#row]!.padEnd(this.#column);
    this.#lines[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + 1);
    this.#column += 1;
  }

  #down(): void {
    this.#row += 1;
    this.#column = 0;
    if (this.#row === this.#lines.length) this.#lines.push("");
  }
}

function region(columns = 40, live = true) {
  const terminal = new Terminal(columns);
  const clock = { ms: 0 };
  return {
    terminal,
    clock,
    region: new LiveRegion({ sink: terminal, live, nowMs: () => clock.ms }),
  };
}

describe("the live region", () => {
  test("stays below the lines that are written", () => {
    const { terminal, clock, region: live } = region();
    live.show(["bar", "worker-0"]);
    clock.ms = 100;
    live.line("first");
    clock.ms = 200;
    live.show(["bar 2", "worker-0", "worker-1"]);
    assert.deepEqual(terminal.screen, ["first", "bar 2", "worker-0", "worker-1"]);
    clock.ms = 300;
    live.line("second");
    assert.deepEqual(terminal.screen, ["first", "second", "bar 2", "worker-0", "worker-1"]);
    live.close();
    live.line("third");
    assert.deepEqual(terminal.screen, ["first", "second", "third"]);
  });

  test("is drawn at most ten times a second", () => {
    const { terminal, clock, region: live } = region();
    for (; clock.ms < 1000; clock.ms += 10) live.show([`at ${clock.ms}`]);
    assert.equal(terminal.writes, 10);
    assert.deepEqual(terminal.screen, ["at 900"]);
    live.line("said between");
    assert.deepEqual(terminal.screen, ["said between", "at 990"]);
    live.line("and again");
    assert.deepEqual(terminal.screen, ["said between", "and again"]);
    clock.ms += 100;
    live.show(["at last"]);
    assert.deepEqual(terminal.screen, ["said between", "and again", "at last"]);
  });

  test("never wraps, and never is higher than the terminal", () => {
    const { terminal, region: live } = region(10);
    terminal.rows = 4;
    live.show(["0123456789abc", "2", "3", "4", "5"]);
    assert.deepEqual(terminal.screen, ["012345678", "2", "3"]);
  });

  test("is taken off whole when the terminal has become narrower and wrapped it", () => {
    const { terminal, region: live } = region(40);
    live.show(["x".repeat(35), "short"]);
    terminal.columns = 10;
    let last = "";
    terminal.write = (text: string) => {
      last = text;
    };
    live.close();
    assert.equal(last, "\r\u001b[4A\u001b[J");
  });

  test("shows nothing where nothing can be redrawn", () => {
    const { terminal, region: live } = region(40, false);
    live.show(["bar"]);
    live.line("line");
    live.close();
    assert.deepEqual([terminal.writes, terminal.screen], [1, ["line"]]);
  });

  test("lets no other process's text move the cursor", () => {
    const { terminal, region: live } = region();
    live.show(["worker-0 \u001b[2J\u001b[H\r\nhacked\u0007\u009b"]);
    assert.deepEqual(terminal.screen, ["worker-0  [2J [H hacked"]);
    assert.equal(printable("plain text, naïve"), "plain text, naïve");
  });

  test("whatever is written and shown, every line is there once and the region is last", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed, "terminal");
      const { terminal, clock, region: live } = region(20 + random.below(60));
      const written: string[] = [];
      let shown: string[] = [];
      for (let turn = 0; turn < 60; turn++) {
        clock.ms += random.below(200);
        if (random.below(2) === 0) {
          const line = `line ${turn}`;
          written.push(line);
          live.line(line);
        } else {
          const count = 1 + random.below(5);
          const width = random.below(120);
          shown = Array.from({ length: count }, (_, row) => `${row}`.padEnd(1 + width, "x"));
          live.show(shown);
        }
        const { screen } = terminal;
        assert.deepEqual(screen.slice(0, written.length), written, `seed ${seed}, turn ${turn}`);
        assert.ok(screen.length - written.length <= 5, `seed ${seed}, turn ${turn}`);
      }
      clock.ms += 100;
      live.show(shown);
      const cut = shown.map((line) => line.slice(0, terminal.columns - 1));
      assert.deepEqual(terminal.screen, [...written, ...cut], `seed ${seed}`);
      live.close();
      assert.deepEqual(terminal.screen, written, `seed ${seed}`);
    }
  });
});

function worker(rank: number, changes: Partial<MemberSnapshot> = {}): MemberSnapshot {
  return {
    role: "worker",
    rank,
    incarnation: 1,
    pid: 1,
    host: "box",
    address: "",
    frames: null,
    state: "alive",
    reason: "last heard 0.1 s ago",
    activity: "computing",
    engine: "",
    inView: true,
    server: null,
    worker: null,
    ...changes,
  };
}

const snapshot: CoordinatorSnapshot = {
  run: "r",
  name: "r",
  phase: "training",
  activity: "epoch 2 of 3",
  epoch: 1,
  epochs: 3,
  globalSteps: 10,
  examples: 0,
  totalExamples: 400,
  members: [worker(0), worker(1)],
  moves: { left: 0, total: 0 },
  algorithms: [],
  evaluations: [],
};
const figures = { examples: 100, totalExamples: 400, examplesPerSecond: 4, loss: 0.34567 };
const wide = { columns: 100, rows: 24 };

describe("what the region shows", () => {
  test("is how far the run is, and what each worker does", () => {
    assert.deepEqual(progressLines(snapshot, figures, wide), [
      "[######------------------]  25%  epoch 2/3  step 10  loss 0.3457  4 examples/s  ETA 1:15",
      "worker-0   computing",
      "worker-1   computing",
    ]);
  });

  test("is what is waited for before training", () => {
    const early = { ...snapshot, phase: "forming", activity: "waiting for members", members: [] };
    assert.deepEqual(progressLines(early, figures, wide), ["waiting for members"]);
  });

  test("is what training does where that is no epoch", () => {
    const saving = { ...snapshot, activity: "writing a checkpoint", members: [] };
    const slow = { ...figures, examplesPerSecond: null, loss: null };
    assert.deepEqual(progressLines(saving, slow, wide), [
      "[######------------------]  25%  writing a checkpoint  step 10",
    ]);
  });

  test("gives up the bar where the terminal is narrow, then what tells least, the ETA last", () => {
    const at = (columns: number) => progressLines(snapshot, figures, { columns, rows: 24 })[0];
    assert.equal(
      at(73),
      "[##------]  25%  epoch 2/3  step 10  loss 0.3457  4 examples/s  ETA 1:15",
    );
    assert.equal(at(72), "25%  epoch 2/3  step 10  loss 0.3457  4 examples/s  ETA 1:15");
    assert.equal(at(61), "25%  epoch 2/3  step 10  loss 0.3457  4 examples/s  ETA 1:15");
    assert.equal(at(60), "25%  epoch 2/3  step 10  loss 0.3457  ETA 1:15");
    assert.equal(at(40), "25%  epoch 2/3  loss 0.3457  ETA 1:15");
    assert.equal(at(37), "25%  loss 0.3457  ETA 1:15");
    assert.equal(at(26), "25%  ETA 1:15");
    assert.equal(at(13), "25%");
  });

  test("names one step, the run's: workers are heard of at moments of their own", () => {
    const counts = { inputSeconds: 1, computeSeconds: 2, waitSeconds: 1 };
    const members = [3, 40].map((clock, rank) =>
      worker(rank, { worker: { ...idleWorker, ...counts, clock } }),
    );
    const lines = progressLines({ ...snapshot, members }, figures, wide);
    assert.match(lines[0]!, / step 10 /);
    const [left, right] = lines.slice(1).map((line) => line.replace(/^worker-\d+ +/, ""));
    assert.deepEqual([left, right], Array(2).fill("computing (waits 25% of its time)"));
  });

  test("says why a worker may be gone", () => {
    const reason = "silent for 2.0 s, lease 3.0 s";
    const members = [worker(12, { state: "suspect", reason })];
    const lines = progressLines({ ...snapshot, members }, figures, wide);
    assert.equal(lines[1], `worker-12  suspect: ${reason}; computing`);
  });

  test("leaves workers out where there is no room for them", () => {
    const members = Array.from({ length: 9 }, (_, rank) => worker(rank));
    const lines = (rows: number) =>
      progressLines({ ...snapshot, members }, figures, { columns: 80, rows }).slice(1);
    assert.equal(lines(12).length, 9);
    assert.deepEqual(lines(6), [
      "worker-0   computing",
      "worker-1   computing",
      "and 7 more workers",
    ]);
    assert.deepEqual(lines(2), ["and 9 more workers"]);
  });

  test("durations read as on a clock", () => {
    const times = [0, 4.2, 59.5, 61, 3599, 3600, 36_061].map(clockTime);
    assert.deepEqual(times, ["0:00", "0:05", "1:00", "1:01", "59:59", "1:00:00", "10:01:01"]);
  });
});

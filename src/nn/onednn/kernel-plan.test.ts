import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir, uptime } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { buildModel } from "../models.js";
import { directions, placeOf } from "./algorithms.js";
import type { Dnnl } from "./dnnl.js";
import { addKernels, kernelCacheFile, readKernels } from "./kernel-cache.js";
import type { KernelTiming } from "./kernel-choice.js";
import {
  type KernelMeasure,
  type KernelSource,
  machineKey,
  measuringMsMax,
  planKernels,
} from "./kernel-plan.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-kernels-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const freshFile = () => kernelCacheFile(join(folder, `cache-${++files}`));

/** A library with Winograd, of which nothing is called. */
const wide = { abi: 2, hasAvx512: true, hasAmx: false, version: "2.6.3" } as Partial<Dnnl> as Dnnl;
const model = { graph: buildModel("resnet20"), n: 64, type: "f32", threads: 2 } as const;

/** A measure by which Winograd takes this part of the direct algorithm's time. */
function measureOf(share: number): { measure: KernelMeasure; counted: string[] } {
  const counted: string[] = [];
  const measure: KernelMeasure = (_, place): KernelTiming[] => {
    counted.push(`${place.channels}x${place.input.join("x")}`);
    return directions.flatMap((direction) => [
      { type: "f32", algorithm: "direct", direction, seconds: 1 },
      { type: "f32", algorithm: "winograd", direction, seconds: share },
    ]);
  };
  return { measure, counted };
}

const never: KernelMeasure = () => assert.fail("nothing is measured");
const source = (cacheFile: string | null, recorded: readonly string[] = []): KernelSource => {
  return { mode: "measured", cacheFile, recorded };
};
const isWinograd = (line: string) => /forward winograd/.test(line);

describe("a model's kernels", () => {
  test("are measured once per shape, the largest first, and read from then on", () => {
    const file = freshFile();
    const { measure, counted } = measureOf(0.5);
    const first = planKernels(wide, model, source(file), measure);
    assert.deepEqual(counted, ["16x32x32", "32x16x16", "64x8x8", "3x32x32"]);
    assert.equal(first.lines.length, 4);
    assert.ok(first.lines.every(isWinograd));
    const second = planKernels(wide, model, source(file), never);
    assert.deepEqual(second.lines, first.lines);
    assert.deepEqual(readdirSync(join(file, "..")), ["kernels.json"]);
    const kept = readKernels(file, machineKey(wide, 2));
    assert.match(kept.measured ?? "", /^\d{4}-\d\d-\d\dT/);
  });

  test("of a rest or an evaluation are those of the usual batch", () => {
    const plan = planKernels(wide, model, source(freshFile()), measureOf(0.5).measure);
    const layer = { kind: "conv2d", outputs: 64, kernel: 3, padding: 1 } as const;
    const place = placeOf(layer, [64, 8, 8], { n: 1, type: "f32" });
    assert.equal(plan.choiceOf(place).algorithms.forward, "winograd");
  });

  test("are measured apart for another library, number of threads, type or batch", () => {
    const file = freshFile();
    const others = [
      [wide, model],
      [{ ...wide, version: "2.7.0" }, model],
      [wide, { ...model, threads: 1 }],
      [wide, { ...model, n: 32 }],
    ] as const;
    for (const [dnnl, own] of others) {
      const { measure, counted } = measureOf(0.5);
      planKernels(dnnl, own, source(file), measure);
      assert.equal(counted.length, 4);
      planKernels(dnnl, own, source(file), never);
    }
  });

  test("are those that the run has recorded, whatever the cache says", () => {
    const file = freshFile();
    const recorded = planKernels(wide, model, source(freshFile()), measureOf(0.5).measure).lines;
    planKernels(wide, model, source(file), measureOf(2).measure);
    const plan = planKernels(wide, model, source(file, recorded), never);
    assert.deepEqual(plan.lines, recorded);
    assert.deepEqual(planKernels(wide, model, source(null, recorded), never).lines, recorded);
  });

  const unmeasured: readonly (readonly [title: string, KernelSource, RegExp])[] = [
    ["as asked for", { ...source(freshFile()), mode: "rule" }, /by the rule: as asked for\)$/],
    ["without a folder", source(null), /by the rule: there is no folder to keep/],
    [
      "where the folder can't be written",
      source("/proc/paceline/kernels.json"),
      /by the rule: measurements can't be kept \(can't .*: there is no such file or folder\)/,
    ],
  ];
  for (const [title, from, reason] of unmeasured) {
    test(`follow the rule ${title}`, () => {
      const { lines } = planKernels(wide, model, from, never);
      assert.ok(lines.length === 4 && lines.every((line) => reason.test(line)), lines.join("\n"));
    });
  }

  test("follow the rule where measuring one takes too long, and others wait meanwhile", () => {
    const file = freshFile();
    const locks = new Set<string>();
    let untilMs = 0;
    const slow: KernelMeasure = (_dnnl, _place, deadlineMs) => {
      untilMs = deadlineMs - performance.now();
      locks.add(readFileSync(`${file}.lock`, "utf8"));
      // The time that a lock tells has steps of 10 ms.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 15);
      return null;
    };
    const { lines } = planKernels(wide, model, source(file), slow);
    assert.ok(lines.length === 4 && lines.every((line) => /the time for measuring ran/.test(line)));
    assert.equal(locks.size, 4, "the lock is renewed for each convolution");
    assert.ok(untilMs > 0 && untilMs <= 2 * measuringMsMax, `${untilMs} ms`);
  });

  test("are not looked for where there is one candidate only", () => {
    const file = freshFile();
    const narrow = { ...wide, hasAvx512: false };
    assert.deepEqual(planKernels(narrow, model, source(file), never).lines, []);
    assert.throws(() => readFileSync(file), { code: "ENOENT" });
  });

  for (const content of ["", "{", '{"format":"other","machines":{}}', "null", '{"machines":3}']) {
    test(`are measured anew where the file holds ${content || "nothing"}`, () => {
      const file = freshFile();
      mkdirSync(join(file, ".."), { recursive: true });
      writeFileSync(file, content);
      const { measure, counted } = measureOf(0.5);
      planKernels(wide, model, source(file), measure);
      assert.equal(counted.length, 4);
      planKernels(wide, model, source(file), never);
    });
  }
});

describe("the lock of the cache", () => {
  test("makes threads that start together agree on what one of them measured", async () => {
    const file = freshFile();
    const module = new URL("kernel-cache.js", import.meta.url).href;
    const program = `
      const { parentPort, workerData } = await import("node:worker_threads");
      const { addKernels } = await import("${module}");
      parentPort.postMessage(addKernels(workerData.file, "machine", (known) => {
        if (known.length > 0) return [];
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
        return [\`measured by \${workerData.name}\`];
      }));`;
    const address = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
    const lines = await Promise.all(
      [1, 2, 3].map((name) => {
        const thread = new Worker(address, { workerData: { file, name }, execArgv: [] });
        return new Promise<string[]>((resolve, reject) => {
          thread.once("message", resolve);
          thread.once("error", reject);
        });
      }),
    );
    assert.equal(lines[0]!.length, 1);
    assert.deepEqual(lines, [lines[0], lines[0], lines[0]]);
  });

  test("is taken over from a process that has ended, and waited for else", () => {
    const file = freshFile();
    mkdirSync(join(file, ".."), { recursive: true });
    const lock = `${file}.lock`;
    // No process has the highest number that there is.
    writeFileSync(lock, JSON.stringify({ host: hostname(), pid: 2 ** 31 - 1 }));
    assert.deepEqual(
      addKernels(file, "machine", () => ["a"]),
      ["a"],
    );
    writeFileSync(lock, JSON.stringify({ host: hostname(), pid: process.pid }));
    assert.throws(() => addKernels(file, "machine", () => ["b"], 50), /is held by another process/);
    assert.deepEqual(readKernels(file, "machine").lines, ["a"]);
  });

  test("is waited for as long as its owner comes on", async () => {
    const file = freshFile();
    const module = new URL("kernel-cache.js", import.meta.url).href;
    const program = `
      const { parentPort, workerData } = await import("node:worker_threads");
      const { addKernels } = await import("${module}");
      const pause = new Int32Array(new SharedArrayBuffer(4));
      addKernels(workerData.file, "machine", (known, renew) => {
        parentPort.postMessage("measuring");
        for (let turn = 0; turn < 10; turn++) {
          Atomics.wait(pause, 0, 0, 200);
          renew();
        }
        return ["a"];
      });`;
    const address = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
    const thread = new Worker(address, { workerData: { file }, execArgv: [] });
    await new Promise((resolve, reject) => thread.once("message", resolve).once("error", reject));
    const known = addKernels(file, "machine", () => [], 1000);
    assert.deepEqual(known, ["a"]);
  });

  test("stays its owner's when the time of day jumps, but not over a start", () => {
    const file = freshFile();
    mkdirSync(join(file, ".."), { recursive: true });
    const lock = `${file}.lock`;
    const owner = { host: hostname(), pid: process.pid };
    writeFileSync(lock, JSON.stringify({ ...owner, atSeconds: uptime() }));
    const hoursAgo = new Date(Date.now() - 5 * 3_600_000);
    utimesSync(lock, hoursAgo, hoursAgo);
    assert.throws(() => addKernels(file, "machine", () => ["b"], 50), /is held by another process/);
    for (const atSeconds of [uptime() - 120, uptime() + 3600]) {
      writeFileSync(lock, JSON.stringify({ ...owner, atSeconds }));
      const added = addKernels(file, `held since ${atSeconds}`, () => ["c"], 50);
      assert.deepEqual(added, ["c"]);
    }
  });

  test("serves what is measured in the middle of a measurement", () => {
    const file = freshFile();
    const outer = () => {
      addKernels(file, "one library", () => ["inner"]);
      return ["outer"];
    };
    addKernels(file, "both libraries", outer);
    const machines = ["one library", "both libraries"];
    assert.deepEqual(
      machines.map((machine) => readKernels(file, machine).lines),
      [["inner"], ["outer"]],
    );
  });
});

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Foreign, ForeignFunction } from "../ffi/foreign.js";
import { openDnnl, searchDnnl } from "./library.js";

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;

test("a missing library is an outcome with the loader's words and the remedy", () => {
  const { dnnl, reason } = searchDnnl(["libdnnl.so.99"]) as { dnnl: null; reason: string };
  assert.equal(dnnl, null);
  assert.match(reason, /^libdnnl\.so\.99: .*; install oneDNN .*apt-get install libdnnl2/);
});

/** What calls a made-up library that has the symbols of a version but those that are lacking. */
function madeUp(version: readonly number[] | null, lacking: readonly string[] = []): Foreign {
  const told = new Uint8Array(32);
  const words = new DataView(told.buffer);
  for (const [index, part] of (version ?? []).entries()) words.setInt32(4 * index, part, true);
  const find = (symbol: string): ForeignFunction => {
    if (lacking.includes(symbol)) throw new Error(`Cannot find function '${symbol}'`);
    return () => (version === null ? (null as unknown as bigint) : 4096n);
  };
  return {
    open: () => ({ find }),
    addressOf: () => 0n,
    textAt: () => "",
    setDefault() {},
    bytesAt: (_, count) => told.slice(0, count),
  };
}

const unusable: readonly (readonly [title: string, Foreign, reason: RegExp])[] = [
  ["of a version that is not bound", madeUp([4, 1, 0]), /its version is 4\.1\.0, not 2 or 3/],
  ["of the version before those bound", madeUp([1, 8, 3]), /its version is 1\.8\.3, not 2 or 3/],
  ["that does not tell its version", madeUp(null), /it does not tell its version/],
  [
    "of version 2 that lacks a symbol",
    madeUp([2, 7, 0], ["dnnl_primitive_execute"]),
    /find function 'dnnl_primitive_execute'/,
  ],
  [
    "of version 3 that lacks a symbol",
    madeUp([3, 9, 9], ["dnnl_convolution_forward_primitive_desc_create"]),
    /find function 'dnnl_convolution_forward_primitive_desc_create'/,
  ],
];
for (const [title, foreign, reason] of unusable) {
  test(`a library ${title} is passed over for its reason, and nothing of it is called`, () => {
    const found = searchDnnl(["libdnnl.so.2"], () => foreign) as { reason: string };
    assert.match(found.reason, reason);
    assert.match(found.reason, /^libdnnl\.so\.2 can't be used: .*; install oneDNN/);
  });
}

test("without koffi the reason is its, and the remedy an installation", () => {
  const missing = () => {
    throw new Error("Cannot find module 'koffi'");
  };
  const { reason } = searchDnnl(["libdnnl.so.2"], missing) as { reason: string };
  assert.match(
    reason,
    /^koffi, .* can't be loaded \(Cannot find module 'koffi'\); run npm install/,
  );
});

/** The C library that this process has mapped, where that can be read. */
function mappedLibrary(): string | null {
  const maps = existsSync("/proc/self/maps") ? readFileSync("/proc/self/maps", "utf8") : "";
  return /\/\S+\/libc\.so\.6$/m.exec(maps)?.[0] ?? null;
}

const mapped = mappedLibrary();
const unread = mapped === null && "only Linux with GNU's C library tells what is mapped";
const cutTests = { skip: unread };

describe("a library's file that was cut off is passed over, not mapped", cutTests, () => {
  const folder = mkdtempSync(join(tmpdir(), "paceline-library-"));
  after(() => rmSync(folder, { recursive: true }));
  const whole = mapped === null ? Buffer.alloc(0) : readFileSync(mapped);
  const lengths = [0, 5, 63, 64, 100, 4096, Math.floor(whole.length / 2)];
  const paths = lengths.map((length) => join(folder, `cut-${length}.so`));
  let reasons: readonly string[] = [];
  before(() => {
    for (const [index, path] of paths.entries()) {
      writeFileSync(path, whole.subarray(0, lengths[index]));
    }
    // In a process of its own, which the fault would kill.
    const module = new URL("library.js", import.meta.url).href;
    const program = `
      const { searchDnnl } = await import(${JSON.stringify(module)});
      for (const path of ${JSON.stringify(paths)})
        console.log(JSON.stringify(searchDnnl([path, "libdnnl.so.99"]).reason));`;
    const words = ["--input-type=module", "--eval", program];
    const child = spawnSync(process.execPath, words, { timeout: 60_000, encoding: "utf8" });
    assert.deepEqual([child.status, child.signal, child.stderr], [0, null, ""], child.stdout);
    reasons = child.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as string);
  });
  for (const [index, length] of lengths.entries()) {
    test(`after ${length} of ${whole.length} bytes`, () => {
      const wanted = length < 64 ? /file too short/ : /is cut off, with \d+ of \d+ bytes/;
      assert.match(reasons[index]!, wanted);
      assert.match(reasons[index]!, /install oneDNN/);
    });
  }
});

describe("a library that is here", { skip }, () => {
  test("is found with its version and the instruction set", () => {
    assert.ok(opened.dnnl !== null);
    assert.match(opened.dnnl.version, /^[23]\.\d+\.\d+$/);
    assert.equal(Number(opened.dnnl.version[0]), opened.dnnl.abi);
    assert.ok(opened.dnnl.instructionSet.length > 0);
    assert.equal(openDnnl(), opened);
  });

  test("is passed over for its reason when it lacks a symbol", () => {
    const [other] = ["libc.so.6", "libSystem.B.dylib"].filter((_, index) =>
      process.platform === "darwin" ? index === 1 : index === 0,
    );
    const found = searchDnnl([other as string]) as { reason: string };
    assert.match(found.reason, /can't be used: .*dnnl_version.*; install oneDNN/);
    assert.ok(opened.dnnl !== null);
    const second = searchDnnl([other as string, opened.name]);
    assert.equal(second.dnnl?.version, opened.dnnl.version);
  });

  test("has plain and open formats with the sizes of their values", () => {
    assert.ok(opened.dnnl !== null);
    const { dnnl } = opened;
    assert.equal(dnnl.plain([2, 3, 5, 7], "f32").bytes, 4 * 210);
    assert.equal(dnnl.plain([2, 3, 5, 7], "bf16").bytes, 2 * 210);
    assert.equal(dnnl.any([2, 3], "f32").bytes, 0);
    assert.ok(dnnl.same(dnnl.plain([4, 5], "f32"), dnnl.plain([4, 5], "f32")));
    assert.ok(!dnnl.same(dnnl.plain([4, 5], "f32"), dnnl.plain([5, 4], "f32")));
  });

  test("ends cleanly with threads that computed and were ended, twenty times", () => {
    const base = new URL("..", import.meta.url).href;
    const thread = `
      const { parentPort } = await import("node:worker_threads");
      const { createOneDnnEngine } = await import("${base}onednn/engine.js");
      const { bindStandalone } = await import("${base}standalone.js");
      const { buildModel } = await import("${base}models.js");
      const { engine } = createOneDnnEngine({ dtype: "f32", threads: 2 });
      const graph = buildModel("resnet20", { inputShape: [3, 8, 8] });
      const model = bindStandalone(engine, graph, 1, 4);
      const batch = { x: new Float32Array(4 * 192).fill(0.5), y: new Int32Array(4), n: 4 };
      parentPort.postMessage(model.executor.step(batch, [], () => {}).lossSum);
      parentPort.on("message", () => {});`;
    const program = `
      import { Worker } from "node:worker_threads";
      const losses = new Set();
      for (let round = 0; round < 20; round++) {
        const worker = new Worker(new URL(${JSON.stringify(
          `data:text/javascript,${encodeURIComponent(thread)}`,
        )}), { execArgv: [] });
        losses.add(await new Promise((resolve, reject) => {
          worker.on("message", resolve);
          worker.on("error", reject);
        }));
        await worker.terminate();
      }
      console.log(losses.size);`;
    const words = ["--input-type=module", "--eval", program];
    const child = spawnSync(process.execPath, words, { timeout: 240_000, encoding: "utf8" });
    assert.deepEqual(
      { ...child, stdout: child.stdout.trim() },
      { ...child, status: 0, signal: null, stderr: "", stdout: "1" },
    );
  });
});

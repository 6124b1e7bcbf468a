import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { openDnnl, searchDnnl } from "./library.js";

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;

test("a missing library is an outcome with the loader's words and the remedy", () => {
  const { dnnl, reason } = searchDnnl(["libdnnl.so.99"]) as { dnnl: null; reason: string };
  assert.equal(dnnl, null);
  assert.match(reason, /^libdnnl\.so\.99: .*; install oneDNN .*apt-get install libdnnl2/);
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

  test("has plain and open layouts with the sizes of their values", () => {
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
      const { bindStandalone } = await import("${base}engine/standalone.js");
      const { buildModel } = await import("${base}nn/models.js");
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
    const child = spawnSync(process.execPath, words, { timeout: 60_000, encoding: "utf8" });
    assert.deepEqual(
      { ...child, stdout: child.stdout.trim() },
      { ...child, status: 0, signal: null, stderr: "", stdout: "1" },
    );
  });
});

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { openDnnl } from "./library.js";

const opened = openDnnl();
const skip = opened.dnnl === null && opened.reason;

/** A program's output; it has a small model's `bind` and `batch`, and `residentBytes`. */
function run(program: string): string {
  const base = new URL("..", import.meta.url).href;
  const whole = `
    import { createOneDnnEngine } from "${base}onednn/engine.js";
    import { bindStandalone } from "${base}standalone.js";
    import { buildModel } from "${base}models.js";
    const { engine } = createOneDnnEngine({ dtype: "f32", threads: 1 });
    const graph = buildModel("cnn6", { inputShape: [3, 8, 8] });
    const bind = () => bindStandalone(engine, graph, 1, 4);
    const batch = { x: new Float32Array(4 * 192).fill(0.1), y: new Int32Array(4), n: 4 };
    const residentBytes = () => {
      gc();
      const { rss, arrayBuffers } = process.memoryUsage();
      return rss - arrayBuffers;
    };
    ${program}`;
  const words = ["--expose-gc", "--input-type=module", "--eval", whole];
  const child = spawnSync(process.execPath, words, { timeout: 60_000, encoding: "utf8" });
  assert.deepEqual([child.status, child.signal, child.stderr], [0, null, ""]);
  return child.stdout;
}

describe("memory of a process that computes for long", { skip }, () => {
  test("gets equal gradients from a thousand equal steps, in memory that stays", () => {
    const output = run(`
      const model = bind();
      let [equal, early] = [0, 0];
      model.executor.step(batch, ["seed"], () => {});
      const first = model.gradients.slice();
      for (let step = 1; step <= 1000; step++) {
        model.gradients.fill(NaN);
        model.executor.step(batch, ["seed"], () => {});
        if (Buffer.from(model.gradients.buffer).equals(Buffer.from(first.buffer))) equal++;
        if (step === 200) early = residentBytes();
      }
      console.log(equal, residentBytes() - early);
      model.executor.close();`);
    const [equal, grownBytes] = output.split(" ").map(Number) as [number, number];
    assert.equal(equal, 1000);
    assert.ok(grownBytes < 4e6, `${grownBytes} bytes more than after 200 steps`);
  });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ringBalance, ringLoadBalance } from "./ring-chart.js";

describe("load balance of the ring", () => {
  const chart = ringLoadBalance([2, 5]);
  const [panel] = chart.panels;
  const lines = panel!.kind === "lines" ? panel!.lines : [];

  test("the published points stand beside 5 servers only", () => {
    const labels = lines.map(({ label }) => label);
    assert.deepEqual(labels, ["2 servers", "5 servers", "5, published"]);
    assert.equal(chart.captions.length, 2);
    assert.equal(ringLoadBalance([2]).captions.length, 1);
  });
  for (const [index, published] of [0.527, 0.637, 0.839, 0.858, 0.891].entries()) {
    const { x, y, std } = lines[1]!.points[index]!;
    test(`5 servers at ${x} places each are near the published ${published}`, () => {
      assert.ok(Math.abs(y - published) < 0.03, `${y}`);
      assert.ok(std! > 0 && std! < 0.1, `${std}`);
      assert.equal(lines[2]!.points[index]!.y, published);
    });
  }
  test("is that of 20 draws, each between 1 / servers and 1", () => {
    const draws = ringBalance(4, 1);
    assert.equal(draws.length, 20);
    for (const draw of draws) assert.ok(draw >= 0.25 && draw <= 1, `${draw}`);
  });
});

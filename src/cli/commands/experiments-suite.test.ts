import assert from "node:assert/strict";
import { test } from "node:test";
import { demandCells, TableOfRuns } from "./experiments-suite.js";

test("a priority that no cell has is refused", () => {
  const cells = [{ priority: "medium" }, { priority: "medium" }] as const;
  assert.throws(() => demandCells(cells, "high", "m.yaml"), {
    code: "usage",
    message: "no cell of m.yaml is at or above high (all are medium); leave --priority out",
  });
  demandCells(cells, "medium", "m.yaml");
  demandCells([...cells, { priority: "high" }], "high", "m.yaml");
  demandCells(cells, null, "m.yaml");
});

test("an empty list in a matrix or a configuration is one", () => {
  const options = new TableOfRuns({});
  for (const name of ["inject", "lr-milestones"]) {
    assert.deepEqual([...options.read(name, null, "m.yaml")], [[name, ""]]);
  }
});

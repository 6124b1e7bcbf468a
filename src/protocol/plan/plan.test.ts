import assert from "node:assert/strict";
import { test } from "node:test";
import { type PlannedPhase, paceTaken } from "./plan.js";

const phase = (mode: string): PlannedPhase => ({
  ...{ protocol: { mode }, end: null, plateau: null, lrFactor: 1 },
  ...{ momentum: null, checkpointEvery: null },
});
const taken = (...modes: string[]) =>
  modes.map((mode, place) => ({ mode, fromStep: place, fromExamples: 4 * place }));

test("a run is named by the modes that it has entered where these are not its plan's", () => {
  const plain = { protocol: { mode: "bsp" }, plan: [] };
  const planned = { ...plain, plan: [phase("bsp"), phase("asp")] };
  assert.equal(paceTaken(plain, []), "bsp");
  assert.equal(paceTaken(plain, taken("bsp")), "bsp");
  assert.equal(paceTaken(planned, taken("bsp")), "bsp-asp", "it ended before the second");
  assert.equal(paceTaken(planned, taken("bsp", "asp")), "bsp-asp");
  assert.equal(paceTaken(planned, taken("bsp", "ssp")), "bsp-ssp");
  assert.equal(paceTaken(plain, taken("bsp", "asp")), "bsp-asp");
  const often = taken("bsp", "asp", "bsp", "ssp", "bsp", "asp", "bsp", "asp");
  assert.equal(paceTaken(plain, often.slice(0, 6)), "bsp-asp-bsp-ssp-bsp-asp");
  assert.equal(paceTaken(plain, often), "bsp-asp-bsp-ssp-bsp-3 more");
});

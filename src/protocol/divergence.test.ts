import assert from "node:assert/strict";
import { test } from "node:test";
import { divergence, explodedLoss, guessLoss } from "./divergence.js";

test("a loss has exploded above a hundred times that of a guess, whatever the classes", () => {
  const cases: [loss: number, classes: number, exploded: boolean][] = [
    [2.3, 10, false],
    [230, 10, false],
    [231, 10, true],
    [231, 100, false],
    [69, 2, false],
    [70, 2, true],
    [1e30, 10, true],
    [Number.POSITIVE_INFINITY, 10, true],
    [Number.NaN, 10, true],
  ];
  for (const [loss, classes, exploded] of cases) {
    assert.equal(explodedLoss({ loss }, classes) !== null, exploded, `${loss} of ${classes}`);
  }
  assert.equal(guessLoss(2), Math.log(2));
});

test("a model is ruined when its loss has exploded and it knows no more than a guess", () => {
  const cases: [loss: number, accuracyPercent: number, classes: number, ruined: boolean][] = [
    [1e30, 10, 10, true],
    [1e30, 19, 10, true],
    [1e30, 19.1, 10, false],
    [2.3, 10, 10, false],
    [500, 97, 10, false],
    [1e6, 50, 2, true],
    [1e6, 55.1, 2, false],
  ];
  for (const [loss, accuracyPercent, classes, ruined] of cases) {
    const sentence = divergence({ loss, accuracyPercent }, classes);
    assert.equal(sentence !== null, ruined, `${loss}, ${accuracyPercent} %, ${classes}`);
  }
  assert.equal(
    divergence({ loss: 1e30, accuracyPercent: 9.8 }, 10),
    "loss 1.000e+30 is more than 100 times that of a guess (2.303) and accuracy 9.80% is that of " +
      "one: training has diverged, lower --lr, or look at the data",
  );
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Axis,
  axisAround,
  axisFromZero,
  decadesAxis,
  linearAxis,
  logAxis,
  positionOn,
  powersAxis,
  threeDigits,
  timeUnit,
  wholeAxis,
} from "./axes.js";

const texts = ({ ticks }: Axis) => ticks.map(({ text }) => text).join(" ");

describe("ticks", () => {
  const cases: readonly (readonly [string, Axis, string])[] = [
    ["of small numbers", linearAxis("", 0, 0.031), "0.00 0.01 0.02 0.03 0.04"],
    ["of large ones", linearAxis("", 0, 1320), "0 500 1000 1500"],
    ["by quarters", linearAxis("", 0, 110), "0 25 50 75 100 125"],
    ["by halves of five", linearAxis("", 0, 11), "0.0 2.5 5.0 7.5 10.0 12.5"],
    ["of one value", axisFromZero("", [7]), "0 2 4 6 8"],
    ["of nothing but zero", axisFromZero("", [0]), "0.0 0.2 0.4 0.6 0.8 1.0"],
    ["of a loss below zero", axisFromZero("", [-1, 3]), "-1 0 1 2 3"],
    ["of one epoch", wholeAxis("", 1, 1), "1"],
    ["of three epochs", wholeAxis("", 1, 3), "1 2 3"],
    ["of twenty epochs", wholeAxis("", 1, 20), "1 5 10 15 20"],
    ["of a hundred epochs", wholeAxis("", 1, 100), "1 20 40 60 80 100"],
    ["of worker counts", logAxis("", 2, [4, 1, 2, 4]), "1 2 4"],
    ["of crowded worker counts", logAxis("", 2, [1, 2, 3, 24, 31, 32]), "1 2 3   32"],
    ["of speed-ups below one", powersAxis("", [0.4, 1, 2.2]), "1/4 1/2 1 2 4"],
    ["of a wide time", decadesAxis("", 0.4, 90), "0.2 0.5 1 2 5 10 20 50"],
  ];
  for (const [name, axis, wanted] of cases) {
    test(name, () => assert.equal(texts(axis), wanted));
  }
  for (const [low, high] of [
    [0, 1e-6],
    [0, 3e7],
    [0, 0.1 + 0.2],
    [97.7, 97.9],
    [-5, -4.9],
  ] as const) {
    test(`from ${low} to ${high} hold both, each once`, () => {
      const { ticks, domain } = linearAxis("", low, high);
      assert.ok(domain[0] <= low + 1e-9 && domain[1] >= high - 1e-9, String(domain));
      assert.ok(ticks.length >= 3 && ticks.length <= 8, texts({ ...linearAxis("", low, high) }));
      assert.equal(new Set(ticks.map(({ text }) => text)).size, ticks.length);
    });
  }
});

describe("an axis of accuracies", () => {
  test("does not blow up what is close together, and says where it starts", () => {
    const { domain, title } = axisAround("accuracy (%)", [97.8, 97.9], 2);
    assert.ok(domain[1] - domain[0] >= 2, String(domain));
    assert.equal(title, "accuracy (%), axis not from 0");
  });
  test("starts at zero where values lie far apart", () => {
    const { domain, title } = axisAround("accuracy (%)", [10, 97], 2);
    assert.deepEqual(domain, [0, 100]);
    assert.equal(title, "accuracy (%)");
  });
  test("ends at 100", () => {
    assert.equal(axisAround("", [99.9, 99.95], 2).domain[1], 100);
  });
  test("of zeros starts at zero", () => {
    assert.deepEqual(axisAround("", [0, 0], 2).domain[0], 0);
  });
});

describe("places, units and digits", () => {
  test("a place on each kind of axis", () => {
    assert.equal(positionOn(linearAxis("", 0, 10), 5), 0.5);
    const log = { title: "", scale: "log2", domain: [1, 16], ticks: [] } as const;
    assert.equal(positionOn(log, 4), 0.5);
  });
  const units: readonly (readonly [number, string])[] = [
    [0.02, "ms"],
    [96, "s"],
    [299, "s"],
    [1320, "min"],
    [20_000, "h"],
  ];
  for (const [seconds, name] of units) {
    test(`${seconds} s read well in ${name}`, () => {
      assert.equal(timeUnit([1e-3, seconds]).name, name);
    });
  }
  test("three digits count", () => {
    const shown = [0, 0.00123, 0.123, 1.234, 12.34, 123.4, 12_345].map(threeDigits);
    assert.deepEqual(shown, ["0", "0.0012", "0.123", "1.23", "12.3", "123", "12345"]);
  });
});

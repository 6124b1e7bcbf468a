import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ckptFrequency, hparams } from "./option-plan.js";
import {
  address,
  augmentation,
  cadence,
  choice,
  duration,
  host,
  listOf,
  optional,
  real,
  serverRange,
  share,
  timedCadence,
  toggle,
  type ValueType,
  whole,
  workerRange,
} from "./option-values.js";

const mode = choice(["bsp", "asp"], { sync: "bsp" });
const seconds = duration(100, 3_600_000);

const read: readonly (readonly [ValueType<never>, string, unknown])[] = [
  [whole(1, 9), "7", 7],
  [real("[0, 1]"), "1e-3", 0.001],
  [share, "0.05", 0.05],
  [share, "5%", 0.05],
  [toggle, "yes", true],
  [toggle, "0", false],
  [mode, "asp", "asp"],
  [mode, "sync", "bsp"],
  [seconds, "250ms", 250],
  [seconds, "1.5s", 1500],
  [seconds, "1h", 3_600_000],
  [seconds, "10min", 600_000],
  [seconds, "2min", 120_000],
  [cadence, "5it", { unit: "step", count: 5 }],
  [cadence, "1e", { unit: "epoch", count: 1 }],
  [optional(cadence), "none", null],
  [listOf(share, ","), "50%, 0.75", [0.5, 0.75]],
  [listOf(share, ","), "", []],
  [workerRange, "4", { min: 1, max: 4 }],
  [workerRange, "2:8", { min: 2, max: 8, start: 2 }],
  [workerRange, "1024", { min: 1, max: 1024 }],
  [serverRange, "3", { min: 3, max: 3 }],
  [serverRange, "2:4", { min: 2, max: 4 }],
  [address(null), "[::1]:8000", "[::1]:8000"],
  [address(8000), "::1", "[::1]:8000"],
  [address(8000), "head", "head:8000"],
  [host, "[::1]", "::1"],
  [host, "::1:2", "::1:2"],
  [host, "fe80::1%eth0", "fe80::1%eth0"],
] as never;

const refused: readonly (readonly [ValueType<unknown>, string, string])[] = [
  [whole(1, 9), "0", "is below 1"],
  [whole(1, 9), "10", "is above 9"],
  [whole(1, 9), "2.5", "is not a whole number"],
  [whole(1, 9), "", "is not a whole number"],
  [real("[0, 1]"), "Infinity", "is not a number"],
  [real("[0, 1]"), " ", "is not a number"],
  [share, "%", "is not a share"],
  [share, "101%", "is above 1"],
  [toggle, "maybe", "is neither true nor false"],
  [mode, "bps", "is unknown"],
  [mode, "toString", "is unknown"],
  [seconds, "30", "is not a time"],
  [seconds, "99ms", "is below 100ms"],
  [seconds, "2h", "is above 1h"],
  [cadence, "5", "is not a cadence"],
  [cadence, "0e", "is below 1"],
  [cadence, "99999999999999999999it", "is above 2000000000"],
  [timedCadence, "2000000001s", "is above 2000000000s"],
  [augmentation, "crop:4,crop:8", "has crop twice"],
  [listOf(share, ","), "0.5,x", "is not a share"],
  [serverRange, "0", "is below 1"],
  [serverRange, "257", "is above 256"],
  [serverRange, "1:257", "is above 256"],
  [serverRange, "4:2", "has its minimum above its maximum"],
  [serverRange, "two", "is not a count of servers"],
  [workerRange, "0", "is below 1"],
  [workerRange, "0:4", "is below 1"],
  [workerRange, "1025", "is above 1024"],
  [workerRange, "8:2", "has its minimum above its maximum"],
  [workerRange, "four", "is not a count of workers"],
  [address(null), "here", "has no port"],
  [address(8000), "here:0", "has the port 0"],
  [address(8000), "a b", "is not host:port"],
  [address(8000), "here:70000", "has a port above 65535"],
  [host, "here:8000", "has a port"],
  [host, "http://here", "is not an address"],
];

describe("option values", () => {
  for (const [type, text, value] of read) {
    test(`"${text}" is read as ${JSON.stringify(value)}`, () => {
      assert.deepEqual(type.parse(text), { value });
    });
    test(`${JSON.stringify(value)} is printed as what reads the same`, () => {
      assert.deepEqual(type.parse(type.print(value as never)), { value });
    });
  }
  for (const [type, text, problem] of refused) {
    test(`"${text}" ${problem}`, () => {
      assert.deepEqual(type.parse(text), { problem });
    });
  }
  test("any duration in range is printed as what reads the same", () => {
    const property = fc.property(fc.integer({ min: 100, max: 3_600_000 }), (milliseconds) => {
      assert.deepEqual(seconds.parse(seconds.print(milliseconds)), { value: milliseconds });
    });
    fc.assert(property, { seed: 1 });
  });
});

test("hparams and cadences of phases are read and written back as they were", () => {
  for (const text of ["lr=0.8;lr=0.1,momentum=0.5", ";momentum=0", ";", "momentum=0.25", ""]) {
    const read = hparams.parse(text);
    assert.ok("value" in read, text);
    assert.equal(hparams.print(read.value), text);
  }
  const named = hparams.parse("learning_rate=0.8;");
  assert.ok("value" in named && named.value[0]?.lr === 0.8 && named.value.length === 2);
  const refused: readonly (readonly [string, RegExp])[] = [
    ["lr=0", /has lr=0, which/],
    ["momentum=1", /has momentum=1, which/],
    ["lr=0.1,lr=0.2", /says lr twice/],
    ["lr", /has lr, which/],
    ["weight_decay=0.1", /"weight_decay=0.1", which is neither lr nor momentum/],
    [";".repeat(1000), /has 1001 phases/],
  ];
  for (const [text, reason] of refused) {
    const read = hparams.parse(text);
    assert.ok("problem" in read, text.slice(0, 20));
    assert.match(read.problem, reason);
  }
  const plain = ckptFrequency.parse("500");
  assert.deepEqual(plain, { value: { unit: "step", count: 500 } });
  assert.ok("problem" in ckptFrequency.parse("0"));
});

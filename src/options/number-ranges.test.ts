/**
 * Every option that is a number, with its range: what lies at each end and just beyond it is tried
 * as text. An option that is added is missed here until its range is written down.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keyOfName, optionKeys, rowOf } from "./options.js";

/** A value inside the end, and one outside it, of each end that has an outside. */
interface Ends {
  readonly taken: readonly string[];
  readonly refused: readonly string[];
}

const wholeEnds = (min: number, max: number): Ends => ({
  taken: [`${min}`, `${max}`],
  refused: [`${min - 1}`, `${max + 1}`, `${min}.5`, "1e1", "0x10", "1_000"],
});
const closed = (min: number, max: number): Ends => ({
  taken: [`${min}`, `${max}`],
  refused: [`${min - 1e-6}`, `${max * 1.000001}`, "1e-50", "-1e-50", "nan", "0x1"],
});
const belowOne: Ends = {
  taken: ["0", "0.9999999", "0.5"],
  refused: ["1", "0.99999999", "-0.1", "1e-50"],
};
const share: Ends = { taken: ["0", "1", "100%"], refused: ["1.01", "101%", "-1%", "1e-50"] };

const ranges: Readonly<Record<string, Ends>> = {
  replicas: wholeEnds(1, 16),
  "max-restarts": wholeEnds(0, 1000),
  port: wholeEnds(0, 65535),
  jobs: wholeEnds(1, 1000),
  rank: wholeEnds(0, 1023),
  threads: wholeEnds(1, 1024),
  "local-steps": wholeEnds(1, 1_000_000),
  "outer-lr": { taken: ["1e-45", "1000"], refused: ["0", "1e-50", "1000.001", "-1"] },
  "outer-momentum": belowOne,
  staleness: wholeEnds(0, 1_000_000),
  "backup-workers": wholeEnds(0, 1023),
  "staleness-min": wholeEnds(0, 1_000_000),
  quorum: wholeEnds(1, 1024),
  groups: wholeEnds(1, 1024),
  "delay-bound": wholeEnds(1, 1_000_000),
  "staleness-scale": closed(0, 1000),
  "staleness-floor": closed(0, 1),
  "staleness-max": wholeEnds(0, 1_000_000),
  "chunk-values": wholeEnds(1, 262_144),
  vnodes: wholeEnds(1, 10_000),
  "load-bound": closed(1, 100),
  epochs: wholeEnds(1, 1_000_000),
  "max-steps": wholeEnds(1, 2_000_000_000),
  "batch-size": wholeEnds(1, 1_000_000),
  lr: closed(0, 1_000_000),
  "lr-warmup": share,
  "lr-gamma": closed(0, 1),
  momentum: belowOne,
  beta1: belowOne,
  beta2: belowOne,
  epsilon: { taken: ["1e-45", "1"], refused: ["0", "1e-50", "1.0000002", "-1"] },
  "weight-decay": closed(0, 1000),
  "weight-decay-plain": closed(0, 1000),
  "batch-norm-momentum": closed(0, 1),
  seed: wholeEnds(0, 4_294_967_295),
  "as-workers": wholeEnds(1, 1024),
  "train-limit": wholeEnds(1, 2_000_000_000),
  "test-limit": wholeEnds(1, 2_000_000_000),
  keep: wholeEnds(1, 1_000_000),
};

const cadences = ["1it", "2000000000it", "2000000000e"];
const wild = `${"9".repeat(400)}it`;
const wildCadences = ["0it", "2000000001it", "2000000001e", "99999999999999999999it", wild];
const manyShares = (count: number) => Array.from({ length: count }, () => "0.5").join(",");

/** Options whose text is more than one number. */
const withinTexts: Readonly<Record<string, Ends>> = {
  "eval-every": { taken: cadences, refused: [...wildCadences, "1s"] },
  "log-every": { taken: cadences, refused: [...wildCadences, "1s"] },
  "checkpoint-every": {
    taken: [...cadences, "1s", "2000000000s", "555555h"],
    refused: [...wildCadences, "0s", "2000000001s", "555556h", `${"9".repeat(400)}h`],
  },
  "lr-milestones": {
    taken: ["0,1", manyShares(1024)],
    refused: ["0,1.01", "-0.1", manyShares(1025)],
  },
  augment: {
    taken: ["crop:0", "crop:999,flip"],
    refused: ["crop:1000", "crop:-1", "crop:1,crop:2"],
  },
  servers: { taken: ["1", "1:256"], refused: ["0:1", "1:257", "99999999999999999999"] },
  workers: { taken: ["1", "1:1024"], refused: ["0:1", "1:1025", "99999999999999999999"] },
  compress: { taken: ["topk:0.25", "topk:1e-7"], refused: ["topk:0", "topk:0.26", "topk:1e-50"] },
  "compress-pull": { taken: ["topk:25%"], refused: ["topk:26%", "topk:nan", "topk:1e400"] },
};

describe("numbers within a text", () => {
  for (const [name, { taken, refused }] of Object.entries(withinTexts)) {
    test(`of --${name} are taken up to their ends and not beyond`, () => {
      const { type } = rowOf(keyOfName(name)!);
      for (const text of taken) assert.ok("value" in type.parse(text), text.slice(0, 40));
      for (const text of refused) assert.ok("problem" in type.parse(text), text.slice(0, 40));
    });
  }
  test("of a time have an end of their own wherever a time is written", () => {
    const times = optionKeys.map(rowOf).filter(({ type }) => type.placeholder === "time");
    assert.ok(times.length > 5);
    for (const { name, type } of times) {
      for (const text of ["999999h", `${"9".repeat(400)}s`, "1e3s", "-1s", "1", ""])
        assert.ok("problem" in type.parse(text), `${name} ${text.slice(0, 20)}`);
    }
  });
});

describe("options that are numbers", () => {
  test("are all in this table", () => {
    const numeric = optionKeys.map(rowOf).filter(({ type }) => type.interval !== undefined);
    assert.deepEqual(numeric.map(({ name }) => name).sort(), Object.keys(ranges).sort());
  });
  for (const { name, type } of optionKeys.map(rowOf)) {
    const ends = ranges[name];
    if (ends === undefined) continue;
    test(`--${name} takes its ends and nothing beyond them`, () => {
      for (const text of ends.taken) assert.ok("value" in type.parse(text), `${name} ${text}`);
      for (const text of ends.refused) assert.ok("problem" in type.parse(text), `${name} ${text}`);
    });
  }
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { linkType } from "../harness/link.js";
import { growthTable } from "./push-growth.js";
import {
  compressionPair,
  plainWire,
  type WireSetup,
  wireOptions,
  wireSetupsOf,
  wireTitle,
} from "./wire-setups.js";
import { linkSeconds, stepsFor, stepsOfMoving, valuesOf } from "./workload.js";

function wireOf(link: string, pair: string): WireSetup {
  const links = wireOptions.links.type.parse(link);
  const compressions = wireOptions.compressions.type.parse(pair);
  assert.ok("value" in links && "value" in compressions, `${link} ${pair}`);
  return wireSetupsOf({ links: links.value, compressions: compressions.value })[0]!;
}

describe("wire setups of a run", () => {
  test("a push alone leaves pulls as they are, and a pair says both", () => {
    const plain = { codec: "none", share: 1 };
    const topk = { codec: "topk", share: 0.01 };
    assert.deepEqual(compressionPair.parse("topk"), { value: { push: topk, pull: plain } });
    const both = { push: topk, pull: { codec: "onebit", share: 1 } };
    assert.deepEqual(compressionPair.parse("topk:1%+onebit"), { value: both });
    assert.equal(compressionPair.print(both as never), "topk:0.01+onebit");
  });

  const refused: [text: string, problem: string][] = [
    ["zip", "has a push that is unknown"],
    ["fp16+int8", "has a pull that is unknown"],
    ["none+auto", "has a pull that is unknown"],
    ["topk:0.5+none", "has a push that has a share that is above 0.25"],
    ["fp16+fp16+fp16", "has more than a push and a pull"],
    ["fp16+", "has a pull that is unknown"],
  ];
  for (const [text, problem] of refused) {
    test(`${text} ${problem}`, () => {
      assert.deepEqual(compressionPair.parse(text), { problem });
    });
  }

  test("every link is measured with every compression, and rows are named by both", () => {
    const links = [null, { bitsPerSecond: 1e8, delayMs: 5 }];
    const pairs = ["none", "onebit+onebit"].map((text) => wireOf("none", text).compression);
    const titles = wireSetupsOf({ links, compressions: pairs }).map(wireTitle);
    assert.deepEqual(titles, ["", "/onebit+onebit", "/100Mb/s/5ms", "/100Mb/s/5ms/onebit+onebit"]);
  });
});

describe("how many steps a measured run takes", () => {
  const exchange = { model: "resnet18", workers: 2, servers: 1 };

  test("the fuller direction of a server's link is what a step's bytes occupy", () => {
    const values = valuesOf("resnet18");
    assert.equal(linkSeconds({ ...exchange, wire: plainWire }), 0);
    const raw = linkSeconds({ ...exchange, wire: wireOf("100Mb/s", "none") });
    assert.equal(raw, (32 * values * 2) / 1e8);
    assert.ok(raw > 7 && raw < 7.5, `${raw} s`);
    const half = { ...exchange, servers: 2, wire: wireOf("100Mb/s/5ms", "onebit+fp16") };
    assert.equal(linkSeconds(half), raw / 4 + 0.01);
  });

  const counts: [link: string, pair: string, steps: number][] = [
    ["none", "none", 5],
    ["10Gb/s", "none", 5],
    ["100Mb/s", "none", 2],
    ["100Mb/s", "topk:0.01+topk:0.01", 5],
    ["100Mb/s", "fp16+fp16", 2],
    ["none", "auto", 15],
  ];
  for (const [link, pair, steps] of counts) {
    test(`${steps} of at most 5 over ${link} with ${pair}`, () => {
      const most = pair === "auto" ? 3 : 5;
      assert.equal(stepsFor({ ...exchange, wire: wireOf(link, pair) }, most), steps);
    });
  }

  test("where nothing is computed, more of small models and fewer of many workers", () => {
    const stepsOf = (model: string, workers: number) =>
      stepsOfMoving({ model, workers, servers: 1, wire: plainWire });
    assert.ok(stepsOf("logistic", 1) > 4000);
    assert.ok(stepsOf("logistic", 16) > 200 && stepsOf("logistic", 16) < 600);
    assert.ok(stepsOf("resnet18", 1) > 40 && stepsOf("resnet18", 1) < 100);
  });
});

describe("the table of how pushes grow", () => {
  const rate = (series: string, servers: number, workers: number, perServer: number) => ({
    ...{ series, servers, workers },
    perServer: () => perServer,
  });

  test("sets each count beside the first of its series", () => {
    const rates = [rate("unix", 1, 1, 2000), rate("tcp", 1, 1, 5), rate("unix", 2, 4, 1500)];
    assert.deepEqual(growthTable(rates), [
      "How pushes of chunks grow over unix, against the first line:",
      "Servers  Workers  Pushes/s a server          Pushes/s of all",
      "      1        1               2000  1.00 x             2000  1.00 x",
      "      2        4               1500  0.75 x             3000  1.50 x",
    ]);
  });

  test("is not there where nothing can be compared", () => {
    assert.deepEqual(growthTable([rate("unix", 1, 1, 2000)]), []);
  });
});

test("a link is read as it is written in a list", () => {
  const { type } = wireOptions.links;
  const parsed = linkType.parse("1Gb/s");
  assert.ok("value" in parsed);
  assert.deepEqual(type.parse("none, 1Gb/s"), { value: [null, parsed.value] });
  assert.match(JSON.stringify(type.parse("none,fast")), /has \\"fast\\", which is not a link/);
});

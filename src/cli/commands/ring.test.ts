import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { OptionKey } from "../../options/options.js";
import { resolve } from "../../options/resolve.js";
import { printRing, ringReport } from "./ring.js";

function ring(flags: Partial<Record<OptionKey, string>>, removed: string | null = null) {
  const scalar = { chunkValues: "1", loadBound: "none", ...flags };
  const written = new Map(Object.entries(scalar) as [OptionKey, string][]);
  return ringReport(resolve("ring", { flags: written }).options, removed);
}

// The published placement of 784 weights and one bias, each its own key, 100 virtual nodes a
// server.
describe("the plain ring over 785 scalar keys", () => {
  for (const [servers, loads] of [
    ["2", [391, 394]],
    ["4", [184, 198, 191, 212]],
    ["5", [160, 155, 143, 173, 154]],
  ] as const) {
    test(`${servers} servers hold ${loads.join(", ")}`, () => {
      assert.deepEqual(Object.values(ring({ servers }).loads), loads);
    });
  }
  test("removing server4 of 5 moves exactly its 154 keys", () => {
    const report = ring({}, "server4");
    assert.deepEqual(report.moved, { server0: 24, server1: 43, server2: 48, server3: 39 });
    assert.deepEqual(report.loadsAfter, { server0: 184, server1: 198, server2: 191, server3: 212 });
  });
});

test("a model's stem is laid out as its values are", () => {
  const chunked = { chunkValues: "262144", model: "resnet18", servers: "1" } as const;
  const small = ring(chunked).loads.server0!;
  const large = ring({ ...chunked, stem: "imagenet" }).loads.server0!;
  assert.equal(large - small, 64 * 3 * (49 - 9));
  assert.throws(
    () => ring({ ...chunked, model: "mlp", stem: "imagenet" }),
    /--stem has no effect with --model mlp; leave it out or set --model resnet18 or /,
  );
});

describe("bounded load", () => {
  test("keeps every server within the bound", () => {
    const { loads } = ring({ loadBound: "1.05" });
    assert.ok(Math.max(...Object.values(loads)) <= Math.ceil((1.05 * 785) / 5));
  });
  test("what moves adds up with what is gained and lost", () => {
    const { loads, loadsAfter, moved } = ring({ servers: "12", loadBound: "1.05" }, "server11");
    const before = Object.values(loads).reduce((sum, load) => sum + load, 0);
    const after = Object.values(loadsAfter!).reduce((sum, load) => sum + load, 0);
    assert.equal(before, after);
    const gained = Object.values(moved).reduce((sum, load) => sum + load, 0);
    assert.ok(gained >= loads.server11!);
  });
});

test("the table shows gains and the server that leaves", () => {
  const text = printRing(ring({}, "server4"), "server4");
  assert.match(text, /server1 +155 +99% of the mean {2}\+43\n/);
  assert.match(text, /server4 +154 +98% of the mean {2}removed\n/);
  assert.match(text, /removing server4 moves 154 of 785 values\n$/);
});

test("the only server can't be removed", () => {
  assert.throws(() => ring({ servers: "1" }, "server0"), { code: "usage", message: /no server/ });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { casesOf } from "../dist/core/testing/seeds.js";
import { makePlace } from "./run-paceline.js";

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly ratio?: number;
}

const tiny = ["--model", "logistic", "--rounds", "1", "--steps", "20"];

/** Each run starts three processes and more; a busy computer takes a while for some of them. */
const limitMs = 240_000;

/** What would end every run that listened to it. */
const hostile = { PACELINE_MODE: "nonsense", PACELINE_LEASE: "never", RANK: "7" };

const commands: {
  what: string;
  words: readonly string[];
  rows: readonly string[];
  told: RegExp;
}[] = [
  {
    what: "links, compressions and certificates",
    words: ["--link", "20Mb/s/1ms", "--compress", "topk:0.01+onebit", "--tls", "certs"],
    rows: [
      "logistic/tcp+tls/s1/w1/20Mb/s/1ms/topk:0.01+onebit beside uncompressed",
      "logistic/tcp+tls/s1/w1/20Mb/s/1ms/topk:0.01+onebit/pushes",
    ],
    told: /^link 20Mb\/s: the proxy carries 0\.0\d+ Gb\/s each way at a time here/m,
  },
  {
    what: "counts of servers and workers",
    words: ["--servers", "1,2", "--workers", "2", "--chunk-values", "400"],
    rows: ["s1/w2", "s2/w2"].flatMap((counts) => [
      `logistic/tcp/${counts}`,
      `logistic/tcp/${counts}/pushes`,
    ]),
    told: /logistic\/tcp\/s2\/w2: paceline/,
  },
];

describe("paceline bench push-pull measures", () => {
  for (const { what, words, rows, told } of casesOf(commands)) {
    test(what, async (context) => {
      const place = await makePlace(context);
      assert.equal((await place.call(["certs", "init", "--out", "certs"])).exitCode, 0);
      const all = ["bench", "push-pull", ...words, "--transport", "tcp", ...tiny, "--json"];
      const ended = await place.start(all, hostile).end(limitMs);
      assert.equal(ended.exitCode, 0, ended.err);
      const report = JSON.parse(ended.out) as { rows: readonly Row[] };
      const names = report.rows.map(({ name, peer }) =>
        peer === undefined ? name : `${name} beside ${peer}`,
      );
      assert.deepEqual(names, rows);
      for (const { value, ratio = 1, name } of report.rows) assert.ok(value > 0 && ratio > 0, name);
      assert.match(ended.err, told);
    });
  }
});

test("paceline bench train measures over a link, and tells what auto chose", async (context) => {
  const place = await makePlace(context);
  const words = ["--dtype", "f32", "-b", "2", "-w", "1", "--compress", "auto", "--link", "20Mb/s"];
  const all = ["bench", "train", ...words, ...tiny];
  const ended = await place.start(all, hostile).end(limitMs);
  assert.equal(ended.exitCode, 0, ended.err);
  const row = "logistic/f32/b2/w1/s1/20Mb/s/auto";
  assert.match(ended.out, new RegExp(`^${row} +\\d.*  images/s +uncompressed `, "m"));
  assert.match(ended.out, new RegExp(`^${row}: worker 0 chose: a step takes .*`, "m"));
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { searchSwitch } from "./switch-search.js";
import { lookUp, switchTableOf } from "./switch-table.js";

/** As published for ResNet-32 on CIFAR-10 with 8 workers. */
const published = `share,accuracy,seconds
100%,.9188,10532
0%,.8918,1598
2%,.9037,1774
4%,.9127,1956
5%,.9174,2055
6.25%,.9102,2076
10%,.9142,2518
25%,.9186,3870
50%,.9202,5980
75%,.9168,8459
`;

test("on the published table the search ends at 6.25 %, by five shares", async () => {
  const table = switchTableOf(published, "t.csv");
  const settings = { margin: 0.01, trialsMax: 5 };
  const { share, reference, trials } = await searchSwitch(settings, (one) => lookUp(table, one));
  assert.equal(share, 0.0625);
  assert.equal(reference.accuracy, 0.9188);
  assert.deepEqual(
    trials.map(({ asked, share: measured, isEnough }) => [asked, measured, isEnough]),
    [
      [0.5, 0.5, true],
      [0.25, 0.25, true],
      [0.125, 0.1, true],
      [0.0625, 0.0625, true],
      [0.03125, 0.02, false],
    ],
  );
  assert.equal(
    trials[2]!.reason,
    "12.5% in step, taken as 10%, reaches 91.42% over 1 run: at least the 90.88% wanted",
  );
  assert.match(
    trials[4]!.reason,
    /^3\.125% in step, taken as 2%, .*: less than the 90\.88% wanted$/,
  );
});

test("it closes in on the share from which accuracy is enough", async () => {
  await fc.assert(
    fc.asyncProperty(fc.double({ min: 0, max: 1, noNaN: true }), async (least) => {
      const measure = (share: number) => ({ share, runs: 1, accuracy: share >= least ? 0.9 : 0.5 });
      const { share } = await searchSwitch({ margin: 0.01, trialsMax: 20 }, measure);
      assert.ok(share >= least && share - least <= 2 ** -19, `${share} for ${least}`);
    }),
    { seed: 1 },
  );
});

describe("a table of shares", () => {
  test("has fractions or percentages, in any order, and means over runs", () => {
    const texts = [
      "share,accuracy\n1,0.9\n0.5,0.8\n0.5,0.6\n0,0.1\n",
      "accuracy, Share\r\n90, 100\r\n80, 50\r\n60, 50\r\n10, 0\r\n",
      "share,accuracy\n100%,90%\n50%,80%\n50%,60%\n0%,10%",
    ];
    for (const text of texts) {
      assert.deepEqual(switchTableOf(text, "t.csv"), [
        { share: 0, accuracy: 0.1, runs: 1 },
        { share: 0.5, accuracy: 0.7, runs: 2 },
        { share: 1, accuracy: 0.9, runs: 1 },
      ]);
    }
  });
  const wrong: readonly (readonly [string, RegExp])[] = [
    ["", /^t\.csv is empty; write a heading/],
    ["share,loss\n1,2", /has no column accuracy: its heading is share,loss;/],
    ["share,accuracy\n0.5,0.9", /has no row of share 1 \(100%\)/],
    [
      "share,accuracy\n0,0.80\n50%,91%\n1,0.92",
      /line 4: share "1" is a fraction, and line 3: share "50%" a percentage; give all of a/,
    ],
    [
      "share,accuracy\n0%,0.80\n50%,91%\n100%,0.92",
      /line 2: accuracy "0.80" is a fraction, and line 3: accuracy "91%" a percentage/,
    ],
    ["share,accuracy\n0,.8\n1,91", /line 2: accuracy ".8" is a fraction, and line 3/],
    ["share,accuracy\n1,0.9\nhalf,0.8", /line 3: share "half" is not a number/],
    ["share,accuracy\n1,0.9\n0.5", /line 3: accuracy "" is not a number/],
    ["share,accuracy\n100,0.9\n250,0.8", /line 3: share "250" is above 100%/],
    ["share,accuracy\n1,-0.9", /line 2: accuracy "-0.9" is not a number/],
  ];
  for (const [text, message] of wrong) {
    test(`${JSON.stringify(text)} is refused`, () => {
      assert.throws(() => switchTableOf(text, "t.csv"), { code: "usage", message });
    });
  }
  test("knows nothing of less than its least share", () => {
    const table = switchTableOf("share,accuracy\n1,0.9\n0.5,0.8", "t.csv");
    assert.throws(() => lookUp(table, 0.25), {
      code: "usage",
      message: /^the table has no share of 25% or less: the least is 50%; add a row/,
    });
  });
});

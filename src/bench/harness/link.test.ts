import assert from "node:assert/strict";
import { test } from "node:test";
import { linkTitle, linkType } from "./link.js";

const written: [text: string, bitsPerSecond: number, delayMs: number, title: string][] = [
  ["100Mb/s", 1e8, 0, "100Mb/s"],
  ["1Gb/s/5ms", 1e9, 5, "1Gb/s/5ms"],
  ["1.5Gb/s", 1.5e9, 0, "1500Mb/s"],
  ["256kb/s/1s", 256e3, 1000, "256kb/s/1s"],
  ["10Gb/s/0ms", 1e10, 0, "10Gb/s"],
];
for (const [text, bitsPerSecond, delayMs, title] of written) {
  test(`${text} is a link, and is shown as ${title}`, () => {
    assert.deepEqual(linkType.parse(text), { value: { bitsPerSecond, delayMs } });
    assert.equal(linkTitle({ bitsPerSecond, delayMs }), title);
    assert.deepEqual(linkType.parse(title), { value: { bitsPerSecond, delayMs } });
  });
}

const refused: [text: string, problem: string][] = [
  ["100MB/s", "is not a link"],
  ["100", "is not a link"],
  ["-1Gb/s", "is not a link"],
  ["1Gb/s/", "is not a link"],
  ["1kb/s", "is below 100kb/s"],
  ["101Gb/s", "is above 100Gb/s"],
  ["1Gb/s/5", "has a delay that is not a time"],
  ["1Gb/s/2m", "has a delay that is above 1m"],
];
for (const [text, problem] of refused) {
  test(`${text} ${problem}`, () => {
    assert.deepEqual(linkType.parse(text), { problem });
  });
}

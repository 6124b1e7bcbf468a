import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { readTextFile, readYaml, utf8Text } from "./yaml-file.js";

const scalars: readonly (readonly [string, string | null])[] = [
  ["007", "007"],
  ["1e3", "1e3"],
  ["0x10", "0x10"],
  ["0o17", "0o17"],
  ["1_000", "1_000"],
  ["1.0", "1.0"],
  ["+5", "+5"],
  [".5", ".5"],
  ["123456789012345678901", "123456789012345678901"],
  ["true", "true"],
  ["Yes", "Yes"],
  ["2026-01-02", "2026-01-02"],
  ["12:30:45", "12:30:45"],
  ["2:8", "2:8"],
  [".inf", ".inf"],
  ['"007"', "007"],
  ["'null'", "null"],
  ["!!str 007", "007"],
  ["!!int 007", "007"],
  ["null", null],
  ["~", null],
  ["", null],
];

describe("a scalar of a YAML file", () => {
  for (const [written, text] of scalars) {
    test(`${written || "nothing"} is ${JSON.stringify(text)}`, () => {
      assert.deepEqual(readYaml(`name: ${written}\n`, "f").content, { name: text });
    });
  }
  test("an anchor's value stands where its alias does", () => {
    const { content } = readYaml("a: &x 007\nb: *x\nc: [*x, 1.0]\n", "f");
    assert.deepEqual(content, { a: "007", b: "007", c: ["007", "1.0"] });
  });
});

describe("a YAML file that can't be read is refused with its line and the remedy", () => {
  const refused: readonly (readonly [string, string])[] = [
    ["a: 1\nb: *gone", "f line 2 has the alias *gone of no anchor; write the value in full"],
    ["a: &x\n  b: *x", "f line 2 contains itself; leave the alias out"],
    ["a: 1\na: 2", "f line 2 has a key twice; keep one of the two"],
    ["a:\n\tb: 1", "f line 2 is indented by a tab; use spaces"],
    ["a: 1\n---\nb: 2", "f line 2 begins a second document; keep one"],
    ["a: !word 1", "f line 1 has a tag that is not known; leave the tag out"],
    ["[a]: 1", "f line 1 has a key that is not a word; write a word"],
  ];
  for (const [text, message] of refused) {
    test(message, () => assert.throws(() => readYaml(text, "f"), { code: "usage", message }));
  }
  test("whatever else YAML does not allow is told in its own words", () => {
    const message = /^f line 1 is not YAML \(.+\); correct that line$/;
    assert.throws(() => readYaml("a: [", "f"), { code: "usage", message });
  });
  test("aliases of aliases end before memory does", () => {
    const levels = Array.from({ length: 9 }, (_, index) => {
      const below = index === 0 ? "x" : `*l${index - 1}`;
      return `l${index}: &l${index} [${Array(9).fill(below).join(", ")}]`;
    });
    const message = /more than 100000 values; use fewer aliases/;
    assert.throws(() => readYaml(levels.join("\n"), "f"), { code: "usage", message });
  });
});

describe("a YAML file that is nested too deeply is refused before it is parsed", () => {
  const deep: readonly (readonly [string, string, number])[] = [
    ["lists", "[".repeat(200_000), 1],
    ["closed lists", `a: 1\nb: ${"[".repeat(9000)}${"]".repeat(9000)}`, 2],
    ["mappings", "{a: ".repeat(200_000), 1],
    ["dashes", `${"- ".repeat(100_000)}a`, 1],
    ["lines", Array.from({ length: 900 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"), 100],
  ];
  for (const [what, text, line] of deep) {
    test(what, () => {
      const message = `f line ${line} is nested deeper than 100 levels; write it flatter`;
      assert.throws(() => readYaml(text, "f"), { code: "usage", message });
    });
  }
  test("and one of thirty levels is read", () => {
    const { content } = readYaml(`${"[".repeat(30)}x${"]".repeat(30)}`, "f");
    assert.match(JSON.stringify(content), /^\[{30}"x"\]{30}$/);
  });
});

describe("a text file", () => {
  const folder = mkdtempSync(join(tmpdir(), "paceline-yaml-"));
  after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "f.yaml");

  test("is read up to its limit", () => {
    writeFileSync(path, "a: \u00e9\n");
    assert.equal(readTextFile(path, 6), "a: \u00e9\n");
    const message = `${path} has more than 5 bytes; give the path of a YAML file`;
    assert.throws(() => readTextFile(path, 5), { code: "usage", message });
  });
  test("that never ends is refused", () => {
    assert.throws(() => readTextFile("/dev/zero"), /^PacelineError: .*more than 1000000 bytes/);
  });
  test("that can't be read is the platform's error", () => {
    assert.throws(() => readTextFile(folder), { code: "EISDIR" });
    assert.throws(() => readTextFile(join(folder, "none")), { code: "ENOENT" });
  });
});

describe("the bytes of a text file", () => {
  test("are read without their byte order mark", () => {
    assert.equal(utf8Text(Buffer.from("\ufeffa: é"), "f"), "a: é");
  });
  test("of another encoding are refused with the line", () => {
    const latin = Buffer.from("a: 1\nb: \xe9\n", "latin1");
    const message = "f line 2 is not UTF-8 text; save the file as UTF-8";
    assert.throws(() => utf8Text(latin, "f"), { code: "usage", message });
    const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("a: 1", "utf16le")]);
    assert.throws(() => utf8Text(utf16, "f"), { message: "f is UTF-16 text; save it as UTF-8" });
  });
});

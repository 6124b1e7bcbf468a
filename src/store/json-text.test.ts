import assert from "node:assert/strict";
import { test } from "node:test";
import { isTooDeep, parseJson, repeatedKey } from "./json-text.js";

test("a key that stands twice in one object is told with its place and both values", () => {
  const cases: [text: string, path: string, values: [string, string]][] = [
    ['{"a": 1, "b": 2, "a": 3}', "a", ["1", "3"]],
    ['{"a": {"b": [0, {"c": "x, y", "c": null}]}}', "a.b.c", ['"x, y"', "null"]],
    ['{"a": [{"b": 1}, {"b": 2}], "a": {}}', "a", ["[", "{"]],
    ['{"\\u0061":1,"a":2}', "a", ["1", "2"]],
  ];
  for (const [text, path, values] of cases) {
    assert.deepEqual(repeatedKey(text), { path, values }, text);
    const sentence = `${path} stands twice, as ${values[0]} and ${values[1]}`;
    assert.throws(() => parseJson(text), { name: "SyntaxError", message: sentence });
  }
});

test("equal keys of several objects, and what only looks like a key, are none", () => {
  for (const text of [
    '[{"a": 1}, {"a": 2}]',
    '{"a": {"a": {"a": 1}}}',
    '{"a": "\\"a\\": 1", "b": ["a", "a"]}',
    '{"a": "{", "b": "a"}',
    "7",
  ]) {
    assert.equal(repeatedKey(text), null, text);
    assert.deepEqual(parseJson(text), JSON.parse(text));
  }
  assert.throws(() => parseJson("{"), SyntaxError);
});

test("strings of megabytes are passed over, and told in part", () => {
  const long = `\\n${"x".repeat(20_000_000)}`;
  assert.equal(repeatedKey(`{"a": "${long}", "b": 1}`), null);
  const told = repeatedKey(`{"a": "${long}", "a": 1}`);
  assert.deepEqual(told?.values, [`"${long}`.slice(0, 60), "1"]);
});

test("more than a hundred levels are too deep, brackets in strings are none", () => {
  const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
  assert.equal(isTooDeep(nested(100)), false);
  assert.equal(isTooDeep(nested(101)), true);
  assert.equal(isTooDeep(JSON.stringify({ a: `\\"${"[".repeat(200)}`, b: [[], {}] })), false);
  assert.equal(isTooDeep(`[${"[],".repeat(200)}[]]`), false);
  assert.throws(() => parseJson(nested(1000)), /^SyntaxError: it is nested deeper than 100 levels/);
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { csvLine } from "./runs-csv.js";

/** A reader of RFC 4180, written from its grammar. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (let at = 0; at < text.length; ) {
    let field = "";
    if (text[at] === '"') {
      for (at += 1; text[at] !== '"' || text[at + 1] === '"'; at += 1) {
        field += text[at];
        if (text[at] === '"') at += 1;
      }
      at += 1;
    } else for (; !",\r\n".includes(text[at]!); at += 1) field += text[at];
    row.push(field);
    if (text[at] === ",") {
      at += 1;
      continue;
    }
    assert.equal(text.slice(at, at + 2), "\r\n");
    rows.push(row);
    row = [];
    at += 2;
  }
  return rows;
}

describe("a line of comma-separated values", () => {
  const lines: readonly (readonly [Parameters<typeof csvLine>[0], string])[] = [
    [["a", 1, 0.5, true], "a,1,0.5,true\r\n"],
    [[null, undefined, ""], ",,\r\n"],
    [["a,b", 'say "no"', "two\nlines", "cr\r"], '"a,b","say ""no""","two\nlines","cr\r"\r\n'],
  ];
  for (const [cells, line] of lines) {
    test(JSON.stringify(cells), () => assert.equal(csvLine(cells), line));
  }
  test("is read as what was written, whatever it was", () => {
    const cell = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom(",", '"', "\r", "\n", "a") }),
    );
    fc.assert(
      fc.property(fc.array(fc.array(cell, { minLength: 1 }), { minLength: 1 }), (rows) => {
        assert.deepEqual(readCsv(rows.map(csvLine).join("")), rows);
      }),
    );
  });
});

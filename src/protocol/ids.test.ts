import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countOf, IdSource, mint, shownId, termMax, termOf } from "./ids.js";

const terms = fc.integer({ min: 0, max: termMax });
const counts = fc.integer({ min: 0, max: 4294967295 });

test("an id holds its term and its count, up to the highest of both", () => {
  fc.assert(
    fc.property(terms, counts, (term, n) => {
      const id = mint(term, n);
      assert.ok(Number.isSafeInteger(id));
      assert.deepEqual([termOf(id), countOf(id), shownId(id)], [term, n, `${term}.${n}`]);
    }),
    { seed: 1 },
  );
  assert.equal(mint(termMax, 4294967295), Number.MAX_SAFE_INTEGER);
});

test("ids compare as their terms do, and as their counts within a term", () => {
  fc.assert(
    fc.property(terms, counts, terms, counts, (term, n, otherTerm, otherN) => {
      const [left, right] = [mint(term, n), mint(otherTerm, otherN)];
      const expected = term === otherTerm ? n > otherN : term > otherTerm;
      assert.equal(left > right, expected);
    }),
    { seed: 2 },
  );
});

test("a term or a count that no id can hold is a fault", () => {
  for (const [term, n] of [
    [termMax + 1, 0],
    [-1, 0],
    [1, 4294967296],
    [1, -1],
    [0.5, 1],
  ] as const) {
    assert.throws(() => mint(term, n), /term|count/);
  }
});

test("ids of a source grow, also past a higher term, and a lower term is not gone back to", () => {
  const ids = new IdSource(3);
  const given = [ids.next(), ids.next()];
  ids.raise(2);
  given.push(ids.next());
  ids.raise(5);
  given.push(ids.next());
  ids.raise(5);
  given.push(ids.next());
  assert.deepEqual(given.map(shownId), ["3.1", "3.2", "3.3", "5.1", "5.2"]);
});

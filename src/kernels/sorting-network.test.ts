import assert from "node:assert/strict";
import { test } from "node:test";
import { sortByExchanges } from "./sorting-network.js";

// A network that orders all sequences of zeros and ones orders everything (Knuth 5.3.4, theorem Z).
test("every sequence of zeros and ones of up to 12 items is put in order", () => {
  for (let count = 0; count <= 12; count++) {
    for (let bits = 0; bits < 2 ** count; bits++) {
      const items = Array.from({ length: count }, (_, index) => (bits >> index) & 1);
      const ordered = items.toSorted((left, right) => left - right);
      sortByExchanges(count, (low, high) => {
        assert.ok(low < high && high < count);
        const [left, right] = [items[low]!, items[high]!];
        [items[low], items[high]] = [Math.min(left, right), Math.max(left, right)];
      });
      assert.deepEqual(items, ordered, `${count} items, ${bits.toString(2)}`);
    }
  }
});

test("it takes few exchanges", () => {
  const exchanges = [2, 3, 4, 8, 16].map((count) => {
    let made = 0;
    sortByExchanges(count, () => (made += 1));
    return made;
  });
  assert.deepEqual(exchanges, [1, 3, 5, 19, 63]);
});

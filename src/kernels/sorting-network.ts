/**
 * The comparisons that bring any number of items in order, whatever the items are: merge exchange
 * (Batcher 1968; Knuth, The Art of Computer Programming, volume 3, algorithm 5.2.2 M). As which
 * items are compared depends on nothing but their number, one comparison can be made on whole
 * vectors at a time.
 */

/** Calls `exchange` with two positions, the lower first, whose items are to be put in order. */
export function sortByExchanges(count: number, exchange: (low: number, high: number) => void) {
  if (count < 2) return;
  const top = 2 ** (Math.ceil(Math.log2(count)) - 1);
  for (let bit = top; bit > 0; bit >>= 1) {
    let [distance, wanted] = [bit, 0];
    for (let ahead = top; ; ahead >>= 1) {
      for (let low = 0; low + distance < count; low++) {
        if ((low & bit) === wanted) exchange(low, low + distance);
      }
      if (ahead === bit) break;
      distance = ahead - bit;
      wanted = bit;
    }
  }
}

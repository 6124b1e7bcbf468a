import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PacelineError } from "../errors.js";
import { Arena, slotAlignmentValues } from "./arena.js";

test("slots start on 64 bytes and don't overlap", () => {
  const arena = new Arena(16384);
  const offsets = [1, 16, 17, 100].map((length) => arena.allocate(length));
  assert.deepEqual(offsets, [0, 16, 32, 64]);
  for (const offset of offsets) assert.equal(arena.byteView(offset, 1).byteOffset % 64, 0);
});

test("a slot that was given back is handed out again, lowest first", () => {
  const arena = new Arena(16384);
  const [first, second, third] = [arena.allocate(64), arena.allocate(64), arena.allocate(64)];
  arena.free(third);
  arena.free(first);
  assert.equal(arena.allocate(32), first);
  assert.equal(arena.allocate(32), first + 32);
  assert.equal(arena.allocate(64), third);
  assert.ok(arena.holds(second));
});

test("neighbours that are given back become one", () => {
  const arena = new Arena(16384);
  const slots = Array.from({ length: 16 }, () => arena.allocate(1024));
  assert.throws(() => arena.allocate(1), PacelineError);
  for (const index of [3, 5, 4]) arena.free(slots[index]!);
  assert.equal(arena.allocate(3072), slots[3]);
});

test("a full arena says with numbers what it holds, and goes on working", () => {
  const arena = new Arena(16384);
  const slot = arena.allocate(16000);
  assert.throws(
    () => arena.allocate(1000),
    (error: unknown) => {
      assert.ok(error instanceof PacelineError);
      assert.match(error.message, /can't hold 1008 more values: 1 slots hold 16000 of 16384/);
      return true;
    },
  );
  arena.free(slot);
  assert.equal(arena.allocate(16384), 0);
});

test("freeing twice, or what was never a slot, is a bug", () => {
  const arena = new Arena(16384);
  const slot = arena.allocate(10);
  arena.free(slot);
  assert.throws(() => arena.free(slot), /held/);
  assert.throws(() => arena.free(8), /held/);
  assert.throws(() => arena.allocate(0), /holds values/);
});

test("views taken before the memory grows stay valid and see the same values", () => {
  const arena = new Arena(32 * 1024 * 1024);
  const slot = arena.allocate(16);
  const before = arena.view(slot, 16);
  before[0] = 7;
  const committed = arena.usage().committed;
  const large = arena.allocate(committed + 1);
  assert.ok(arena.usage().committed > committed);
  assert.equal(arena.view(slot, 16)[0], 7);
  before[1] = 8;
  assert.equal(arena.values[slot + 1], 8);
  arena.view(large, committed + 1).fill(1);
  assert.equal(before[0], 7);
});

test("values and bytes are one shared memory, little-endian", () => {
  const arena = new Arena(16384);
  const slot = arena.allocate(3);
  arena.view(slot, 3).set([0, 1, -2]);
  assert.deepEqual([...arena.byteView(slot, 3)], [0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 192]);
  assert.ok(arena.values.buffer instanceof SharedArrayBuffer);
});

test("the largest arena can be had without memory being committed", () => {
  const arena = new Arena();
  assert.equal(arena.usage().capacity, 2 ** 30);
  assert.equal(arena.usage().committed, 0);
});

type Action = { take: number } | { giveBack: number };

test("whatever is taken and given back, slots keep their values and none is lost", () => {
  const actions = fc.array(
    fc.oneof(
      fc.record({ take: fc.integer({ min: 1, max: 700 }) }),
      fc.record({ giveBack: fc.nat({ max: 50 }) }),
    ) as fc.Arbitrary<Action>,
    { maxLength: 120 },
  );
  fc.assert(
    fc.property(actions, (steps) => {
      const arena = new Arena(16384);
      const live: { offset: number; length: number; stamp: number }[] = [];
      steps.forEach((step, stamp) => {
        if ("take" in step) {
          let offset: number;
          try {
            offset = arena.allocate(step.take);
          } catch (error) {
            assert.ok(error instanceof PacelineError);
            return;
          }
          arena.view(offset, step.take).fill(stamp);
          live.push({ offset, length: step.take, stamp });
        } else if (live.length > 0) {
          const [slot] = live.splice(step.giveBack % live.length, 1);
          arena.free(slot!.offset);
        }
      });
      for (const { offset, length, stamp } of live) {
        assert.ok(arena.view(offset, length).every((value) => value === stamp));
      }
      const rounded = live.map(
        ({ length }) => Math.ceil(length / slotAlignmentValues) * slotAlignmentValues,
      );
      assert.equal(arena.usage().slots, live.length);
      assert.equal(
        arena.usage().used,
        rounded.reduce((sum, length) => sum + length, 0),
      );
      for (const { offset } of live) arena.free(offset);
      assert.equal(arena.allocate(16384), 0);
    }),
    { seed: 8, numRuns: 200 },
  );
});

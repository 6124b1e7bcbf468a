import assert from "node:assert/strict";
import { test } from "node:test";
import { EffectLoop } from "./effect-loop.js";

/** A machine whose events are lists of effects; those that end in ~ take time. */
class Bench {
  readonly said: string[] = [];
  readonly loop: EffectLoop<string, string>;
  /** Ends of the effects that are being performed. */
  readonly ends: (() => void)[] = [];
  onPerformed: (effect: string) => void = () => {};

  constructor() {
    this.loop = new EffectLoop({
      step: (event) => event.split(" "),
      perform: (effect) => {
        this.said.push(effect);
        this.onPerformed(effect);
        if (!effect.endsWith("~")) return;
        return new Promise((done) => this.ends.push(done));
      },
    });
  }

  /** Ends the effect that is being performed. */
  async end(): Promise<void> {
    this.ends.shift()!();
    await Promise.resolve();
    await Promise.resolve();
  }
}

test("effects that take no time are performed before the call returns", () => {
  const bench = new Bench();
  bench.loop.take("a b");
  assert.deepEqual(bench.said, ["a", "b"]);
});

test("what comes of an effect waits for the effects after it", () => {
  const bench = new Bench();
  bench.onPerformed = (effect) => effect === "a" && bench.loop.take("c d");
  bench.loop.take("a b");
  assert.deepEqual(bench.said, ["a", "b", "c", "d"]);
});

test("an effect that takes time holds up effects and events behind it", async () => {
  const bench = new Bench();
  bench.loop.take("a b~ c");
  bench.loop.take("d~ e");
  bench.loop.take("f");
  assert.deepEqual(bench.said, ["a", "b~"]);
  await bench.end();
  assert.deepEqual(bench.said, ["a", "b~", "c", "d~"]);
  await bench.end();
  assert.deepEqual(bench.said, ["a", "b~", "c", "d~", "e", "f"]);
  bench.loop.take("g");
  assert.equal(bench.said.at(-1), "g", "and costs nothing once it is done");
});

test("a loop that has ended performs nothing more", async () => {
  const bench = new Bench();
  bench.loop.take("a~ b");
  bench.loop.take("c");
  bench.loop.end();
  await bench.end();
  bench.loop.take("d");
  assert.deepEqual(bench.said, ["a~"]);
});

test("what an effect throws at once is thrown to the caller that brought the event", () => {
  const bench = new Bench();
  bench.onPerformed = (effect) => {
    if (effect === "a") throw new Error("out of memory");
  };
  assert.throws(() => bench.loop.take("a"), /out of memory/);
  bench.loop.take("b");
  assert.deepEqual(bench.said, ["a", "b"]);
});

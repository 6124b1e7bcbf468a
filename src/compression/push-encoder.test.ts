import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { scalarConversions } from "../kernels/scalar-conversions.js";
import { type Compression, feedbackCodecs, keepsResiduals } from "../protocol/compression.js";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { CodecTable } from "./codecs/codec.js";
import { PushEncoder } from "./push-encoder.js";
import { RunCodecs } from "./run-codecs.js";

const layout = layOut(
  [
    { name: "w", shape: [100], group: "weight" },
    { name: "b", shape: [10], group: "plain" },
    { name: "m", shape: [4], group: "buffer" },
  ],
  60,
);
const table = new CodecTable(scalarConversions);

function specWith(push: Compression, feedback = true): RunSpec {
  const pull = { codec: "none", share: 1 } as const;
  return { ...sampleSpec, compression: { push, pull, feedback } };
}

function encoderOf(
  push: Compression,
  rank = 0,
  feedback = true,
  inherited: ReadonlyMap<number, Float32Array> = new Map(),
) {
  const spec = specWith(push, feedback);
  const said: string[] = [];
  const gradients = Float32Array.from({ length: layout.values }, (_, index) => Math.sin(index));
  const codecs = new RunCodecs(spec, layout, scalarConversions);
  const log = (text: string) => void said.push(text);
  const pushes = new PushEncoder({ spec, layout, codecs, gradients, rank, inherited, log });
  return { pushes, gradients, said, codecs };
}

const push = (chunk: number, step: number): ChunkHeader => ({
  ...{ ...emptyHeader, kind: "push", run: "r", examples: 8 },
  ...{ chunk, step },
});

test("raw gradients and groups other than weights go out from the gradients themselves", () => {
  const raw = encoderOf({ codec: "none", share: 1 });
  const coded = encoderOf({ codec: "topk", share: 0.1 });
  const cases = [
    [raw, 0],
    [raw, 2],
    [coded, 2],
    [coded, 3],
  ] as const;
  for (const [{ pushes, gradients }, chunk] of cases) {
    const { header, payload } = pushes.message(push(chunk, 0));
    assert.equal(header.codec, 0);
    assert.equal(payload?.buffer, gradients.buffer);
    assert.equal(payload?.byteOffset, layout.chunks[chunk]!.offset * 4);
  }
});

test("a push without examples has no payload and leaves the residual alone", () => {
  const { pushes } = encoderOf({ codec: "topk", share: 0.1 });
  const { header, payload } = pushes.message({ ...push(0, 0), examples: 0 });
  assert.equal(payload, null);
  assert.equal(header.codec, 0);
});

test("what is sent again is the same bytes, though the gradient has changed by then", () => {
  for (const codec of ["fp16", "int8", "topk", "randomk", "onebit"] as const) {
    const { pushes, gradients } = encoderOf({ codec, share: 0.1 });
    const first = pushes.message(push(1, 4));
    const bytes = [...first.payload!];
    gradients.fill(7);
    const again = pushes.message({ ...push(1, 4), fence: 3 });
    assert.equal(again.header.codec, table.named(codec).id);
    assert.equal(again.header.fence, 3);
    assert.deepEqual([...again.payload!], bytes);
  }
});

test("a push that went raw goes raw again, and feeds no residual, whatever is chosen", () => {
  const { pushes } = encoderOf({ codec: "auto", share: 1 });
  const first = pushes.message(push(0, 0));
  pushes.choose({ codec: "topk", share: 0.1 });
  const again = pushes.message(push(0, 0));
  assert.equal(again.header.codec, 0);
  assert.deepEqual(again.payload, first.payload);
  const next = encoderOf({ codec: "topk", share: 0.1 }).pushes.message(push(0, 1));
  assert.deepEqual(pushes.message(push(0, 1)).payload, next.payload);
});

test("memory that is still being sent is not written to; later it is used again", () => {
  const { pushes } = encoderOf({ codec: "fp16", share: 1 });
  const first = pushes.message(push(0, 0));
  const again = pushes.message(push(0, 0));
  const bytes = [...first.payload!];
  first.sent();
  const second = pushes.message(push(0, 1));
  assert.notEqual(second.payload!.buffer, first.payload!.buffer);
  assert.deepEqual([...again.payload!], bytes);
  again.sent();
  second.sent();
  const third = pushes.message(push(0, 2));
  const earlier: unknown[] = [first.payload!.buffer, second.payload!.buffer];
  assert.ok(earlier.includes(third.payload!.buffer));
});

test("what a step drops comes with the next, unless that was turned off", () => {
  const topk = table.named("topk");
  for (const feedback of [true, false]) {
    const { pushes, gradients, said } = encoderOf({ codec: "topk", share: 0.1 }, 0, feedback);
    assert.match(said.join(), feedback ? /residuals start at zero/ : /what is dropped is lost/);
    const sum = new Float32Array(60);
    topk.accumulate(pushes.message(push(0, 0)).payload!, sum, 1);
    const whole = gradients.slice(0, 60);
    gradients.fill(0);
    for (let step = 1; step < 10; step++) {
      topk.accumulate(pushes.message(push(0, step)).payload!, sum, 1);
    }
    const arrived = sum.filter((value) => value !== 0).length;
    assert.equal(arrived, feedback ? whole.filter((value) => value !== 0).length : 6);
    if (feedback) assert.deepEqual(sum, whole);
  }
});

function copied(residuals: ReadonlyMap<number, Float32Array>): Map<number, Float32Array> {
  return new Map([...residuals].map(([chunk, values]) => [chunk, values.slice()]));
}

test("a worker that inherits residuals pushes what their owner would have", () => {
  for (const codec of ["topk", "randomk", "onebit", "topk2bit"] as const) {
    const share = 0.1;
    const unbroken = encoderOf({ codec, share });
    for (let step = 0; step < 4; step++) {
      for (const chunk of [0, 1]) unbroken.pushes.message(push(chunk, step));
    }
    const kept = copied(unbroken.pushes.residuals);
    assert.deepEqual([...kept.keys()], [0, 1], "of weights only");
    const heir = encoderOf({ codec, share }, 0, true, kept);
    assert.match(heir.said.join(), /residuals of 2 chunks \(100 values\) .* are restored$/);
    const stranger = encoderOf({ codec, share });
    for (let step = 4; step < 8; step++) {
      const bytes = [unbroken, heir, stranger].map(({ pushes, gradients }) => {
        for (const index of gradients.keys()) gradients[index] = Math.cos(index * step);
        return [...pushes.message(push(1, step)).payload!];
      });
      assert.deepEqual(bytes[1], bytes[0], `${codec} step ${step}`);
      assert.notDeepEqual(bytes[2], bytes[0], `${codec} without residuals`);
    }
  }
});

test("what is pushed and what is held add up to all gradients, across barriers and codecs", () => {
  const words = ["topk", "randomk", "onebit", "topk2bit"] as const;
  const codecs = fc.constantFrom<Compression["codec"][]>(...words);
  const lives = fc.array(fc.tuple(codecs, fc.integer({ min: 1, max: 6 })), { minLength: 1 });
  const small = fc.integer({ min: -50, max: 50 });
  const seeds = fc.array(small, { minLength: 60, maxLength: 60 });
  fc.assert(
    fc.property(lives, seeds, (list, seed) => {
      const whole = new Float64Array(60);
      const pushed = new Float64Array(60);
      let residuals = new Map<number, Float32Array>();
      let step = 0;
      for (const [codec, steps] of list) {
        const { pushes, gradients } = encoderOf({ codec, share: 0.1 }, 0, true, residuals);
        for (let last = step + steps; step < last; step++) {
          seed.forEach((value, index) => {
            gradients[index] = value * ((step % 3) - 1) + (index % 7);
            whole[index]! += gradients[index]!;
          });
          const decoded = new Float32Array(60);
          const { header, payload } = pushes.message(push(0, step));
          table.ofId(header.codec).accumulate(payload!, decoded, 1);
          for (const [index, value] of decoded.entries()) pushed[index]! += value;
        }
        residuals = copied(pushes.residuals);
      }
      const isExact = list.every(([codec]) => codec !== "onebit" && codec !== "topk2bit");
      residuals.get(0)!.forEach((held, index) => {
        const off = Math.abs(whole[index]! - pushed[index]! - held);
        assert.ok(isExact ? off === 0 : off < 0.05, `value ${index} is ${off} off`);
      });
    }),
    { seed: 5, numRuns: 200 },
  );
});

test("residuals wait while auto measures, and go where nothing wants them", () => {
  const held = () => new Map([[0, new Float32Array(60).fill(0.5)]]);
  const auto = encoderOf({ codec: "auto", share: 1 }, 0, true, held());
  assert.deepEqual([...auto.pushes.residuals], [...held()]);
  auto.pushes.choose({ codec: "topk", share: 0.1 });
  assert.deepEqual([...auto.pushes.residuals], [...held()]);
  auto.pushes.choose({ codec: "fp16", share: 1 });
  assert.equal(auto.pushes.residuals.size, 0);
  const text = /residuals of 1 chunk \(60 values\) from the checkpoint are dropped/;
  assert.match(auto.said.at(-1)!, text);
});

test("the codecs that want feedback are those whose residuals a run keeps", () => {
  const wanting = table.all.filter(({ wantsFeedback }) => wantsFeedback).map(({ name }) => name);
  assert.deepEqual(wanting, feedbackCodecs);
  const spec = (codec: Compression["codec"], feedback: boolean) =>
    keepsResiduals(specWith({ codec, share: 0.1 }, feedback).compression);
  for (const codec of [...wanting, "auto"] as Compression["codec"][]) {
    assert.deepEqual([spec(codec, true), spec(codec, false)], [true, false]);
  }
  for (const codec of ["none", "bf16", "int8"] as const) assert.equal(spec(codec, true), false);
});

test("bytes depend on seed, rank, step and chunk", () => {
  for (const codec of ["int8", "randomk"] as const) {
    const bytesOf = (rank: number, chunk: number, step: number) => {
      const { pushes, gradients } = encoderOf({ codec, share: 0.1 }, rank, false);
      gradients.fill(0.3001).fill(1, 0, 1).fill(1, 60, 61);
      return [...pushes.message(push(chunk, step)).payload!.subarray(0, 40)].join();
    };
    assert.equal(bytesOf(0, 0, 0), bytesOf(0, 0, 0));
    const all = [bytesOf(0, 0, 0), bytesOf(1, 0, 0), bytesOf(0, 1, 0), bytesOf(0, 0, 1)];
    assert.equal(new Set(all).size, 4, codec);
  }
});

test("a gradient that is not finite goes raw, so that the server can say so", () => {
  for (const codec of ["bf16", "int8", "topk", "randomk", "onebit"] as const) {
    const { pushes, gradients } = encoderOf({ codec, share: 0.1 });
    gradients[3] = Number.NaN;
    const { header, payload } = pushes.message(push(0, 0));
    assert.equal(header.codec, 0);
    assert.equal(payload!.length, 240);
    gradients[3] = 1;
    assert.notEqual(pushes.message(push(0, 1)).header.codec, 0);
  }
});

test("a codec that is unknown, not the run's or not for the group is refused by name", () => {
  const { codecs } = encoderOf({ codec: "fp16", share: 1 });
  const { codecs: auto } = encoderOf({ codec: "auto", share: 1 });
  const coded = (chunk: number, codec: number) => ({ ...push(chunk, 0), codec });
  assert.equal(codecs.objection(coded(0, 0)), null);
  assert.equal(codecs.objection(coded(0, 1)), null);
  assert.match(codecs.objection(coded(0, 99))!, /codec 99 is unknown here; known codecs are 0/);
  assert.match(codecs.objection(coded(0, 4))!, /written as topk, and this run has --compress fp16/);
  assert.match(codecs.objection(coded(2, 1))!, /group plain, which is never compressed/);
  assert.match(codecs.objection({ ...coded(0, 1), kind: "load" })!, /load .* send raw/);
  assert.match(codecs.objection({ ...coded(0, 1), kind: "reply" })!, /reply .* as fp16/);
  for (const id of [1, 3, 4]) assert.equal(auto.objection(coded(0, id)), null);
  assert.match(auto.objection(coded(0, 6))!, /onebit, and this run has --compress auto/);
});

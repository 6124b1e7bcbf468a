/** Crowds of workers that come at once, in virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modes } from "../core/sync/modes.js";
import { uncompressed } from "../protocol/compression.js";
import { drawSchedule } from "./schedule.js";
import { simulateSchedule } from "./simulate-seed.js";
import { toyLayout, toyModels } from "./toy-model.js";

const workersMax = 100;
const begin = 2;
const comeMs = 400;

/** Times of the coordinator's lines that match, since the crowd came. */
function toldMs(trace: readonly string[], what: RegExp): number[] {
  return trace.flatMap((line) => {
    const [, atMs, text] = /^ *([\d.]+) coordinator: (.*)$/.exec(line) ?? [];
    const isTold = text !== undefined && what.test(text) && Number(atMs) >= comeMs;
    return isTold ? [Number(atMs)] : [];
  });
}

for (const { name } of modes()) {
  test(`${name}: 98 workers join 2 within a second of virtual time, in two views`, async () => {
    const { parts, ...run } = drawSchedule(name, 3, { faultsMax: 0 });
    const [part] = parts;
    const spec = {
      ...{ ...part!.spec, workersMin: begin, workersMax, servers: 3, replicas: 1 },
      ...({ feed: "leased", epochs: 1, batchSize: 1, trainExamples: 700 } as const),
      ...{ maxSteps: null, evaluateEvery: null, checkpointEvery: null },
      ...{ compression: uncompressed, model: toyModels[0]!, chunkValues: 12 },
    };
    const crowd = {
      ...{
        spec,
        layout: toyLayout(spec),
        workersAtStart: begin,
        stepMsMax: 40,
        interruptMs: null,
        failedSaves: 0,
      },
      ...{ refusals: 0, diskMsMax: 2, slowness: Array.from({ length: workersMax }, () => 1) },
      lateMs: Array.from({ length: workersMax }, (_, rank) => (rank < begin ? 0 : comeMs)),
      network: { ...part!.network, wire: "objects" as const, delayMsMin: 0.1, delayMsMax: 5 },
    };
    const schedule = { ...run, parts: [{ ...part!, ...crowd }] };
    const { violations, outcomes, trace } = await simulateSchedule(schedule, { trace: "story" });
    assert.deepEqual(violations, []);
    assert.match(outcomes.join(), /^done /);
    const joined = toldMs(trace, /^worker-\d+ takes part from step/);
    assert.equal(joined.length, workersMax - begin);
    const lastMs = Math.max(...joined) - comeMs;
    assert.ok(lastMs <= 1000, `the last one takes part after ${lastMs} ms`);
    const views = toldMs(trace, /^view /).filter((atMs) => atMs <= comeMs + lastMs);
    assert.ok(views.length <= 2, `${views.length} views`);
  });
}

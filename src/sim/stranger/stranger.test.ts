/** Strangers of each kind knock at a run in virtual time: none is let in, and nothing changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Fault } from "../fault-plan.js";
import { drawSchedule } from "../schedule.js";
import { simulateSchedule } from "../simulate-seed.js";
import { strangers } from "./stranger-plan.js";

const answers = {
  token: /the token is not this cluster's/,
  role: /a server may not speak as a worker/,
  protocol: /speaks protocol \d+, the coordinator/,
  rank: /rank 2 is out of range/,
  "long gone": /is not a member any more/,
  term: /term \d+ is out of date/,
  generation: /generation 1 has been rolled back/,
  run: /run another run is not served here/,
  life: /worker \d of incarnation [\d.]+ is not in view/,
  "sender's role": /a server may not send push messages/,
} as const;

for (const wrong of strangers) {
  test(`one whose ${wrong} is wrong is told so`, async () => {
    const { parts, ...run } = drawSchedule("bsp", 3, { faultsMax: 0 });
    const [part] = parts;
    const cluster = { workersMax: 2, servers: 2, replicas: 1, epochs: 3, batchSize: 1 };
    const spec = { ...part!.spec, ...cluster, maxSteps: null };
    const calm = { interruptMs: null, failedSaves: 0, refusals: 0, lateMs: [0, 0] };
    const faults = [100, 300].map((atMs): Fault => ({ kind: "stranger", atMs, wrong, server: 0 }));
    const knocked = { ...run, parts: [{ ...part!, ...calm, spec, faults }] };
    const verdict = await simulateSchedule(knocked, { trace: "story" });
    assert.deepEqual(verdict.violations, []);
    assert.match(verdict.outcomes.join(), /^done /);
    assert.ok(verdict.isCompared);
    const said = verdict.trace.filter((line) => /stranger(\/1)?: /.test(line));
    assert.match(said.join("\n"), answers[wrong]);
  });
}

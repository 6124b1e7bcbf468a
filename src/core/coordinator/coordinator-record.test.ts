/** When a coordinator's record has to be durable. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoordinatorEffect } from "./coordinator-events.js";
import { type CoordinatorRecord, withRecord } from "./coordinator-record.js";

test("a checkpoint is told of when the record has it", () => {
  const record = { run: "run" } as CoordinatorRecord;
  const warning: CoordinatorEffect = { type: "event", event: { kind: "warning", text: "w" } };
  const written = { kind: "checkpoint", step: 60, text: "checkpoint of step 60 written" } as const;
  const told: CoordinatorEffect = { type: "event", event: written };
  assert.deepEqual(
    withRecord([warning], () => record),
    [warning],
  );
  assert.deepEqual(
    withRecord([warning, told], () => record),
    [warning, { type: "persist", record }, told],
  );
  assert.deepEqual(
    withRecord([told], () => null),
    [told],
  );
});

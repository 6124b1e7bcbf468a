/**
 * The corpus: calls that once led to an answer which none before had led to, from valid ones to
 * those that `make fuzz` has found. Said again beside a run they change no bit of it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Addresses, say } from "./fuzz/callers.js";
import { firstInputs, readCorpus } from "./fuzz/inputs.js";
import { addressesOf, endsInTheSameBits, failure, startTargets } from "./fuzz/targets.js";
import { makePlace } from "./run-paceline.js";

const atOnce = 24;

test("whatever was said once, a run beside it ends in the same bits", async (context) => {
  const place = await makePlace(context);
  const targets = await startTargets(place);
  const addresses: Addresses = await addressesOf(place, targets);
  const inputs = [...firstInputs(), ...readCorpus()];
  assert.ok(inputs.length > 50);
  const left = inputs.values();
  const lanes = Array.from({ length: atOnce }, async () => {
    for (const input of left) {
      const answer = await say(input, addresses);
      assert.doesNotMatch(answer, failure, `${input.listener} ${input.way}`);
    }
  });
  await Promise.all(lanes);
  await endsInTheSameBits(place, targets);
});

/** Every header that a chunk message may have, for tests of what carries them. */
import fc from "fast-check";
import { termMax } from "../../protocol/ids.js";
import type { ChunkHeader } from "../../protocol/messages.js";
import { chunkKinds, chunkParts, pushOutcomes } from "../../protocol/messages.js";

const uint32 = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 4294967295 }));
const count = fc.oneof(fc.nat({ max: 300 }), fc.maxSafeNat());
/** Any header. */
export const headers: fc.Arbitrary<ChunkHeader> = fc.record(
  {
    kind: fc.constantFrom(...chunkKinds),
    run: fc.string({ unit: "binary", maxLength: 60 }),
    generation: uint32,
    term: fc.integer({ min: 0, max: termMax }),
    rank: fc.integer({ min: -2147483647, max: 2147483647 }),
    incarnation: count,
    phase: uint32,
    step: fc.oneof(
      fc.integer({ min: -3, max: 300 }),
      fc.integer({ min: -4503599627370495, max: 4503599627370495 }),
    ),
    chunk: uint32,
    version: count,
    fence: count,
    examples: count,
    codec: uint32,
    part: fc.constantFrom(...chunkParts),
    outcome: fc.constantFrom(...pushOutcomes),
    staleness: count,
    scale: fc.oneof(fc.constant(null), fc.float({ min: 0, max: 1, noNaN: true })),
    leads: fc.boolean(),
    pull: uint32,
    wantsReply: fc.boolean(),
    detail: fc.string({ unit: "binary", maxLength: 60 }),
  },
  { noNullPrototype: true },
);

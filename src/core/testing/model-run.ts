/** The run of a model cluster: what its tests do not say of it. */
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";

/** A run's choices: small, and plain where a test does not say otherwise. */
export function specOf(extra: Partial<RunSpec> = {}): RunSpec {
  const { epochs = 2, trainExamples = 96 } = extra;
  const totalExamples = epochs * trainExamples;
  return {
    ...sampleSpec,
    name: "a run",
    seed: 1,
    trainExamples,
    testExamples: 31,
    workersMax: 4,
    servers: 2,
    schedule: { ...sampleSpec.schedule, name: "cosine", totalExamples },
    epochs,
    batchSize: 4,
    chunkValues: 1,
    virtualNodes: 20,
    ...extra,
  };
}

/** The run of a model cluster: what its tests do not say of it. */
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
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

/** ASP that takes every push as it is. */
export const plainAsp: Protocol = {
  mode: "asp",
  staleness: { rule: "none", scale: 0, floor: 0, max: 0 },
};
/** Every way to keep pace, SSP with the tightest bound and with a loose one. */
export const everyProtocol: readonly Protocol[] = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 0 },
  { mode: "ssp", staleness: 2 },
  plainAsp,
];

/** What a test calls one of them: `SSP(2)`. */
export function nameOf(protocol: Protocol): string {
  return protocol.mode === "ssp" ? `SSP(${protocol.staleness})` : protocol.mode.toUpperCase();
}

/**
 * What an evaluation is of, over random schedules in trouble: one version of the whole model, which
 * its record names; and the last one is of the final weights, which are what is saved.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modelVersion } from "../../protocol/model-version.js";
import type { Protocol } from "../../protocol/run-spec.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { planOf, trouble } from "../testing/model-trouble.js";
import { digestOf, updatesOf } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";

const scaling = { rule: "scale+reject", scale: 0.1, floor: 0.1, max: 4 } as const;
const protocols: readonly Protocol[] = [
  { mode: "bsp" },
  { mode: "ssp", staleness: 0 },
  { mode: "ssp", staleness: 3 },
  { mode: "asp", staleness: { ...scaling, rule: "none" } },
  { mode: "asp", staleness: scaling },
];

function nameOf({ mode, staleness }: Protocol): string {
  if (mode === "ssp") return `SSP(${staleness})`;
  return typeof staleness === "object" ? `ASP with ${staleness.rule}` : "BSP";
}

function failAt(cluster: ModelCluster, check: () => void): void {
  try {
    check();
  } catch (thrown) {
    throw new Error(`${cluster.describe()}: ${(thrown as Error).message}`, { cause: thrown });
  }
}

/** Each digest that the whole model had, by its version. */
function everyModel(cluster: ModelCluster): Map<string, number> {
  const models = new Map<string, number>();
  cluster.network.observe = () => {
    const values = cluster.values();
    const version = modelVersion(values.map((value) => updatesOf(value).length));
    models.set(version, digestOf(values.map(({ digest }) => digest).join()));
  };
  return models;
}

for (const protocol of protocols) {
  for (const feed of ["static", "leased"] as const) {
    test(`${nameOf(protocol)}, ${feed}: one version is evaluated, in the end what is saved`, () => {
      let inside = 0;
      for (const seed of seedsOf(30)) {
        const plan = planOf(seed, protocol, {
          feed,
          trainExamples: 60,
          evaluateEvery: { unit: seed % 3 === 0 ? "epoch" : "step", count: 1 + (seed % 3) * 4 },
        });
        const cluster = new ModelCluster(plan).start();
        const models = everyModel(cluster);
        if (seed % 2 === 1) trouble(cluster, {}, seed % 4 === 1);
        failAt(cluster, () => {
          const { result } = cluster.run();
          assert.equal(result.outcome, "done", result.reason);
          for (const { version, loss, final, step } of result.evaluations) {
            assert.equal(loss, models.get(version!)! % 1024, `${version} is what was looked at`);
            if (protocol.mode !== "bsp") assert.equal(step, Number.parseInt(version!, 10));
            inside += final ? 0 : 1;
          }
          const final = result.evaluations.at(-1)!;
          const saved = cluster.checkpoints.at(-1)!;
          assert.ok(final.final && saved.why === "final");
          assert.equal(final.version, modelVersion(saved.marks.map(({ version }) => version)));
          assert.equal(
            final.loss,
            digestOf(saved.values.map(({ digest }) => digest).join()) % 1024,
          );
        });
      }
      assert.ok(inside > 8, `${inside} evaluations before the last`);
    });
  }
}

test("workers that evaluated different versions of the model end the run, and are named", () => {
  const cluster = new ModelCluster({
    seed: 1,
    chunks: 2,
    spec: specOf(),
    evaluatesOther: ({ rank }) => rank === 2,
  });
  const { outcome, code, reason } = cluster.start().run().result;
  assert.deepEqual([outcome, code], ["failed", "protocol"]);
  const [, other] = /worker-(\d) evaluated version 12-\w{8}\b/.exec(reason) ?? [];
  assert.ok(other !== undefined && other !== "2", reason);
  assert.match(reason, /worker-2 evaluated version 13-/);
});

/**
 * Plans as a whole, over random schedules: workers go from one way to keep pace to the next while
 * they train, and nothing is lost by it, while workers come, go and die.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PlannedPhase } from "../../protocol/plan/plan.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { Random } from "../../random.js";
import { firstStand, PlanProgress } from "../phases/plan-progress.js";
import { type ClusterPlan, type Death, ModelCluster } from "../testing/model-cluster.js";
import { everyProtocol, nameOf, plainAsp, specOf } from "../testing/model-run.js";
import { positionsUsed, updatesOf } from "../testing/model-values.js";
import { seedsOf } from "../testing/seeds.js";
import { Coordinator } from "./coordinator.js";

const bsp: Protocol = { mode: "bsp" };
const runsOwn = { momentum: null, checkpointEvery: null };
const seeds = seedsOf(20);

/** Phases of these protocols, each with the same part of the work. */
function planOf(protocols: readonly Protocol[], work: number): PlannedPhase[] {
  return protocols.map((protocol, index) => {
    const isLast = index === protocols.length - 1;
    const end = isLast ? null : Math.ceil(((index + 1) * work) / protocols.length);
    return { protocol, end, plateau: null, lrFactor: index + 1, ...runsOwn };
  });
}

function clusterPlan(
  seed: number,
  protocols: readonly Protocol[],
  extra: Partial<RunSpec> = {},
): ClusterPlan {
  const { epochs = 3, trainExamples = 96 } = extra;
  const plan = planOf(protocols, epochs * trainExamples);
  return { seed, chunks: 4, spec: specOf({ epochs, protocol: protocols[0]!, plan, ...extra }) };
}

/** Modes in the order in which switches to them were told. */
function switches(cluster: ModelCluster): string[] {
  return cluster.events.flatMap(({ text }) => /^switch from \w+ to (\w+)/.exec(text)?.[1] ?? []);
}

function assertAllUsed(cluster: ModelCluster): void {
  const { trainExamples, epochs } = cluster.plan.spec;
  cluster.values().forEach((value, chunk) => {
    const used = positionsUsed(value, trainExamples);
    assert.equal(used.size, epochs, `epochs on chunk ${chunk}, seed ${cluster.plan.seed}`);
    for (const counts of used.values()) assert.ok(counts.every((count) => count === 1));
  });
}

/** Every example is used in each epoch, by some chunk where a lost worker tore its step. */
function assertNoneLost(cluster: ModelCluster): void {
  const { trainExamples, epochs, seed } = cluster.plan.spec;
  const used = cluster.values().map((value) => positionsUsed(value, trainExamples));
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let position = 0; position < trainExamples; position++) {
      const isUsed = used.some((epochsUsed) => epochsUsed.get(epoch)?.[position] === 1);
      assert.ok(isUsed, `position ${position} of epoch ${epoch}, seed ${seed}`);
    }
  }
}

/** Of each step in which all keep pace: the weights that its gradients were computed on. */
function assertSharedBases(cluster: ModelCluster): void {
  for (const { gradients } of updatesOf(cluster.values()[0]!)) {
    const bases = new Set(gradients.map(({ base }) => base));
    assert.equal(bases.size, 1, `step ${gradients[0]!.step} is of one model`);
  }
}

for (const feed of ["static", "leased"] as const) {
  describe(`plans with ${feed} ranges`, () => {
    test("every example is used once, whatever protocols follow each other", () => {
      for (const seed of seeds) {
        const random = new Random("plan", seed);
        const count = 2 + random.below(4);
        const protocols: Protocol[] = [];
        while (protocols.length < count) {
          const next = everyProtocol[random.below(everyProtocol.length)]!;
          if (next.mode !== protocols.at(-1)?.mode) protocols.push(next);
        }
        const evaluateEvery = { unit: "step", count: 3 + random.below(9) } as const;
        const checkpointEvery = { unit: "step", count: 3 + random.below(9) } as const;
        const extra = { feed, evaluateEvery, checkpointEvery, trainExamples: 90 + seed };
        const slow = { rank: 1, factor: 1 + (seed % 4) };
        const plan = { ...clusterPlan(seed, protocols, extra), slow };
        const cluster = new ModelCluster(plan).start().run();
        const names = protocols.map(nameOf).join(", ");
        assert.equal(cluster.result.outcome, "done", `${names}: ${cluster.result.reason}`);
        assertAllUsed(cluster);
        assertSharedBases(cluster);
        assert.deepEqual(cluster.refusals, [], `${names}, seed ${seed}`);
        const wanted = protocols.slice(1).map(({ mode }) => mode);
        assert.deepEqual(switches(cluster), wanted, `${names}, seed ${seed}`);
        const steps = cluster.result.evaluations.map(({ step }) => step);
        const sorted = [...steps].sort((a, b) => a - b);
        assert.deepEqual(steps, sorted, `global steps grow: ${names}, seed ${seed}`);
        const counts = cluster.result.epochs.map(({ examples, skipped }) => [examples, skipped]);
        assert.deepEqual(counts, Array(3).fill([extra.trainExamples, 0]));
      }
    });

    test("lost and new workers move no switch, and no example is used twice", () => {
      const deaths: readonly Death[] = ["closed", "silent", "restarted"];
      for (const seed of seeds) {
        const protocols = [bsp, plainAsp, bsp, everyProtocol[2]!, bsp];
        const plan = { ...clusterPlan(seed, protocols, { feed }), returns: true };
        const cluster = new ModelCluster(plan).start();
        const random = new Random("losses", seed);
        for (let loss = 0; loss < 3; loss++) {
          const atMs = 400 + random.below(6000);
          cluster.network.after(atMs, () => {
            const worker = cluster.worker(random.below(4));
            if (worker !== undefined) cluster.kill(worker, deaths[random.below(3)]!);
          });
        }
        cluster.run();
        assert.equal(cluster.result.outcome, "done", `seed ${seed}: ${cluster.result.reason}`);
        for (const value of cluster.values()) positionsUsed(value, 96);
        if (feed === "leased") assertNoneLost(cluster);
      }
    });
  });
}

test("the phase before a switch has the bits of a run that never switches", () => {
  const work = { epochs: 2, trainExamples: 96 };
  const alone = new ModelCluster({ seed: 1, chunks: 4, spec: specOf(work) }).start().run();
  const [whole] = alone.values().map(updatesOf);
  for (const seed of seeds) {
    const cluster = new ModelCluster(clusterPlan(seed, [bsp, plainAsp], work)).start().run();
    const [updates] = cluster.values().map(updatesOf);
    assert.deepEqual(updates!.slice(0, 6), whole!.slice(0, 6), `seed ${seed}`);
    assert.equal(updates![6]!.gradients.length, 1, "then each push is an update of its own");
    assert.equal(updates![6]!.lr, 2 * whole![6]!.lr, "at the phase's learning rate");
  }
});

test("a run that stops amid a plan goes on in its phase, and loses nothing", () => {
  const protocols = [bsp, plainAsp, bsp];
  for (const seed of seeds) {
    const checkpointEvery = { unit: "step", count: 2 } as const;
    const plan = clusterPlan(seed, protocols, { checkpointEvery });
    const first = new ModelCluster(plan).start().run();
    const resume = first.checkpoints[seed % (first.checkpoints.length - 1)]!;
    const again = new ModelCluster({ ...plan, resume }).start().run();
    assert.equal(again.result.outcome, "done", `seed ${seed}: ${again.result.reason}`);
    assertAllUsed(again);
    const left = protocols.length - 1 - (resume.snapshot.plan?.place ?? 0);
    assert.equal(switches(again).length, left, `seed ${seed}`);
  }
});

test("a run that goes on in another mode counts its steps on from the checkpoint's", () => {
  for (const feed of ["static", "leased"] as const) {
    for (const [before, after] of [
      [plainAsp, bsp],
      [bsp, plainAsp],
      [everyProtocol[1]!, bsp],
    ] as const) {
      const every = { unit: "step", count: 5 } as const;
      const cadences = { checkpointEvery: every, evaluateEvery: every };
      const plan = { seed: 1, chunks: 4, spec: specOf({ feed, protocol: before, ...cadences }) };
      const first = new ModelCluster(plan).start().run();
      const { snapshot, ...kept } = first.checkpoints[1]!;
      const spec = { ...plan.spec, protocol: after };
      const version = Math.min(...kept.marks.map((marks) => marks.version));
      const ahead = before.mode === "bsp" ? 0 : 3;
      const evaluations = snapshot.evaluations.length;
      const ground = { step: version + ahead, version, examples: 8, evaluations };
      const stand = firstStand(spec, ground);
      const resume = { ...kept, snapshot: { ...snapshot, plan: stand } };
      const again = new ModelCluster({ ...plan, spec, resume }).start().run();
      const names = `${nameOf(before)}, ${nameOf(after)}, ${feed}`;
      assert.equal(again.result.outcome, "done", `${names}: ${again.result.reason}`);
      assertAllUsed(again);
      const steps = again.result.evaluations.map(({ step }) => step);
      const sorted = [...steps].sort((a, b) => a - b);
      assert.deepEqual(steps, sorted, `global steps grow: ${names}`);
      const later = again.checkpoints.map(({ step }) => step);
      // One of its first step is due where that is a multiple of five.
      assert.ok(Math.min(...later) >= ground.step, `${names}: ${later} behind ${ground.step}`);
    }
  }
});

test("a switch by hand happens at once, and the run keeps to it", () => {
  for (const seed of seeds) {
    const cluster = new ModelCluster(clusterPlan(seed, [bsp, plainAsp])).start();
    cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
    const ask = (request: Protocol, name = "") => {
      const effects = cluster.coordinator.step({ type: "switch", request, name }, cluster.nowMs);
      const [answer] = effects.flatMap((one) => (one.type === "orderAnswered" ? [one.answer] : []));
      return answer;
    };
    assert.equal(ask(bsp)?.isAccepted, false, "that is the way they keep pace");
    assert.equal(ask({ mode: "tight" })?.isAccepted, false);
    assert.match(ask(plainAsp, "other")?.text ?? "", /^the run here is a run, not other; correct/);
    cluster.tell({ type: "switch", request: { mode: "ssp", staleness: 2 }, name: "a run" });
    cluster.run();
    assert.equal(cluster.result.outcome, "done", cluster.result.reason);
    assert.deepEqual(switches(cluster), ["ssp"], "the plan is over");
    assertAllUsed(cluster);
  }
});

test("a switch that was promised is made by the coordinator that comes after", () => {
  const cluster = new ModelCluster(clusterPlan(1, [bsp, plainAsp])).start();
  cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
  const request: Protocol = { mode: "ssp", staleness: 2 };
  const effects = cluster.coordinator.step({ type: "switch", request }, cluster.nowMs);
  const kept = effects.find(({ type }) => type === "persist");
  const answered = effects.findIndex(({ type }) => type === "orderAnswered");
  assert.ok(kept?.type === "persist" && effects.indexOf(kept) < answered, "it is durable first");
  const { layout, plan, nowMs } = cluster;
  const times = { heartbeatIntervalMs: 250, leaseMs: 3000, closedGraceMs: 2500 };
  const limits = { rankGraceMs: 4000, startTimeoutMs: 10_000, stopTimeoutMs: 3000, serve: false };
  const machine = new Coordinator({ term: 2, ...times, ...limits });
  const { record } = kept;
  const setup = { spec: plan.spec, layout, resume: null };
  const told = [...machine.step({ type: "return", setup, term: 2, record }, nowMs)];
  for (const member of record.members)
    told.push(...machine.step({ type: "opened", member }, nowMs));
  const view = told.flatMap((one) => {
    return one.type === "send" && one.message.type === "view" ? [one.message.view.number] : [];
  });
  const counts = { sealedStep: 2, clockMin: 0, version: 3, departed: [] };
  const message = { type: "viewAck", view: Math.max(...view), ...counts } as const;
  for (const member of record.members) {
    if (member.role !== "server") continue;
    told.push(...machine.step({ type: "message", member, message }, nowMs));
  }
  const said = told.flatMap((one) => (one.type === "send" ? [one.message.type] : []));
  assert.ok(said.includes("pause"), `workers are brought to rest: ${said}`);
  const progress = new PlanProgress(plan.spec, record.progress.plan);
  assert.match(
    progress.enter(9, 9, 0),
    /^switch from bsp to ssp .*: as paceline admin switch asked for$/,
  );
});

test("a limit on steps refuses a switch to steps of another kind, and takes one of its own", () => {
  for (const feed of ["static", "leased"] as const) {
    const spec = specOf({ epochs: 4, protocol: plainAsp, maxSteps: 20, feed });
    const cluster = new ModelCluster({ seed: 1, chunks: 4, spec }).start();
    cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
    const effects = cluster.coordinator.step({ type: "switch", request: bsp }, cluster.nowMs);
    const [answer] = effects.flatMap((one) => (one.type === "orderAnswered" ? [one.answer] : []));
    assert.equal(answer?.isAccepted, false, feed);
    assert.match(answer?.text ?? "", /^--max-steps 20 counts steps of asp, .* of bsp/);
    const outer = { optimizer: "average", lr: 1, momentum: 0 };
    const rounds = { ...plainAsp, mode: "local-async", localSteps: 4, outer };
    const other = cluster.coordinator.step({ type: "switch", request: rounds }, cluster.nowMs);
    const [no] = other.flatMap((one) => (one.type === "orderAnswered" ? [one.answer] : []));
    assert.match(no?.text ?? "", /^--max-steps 20 counts steps of asp, .* of local-async/);
    cluster.tell({ type: "switch", request: { mode: "ssp", staleness: 2 } });
    cluster.run();
    assert.deepEqual(switches(cluster), ["ssp"], feed);
    assert.equal(cluster.result.globalSteps, 20, feed);
  }
});

test("a plateau of the test loss ends a phase", () => {
  const evaluateEvery = { unit: "step", count: 1 } as const;
  const spec = clusterPlan(1, [bsp, plainAsp], { evaluateEvery }).spec;
  const [phase, last] = spec.plan;
  // No loss falls by so much.
  const plateau = { window: 2, delta: 1000 };
  const plan = [{ ...phase!, end: null, plateau }, last!];
  const cluster = new ModelCluster({ seed: 1, chunks: 4, spec: { ...spec, plan } }).start().run();
  const told = cluster.events.find(({ text }) => text.startsWith("switch"))?.text;
  assert.match(told ?? "", /from step 3, .*: the loss of 2 evaluations fell by less than 1000$/);
});

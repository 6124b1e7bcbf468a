/** The coordinator's machine told by hand: who is a member, under which term, and what is kept. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { shownId, termOf } from "../../protocol/ids.js";
import { layOut } from "../../protocol/layout.js";
import {
  type MemberMessage,
  protocolVersion,
  type RegisterReply,
  type RegisterRequest,
} from "../../protocol/messages.js";
import { ModelCluster } from "../testing/model-cluster.js";
import { specOf } from "../testing/model-run.js";
import { Coordinator } from "./coordinator.js";
import type { CoordinatorEffect, CoordinatorEvent } from "./coordinator-events.js";

const spec = specOf({ servers: 1, workersMax: 2 });
const layout = layOut([{ name: "w", shape: [2], group: "weight" }], 1);
const setup = { spec, layout, resume: null };

class Scene {
  readonly machine: Coordinator;
  nowMs = 0;

  constructor(term = 1, serve = false) {
    const times = { heartbeatIntervalMs: 250, leaseMs: 3000, closedGraceMs: 2500 };
    const limits = { rankGraceMs: 4000, startTimeoutMs: 10_000, stopTimeoutMs: 3000 };
    this.machine = new Coordinator({ term, ...times, ...limits, serve });
  }

  tell(event: CoordinatorEvent): CoordinatorEffect[] {
    return this.machine.step(event, ++this.nowMs);
  }

  register(changes: Partial<RegisterRequest> = {}): RegisterReply & { readonly accepted: true } {
    const from = { pid: 7, host: "h", address: "", frames: null, attempt: "" };
    const asked = { protocol: protocolVersion, role: "worker", rank: null, incarnation: null };
    const request = { ...asked, ...from, ...changes } as RegisterRequest;
    const effect = this.tell({ type: "register", request }).find(
      ({ type }) => type === "registered",
    );
    assert.ok(effect?.type === "registered" && effect.request === request);
    assert.ok(effect.reply.accepted, JSON.stringify(effect.reply));
    return effect.reply;
  }

  beat(rank: number, incarnation: number, term: number): CoordinatorEffect[] {
    const body = { sequence: 1, received: 0, activity: "", server: null, worker: null, reach: [] };
    const message: MemberMessage = { type: "heartbeat", term, ...body };
    return this.tell({ type: "message", member: { role: "worker", rank, incarnation }, message });
  }
}

test("incarnations and the answer to a registration are of the coordinator's term", () => {
  const scene = new Scene(6);
  const reply = scene.register();
  assert.deepEqual([reply.term, shownId(reply.incarnation)], [6, "6.1"]);
  assert.equal(shownId(scene.register().incarnation), "6.2");
});

test("who asks again as it did not hear the answer is given the same", () => {
  const scene = new Scene();
  scene.tell({ type: "submit", setup, term: 1 });
  const first = scene.register({ attempt: "a" });
  const second = scene.register({ attempt: "b" });
  assert.deepEqual(scene.register({ attempt: "a" }), first);
  assert.deepEqual(scene.register({ attempt: "b", rank: 1 }), second);
  assert.equal(scene.machine.snapshot(scene.nowMs).members.length, 2);
  assert.throws(() => scene.register({ attempt: "c" }), /this run has its 2 workers already/);
  assert.throws(() => scene.register({ attempt: "" }), /this run has its 2 workers already/);
});

test("a server and a worker that ask in the same words are two", () => {
  const scene = new Scene();
  const worker = scene.register({ attempt: "a" });
  const server = scene.register({ attempt: "a", role: "server" });
  assert.notEqual(worker.incarnation, server.incarnation);
});

test("the end of an earlier process of a rank leaves its present one alone", () => {
  const scene = new Scene();
  scene.tell({ type: "submit", setup, term: 1 });
  const { rank, incarnation } = scene.register({ rank: 0, pid: 12 });
  const member = { role: "worker", rank, incarnation } as const;
  const ended = { type: "exited", role: "worker", rank, reason: "ended", restarts: true } as const;
  assert.deepEqual(scene.tell({ ...ended, pid: 11 }), []);
  assert.ok(scene.machine.knows(member));
  const effects = scene.tell({ ...ended, pid: 12 });
  assert.ok(!scene.machine.knows(member));
  assert.ok(effects.some(({ type }) => type === "drop"));
});

test("under a run's higher term workers register again and servers stay", () => {
  const scene = new Scene(1, true);
  const worker = scene.register({ rank: 1 });
  const server = scene.register({ role: "server" });
  const effects = scene.tell({ type: "submit", setup, term: 4 });
  assert.equal(scene.machine.term, 4);
  const dropped = effects.filter(({ type }) => type === "drop");
  const { rank, incarnation } = worker;
  const reason = "has to register again: the run goes on under term 4";
  const member = { role: "worker", rank, incarnation };
  assert.deepEqual(dropped, [{ type: "drop", member, reason }]);
  assert.ok(scene.machine.knows({ role: "server", ...server }));
  const again = scene.register({ rank: 1 });
  assert.deepEqual([again.rank, again.term, shownId(again.incarnation)], [1, 4, "4.1"]);
});

test("a run of a term that is not higher changes nothing", () => {
  const scene = new Scene(4, true);
  const worker = scene.register();
  scene.tell({ type: "submit", setup, term: 2 });
  assert.equal(scene.machine.term, 4);
  assert.ok(scene.machine.knows({ role: "worker", ...worker }));
});

test("a coordinator that hears of a higher term ends its run", () => {
  const scene = new Scene(4);
  scene.tell({ type: "submit", setup, term: 1 });
  const { rank, incarnation } = scene.register();
  const member = { role: "worker", rank, incarnation } as const;
  scene.tell({ type: "opened", member });
  scene.beat(rank, incarnation, 4);
  assert.equal(scene.machine.snapshot(0).phase, "forming");
  scene.beat(rank, incarnation, 5);
  assert.match(
    scene.machine.snapshot(0).activity,
    /worker-0 has heard of term 5, this coordinator's is 4: another has taken over/,
  );
});

test("without a run a member that is drained leaves at once, and is told so once", () => {
  const scene = new Scene();
  const { incarnation } = scene.register({ role: "server" });
  const drain = (rank: number) => {
    const effects = scene.tell({ type: "drain", request: { role: "server", rank } });
    const stops = effects.flatMap((effect) => {
      return effect.type === "send" && effect.message.type === "stop" ? [effect.message] : [];
    });
    const answer = effects.flatMap((effect) => {
      return effect.type === "orderAnswered" ? [effect.answer] : [];
    });
    return { stops, answer };
  };
  const accepted = drain(0);
  assert.deepEqual(accepted.answer, [{ isAccepted: true, text: "server-0 leaves: no run is on" }]);
  assert.deepEqual(
    accepted.stops.map(({ stay, afterStep }) => [stay, afterStep]),
    [[false, false]],
  );
  const again = { isAccepted: false, text: "server-0 has been told to leave already" };
  assert.deepEqual(drain(0), { stops: [], answer: [again] });
  const unknown = { isAccepted: false, text: "there is no server-3; members are server-0" };
  assert.deepEqual(drain(3), { stops: [], answer: [unknown] });
  scene.tell({ type: "submit", setup, term: 1 });
  const member = { role: "server", rank: 0, incarnation } as const;
  const message = {
    type: "leave",
    reason: "server-0 drained",
    server: null,
    worker: null,
  } as const;
  const left = scene.tell({ type: "message", member, message }).flatMap((effect) => {
    return effect.type === "event" ? [[effect.event.kind, effect.event.text]] : [];
  });
  assert.deepEqual(left, [["left", "server-0 drained"]]);
  scene.register({ role: "server" });
  const exit = { type: "exited", role: "server", reason: "ended", restarts: false } as const;
  const forming = { isAccepted: false, text: "server-0 can't be drained while the run is forming" };
  assert.deepEqual(drain(0), { stops: [], answer: [forming] });
  scene.tell({ ...exit, rank: 1, pid: 8 });
  assert.equal(scene.machine.snapshot(0).phase, "idle", "one that a run waits for is missed");
});

test("the end of a process that was told to leave is no news to a run that forms", () => {
  const scene = new Scene();
  const { incarnation } = scene.register({ role: "server" });
  scene.tell({ type: "drain", request: { role: "server", rank: 0 } });
  const member = { role: "server", rank: 0, incarnation } as const;
  const message = { type: "leave", reason: "drained", server: null, worker: null } as const;
  scene.tell({ type: "message", member, message });
  scene.tell({ type: "submit", setup, term: 1 });
  const exit = { type: "exited", role: "server", rank: 0, reason: "ended" } as const;
  scene.tell({ ...exit, pid: 7, restarts: false });
  assert.equal(scene.machine.snapshot(0).phase, "forming");
});

test("a worker's viewAck does not count as that of the server of its rank", () => {
  const cluster = new ModelCluster({ seed: 1, chunks: 2, spec: specOf({ servers: 1 }) }).start();
  let told = false;
  cluster.onTalk = (_from, to, message) => {
    if (told || to !== "server-0" || message.type !== "view") return;
    told = true;
    const { rank, incarnation } = cluster.worker(0)!;
    const counts = { sealedStep: -1, clockMin: 0, version: 0, departed: [] };
    const forged = { type: "viewAck", view: message.view.number, ...counts } as const;
    cluster.tell({
      type: "message",
      member: { role: "worker", rank, incarnation },
      message: forged,
    });
    assert.equal(cluster.coordinator.snapshot(cluster.nowMs).activity, "placing");
  };
  cluster.run();
  assert.ok(told);
  assert.equal(cluster.result.outcome, "done");
});

test("no view, assignment or end is told that is not kept", () => {
  const cluster = new ModelCluster({ seed: 3, chunks: 2, spec: specOf() }).start();
  const told = { view: 0, work: 0, stop: 0 };
  cluster.onTalk = (_from, to, message) => {
    const { type } = message;
    if (type !== "view" && type !== "work" && type !== "stop") return;
    told[type]++;
    const record = cluster.driven.records.at(-1);
    assert.ok(record !== undefined, `${type} to ${to} and nothing is kept`);
    const { view, stand, ending } = record;
    if (type === "view") assert.ok(view.number >= message.view.number);
    if (type === "stop") assert.equal(ending?.outcome, "done");
    if (type === "work") assert.match(JSON.stringify(stand.work), inRecord(message.assignment.id));
  };
  const inRecord = (assignment: number) => new RegExp(`"id":${assignment}\\b`);
  cluster.run(1, () => cluster.coordinator.snapshot(cluster.nowMs).globalSteps >= 2);
  cluster.kill(cluster.worker(1)!, "exited");
  cluster.run();
  assert.ok(told.view > 4 && told.work > 4 && told.stop > 4, JSON.stringify(told));
  assert.deepEqual(
    cluster.driven.records.map(({ run, term }) => `${run}, ${term}`),
    cluster.driven.records.map(() => `${cluster.plan.spec.run}, 1`),
  );
});

test("a run that was over is over for each coordinator that comes back to it", () => {
  const cluster = new ModelCluster({ seed: 3, chunks: 2, spec: specOf() }).start();
  cluster.run();
  let record = cluster.driven.records.at(-1)!;
  for (const term of [2, 3]) {
    assert.equal(record.ending?.outcome, "done");
    // Else it would be begun anew.
    assert.equal(record.stand.isLoaded, true, `what term ${term} finds`);
    const run = { spec: cluster.plan.spec, layout: cluster.layout, resume: null };
    const effects = new Scene().tell({ type: "return", setup: run, term, record });
    const kept = effects.find(({ type }) => type === "persist");
    assert.ok(kept?.type === "persist");
    record = kept.record;
  }
});

test("a view that can't be kept is told to nobody, and the run ends", () => {
  const cluster = new ModelCluster({ seed: 3, chunks: 2, spec: specOf() }).start();
  cluster.driven.persistProblem = "can't write coordinator.json: the disk is full";
  const told: string[] = [];
  cluster.onTalk = (_from, to, message) => void (message.type === "view" && told.push(to));
  cluster.run();
  assert.deepEqual(told, []);
  const { outcome, code, reason } = cluster.result;
  assert.deepEqual([outcome, code], ["failed", "storage"]);
  assert.match(reason, /the disk is full/);
});

test("a resumed run has ids above all those of the run before", () => {
  const plan = { seed: 2, chunks: 2, spec: specOf({ epochs: 2 }) };
  const first = new ModelCluster(plan).start();
  first.run(1, () => first.coordinator.snapshot(first.nowMs).globalSteps >= 3);
  first.tell({ type: "interrupt", reason: "Ctrl-C" });
  first.run();
  const resume = first.checkpoints.at(-1)!;
  assert.equal(resume.snapshot.term, 1);
  const second = new ModelCluster({ ...plan, resume });
  const ids: number[] = [];
  second.onTalk = (_from, _to, message) => {
    if (message.type === "view") ids.push(message.view.number);
    if (message.type === "work") ids.push(message.assignment.id);
    if (message.type === "evaluate") ids.push(message.evaluation);
  };
  second.start().run();
  assert.equal(second.result.outcome, "done", second.result.reason);
  assert.ok(ids.length > 4);
  assert.deepEqual(new Set(ids.map(termOf)), new Set([2]));
  assert.ok(second.workers().every(({ incarnation }) => termOf(incarnation) === 2));
  assert.equal(second.checkpoints.at(-1)?.snapshot.term, 2);
});

/** What a suite asks of a cluster over the network, while answers are lost and nobody answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../../errors.js";
import type { JobEventsRequest, Submission } from "../../protocol/run-events.js";
import { ServedCluster, type ServedPlace } from "./served-cluster.js";

const gone = new PacelineError("unavailable", "127.0.0.1:1 does not answer");

function jobNamed(name: string) {
  const times = { submittedAt: "", startedAt: null, endedAt: null };
  const about = { id: 1, name, state: "queued", waitsFor: "", priority: 0, workers: 1, servers: 1 };
  return { ...about, ...times, submitter: null, reason: "", result: null };
}

interface Scene {
  readonly cluster: ServedCluster;
  readonly taken: Submission[];
  readonly told: string[];
}

function sceneOf(transport: Partial<ServedPlace["transport"]>, awayMsMax = 5000): Scene {
  const taken: Submission[] = [];
  const told: string[] = [];
  const refuse = async () => {
    throw new PacelineError("internal", "not asked for");
  };
  const place: ServedPlace = {
    transport: {
      ...{ status: refuse, cancelJob: refuse, jobEvents: refuse },
      jobs: async () => taken.map(({ config }) => jobNamed(/name: "(.*)"/.exec(config)?.[1] ?? "")),
      submit: async (_, submission) => {
        taken.push(submission);
        return "taken";
      },
      ...transport,
    },
    address: "127.0.0.1:1",
    find: async () => "127.0.0.1:1",
    io: { stderr: { write: (text: string) => told.push(text) } },
    ...{ awayMsMax, lookMs: 1 },
  };
  return { cluster: new ServedCluster(place), taken, told };
}

test("a job whose taking was not answered is not submitted again", async () => {
  let failures = 1;
  const scene: Scene = sceneOf({
    submit: async (_, submission) => {
      scene.taken.push(submission);
      if (failures-- > 0) throw gone;
      return "taken";
    },
  });
  await scene.cluster.submit("cell-1", "lr: 1\n");
  assert.deepEqual(
    scene.taken.map(({ config }) => config),
    ['lr: 1\nname: "cell-1"\n'],
  );
  assert.deepEqual([...(await scene.cluster.jobs()).keys()], ["cell-1"]);
});

test("a submission that never arrived is made again", async () => {
  let failures = 1;
  const scene: Scene = sceneOf({
    submit: async (_, submission) => {
      if (failures-- > 0) throw gone;
      scene.taken.push(submission);
      return "taken";
    },
  });
  await scene.cluster.submit("cell-1", "lr: 1\n");
  assert.equal(scene.taken.length, 1);
});

test("a coordinator that stays away ends the suite, saying how to go on", async () => {
  const away = async () => {
    throw gone;
  };
  const { cluster, told } = sceneOf({ jobs: away }, 20);
  const message = /has been away for 0 s: run the suite again once it is back: it finds its jobs/;
  await assert.rejects(cluster.jobs(), { code: "unavailable", message });
  assert.deepEqual(told, ["127.0.0.1:1 does not answer; asking again\n"]);
  await assert.rejects(cluster.size(), { message: /does not answer$/ });
});

test("members are counted, records read whole, and what is over may be cancelled", async () => {
  const asked: JobEventsRequest[] = [];
  const members = [{ role: "worker" }, { role: "server" }, { role: "worker" }];
  const scene = sceneOf({
    status: async () => ({ members }),
    cancelJob: async () => {
      throw new PacelineError("refused", "job x has ended");
    },
    jobEvents: async (_, request) => {
      asked.push(request);
      const text = ["first\n", "second\n"][asked.length - 1] ?? "";
      return { text, next: request.from + text.length, isOver: text === "" };
    },
  });
  assert.deepEqual(await scene.cluster.size(), { workers: 2, servers: 1 });
  await scene.cluster.cancel("x");
  assert.equal(await scene.cluster.read("x", "metrics"), "first\nsecond\n");
  assert.deepEqual(
    asked.map(({ from, record }) => [from, record]),
    [0, 6, 13].map((from) => [from, "metrics"]),
  );
  const odd = sceneOf({ status: async () => ({ members: "many" }) });
  await assert.rejects(odd.cluster.size(), { code: "protocol" });
});

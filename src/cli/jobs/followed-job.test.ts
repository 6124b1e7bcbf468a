/** Waiting for a job, over a coordinator that comes and goes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../../errors.js";
import type { JobEvents, JobSummary } from "../../protocol/run-events.js";
import { eventsIn, untilJobEnds } from "./followed-job.js";

const result = {
  ...{ exitCode: 4, code: "too_few_workers", globalSteps: 9, seconds: 1 },
  ...{ accuracyPercent: null, loss: null },
};
const job: JobSummary = {
  ...({
    id: 1,
    name: "x",
    state: "queued",
    waitsFor: "waits for 1 more worker",
    priority: 0,
  } as const),
  ...{ workers: 2, servers: 1, submittedAt: "", startedAt: null, endedAt: null, submitter: null },
  ...{ reason: "", result: null },
};
const away = new PacelineError("unavailable", "nobody listens there");

/** Answers one after the other; what is an error is thrown. */
function wait(answers: (JobSummary | PacelineError)[], parts: JobEvents[] | null = null) {
  let told = "";
  const io = { stderr: { write: (text: string) => (told += text) } };
  const transport = {
    jobs: async () => {
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
      if (answer instanceof PacelineError) throw answer;
      return [answer];
    },
    jobEvents: async () => parts?.shift() ?? { text: "", next: 0, isOver: false },
  };
  const followed = { transport, address: "a", follows: parts !== null, io };
  const times = { awayMsMax: 200, lookMs: 5 };
  const ended = untilJobEnds("x", { ...followed, ...times });
  return { ended, told: () => told };
}

test("it survives an absence and ends with the job's exit code", async () => {
  const running: JobSummary = { ...job, state: "running", waitsFor: "" };
  const failed: JobSummary = { ...job, state: "failed", reason: "1 is left", result };
  const { ended, told } = wait([job, job, away, away, running, failed]);
  assert.equal((await ended).exitCode, 4);
  const lines = ["job x waits for 1 more worker", "nobody listens there; asking again"];
  lines.push("the coordinator answers again", "job x is failed: 1 is left", "");
  assert.equal(told(), lines.join("\n"));
});

test("where several may lead it looks anew for the one that does", async () => {
  const asked: string[] = [];
  const jobs = async (address: string) => {
    asked.push(address);
    if (address === "a") throw away;
    return [{ ...job, state: "cancelled" }];
  };
  const transport = { jobs, jobEvents: async () => ({ text: "", next: 0, isOver: false }) };
  const io = { stderr: { write: () => {} } };
  // At first none of them answers, as nobody leads yet.
  const found = [away, away, "b"];
  const find = async () => {
    const one = found.shift()!;
    if (typeof one !== "string") throw one;
    return one;
  };
  await untilJobEnds("x", { transport, address: "a", find, follows: false, io, lookMs: 5 });
  assert.deepEqual(asked, ["a", "a", "a", "b"]);
});

test("a job that was cancelled in the queue ends as an interrupted one", async () => {
  const { ended } = wait([{ ...job, state: "cancelled" }]);
  assert.equal((await ended).exitCode, 130);
});

test("it gives up after a limit, and at once where asking again is of no use", async () => {
  const remedy = /has been away for 0 s: ask for the job with paceline jobs show x/;
  await assert.rejects(wait([away]).ended, { code: "unavailable", message: remedy });
  const unknown = new PacelineError("refused", "there is no job x");
  await assert.rejects(wait([unknown]).ended, { code: "refused" });
});

test("followed, it shows all that happened before it says how the job ended", async () => {
  const line = (kind: string, text: string) => `${JSON.stringify({ kind, text })}\n`;
  const parts = [
    { text: line("epoch", "epoch 1") + line("view", "view 3"), next: 9, isOver: false },
    { text: line("lost", "worker-1 lost"), next: 19, isOver: false },
  ];
  const { ended, told } = wait(
    [{ ...job, state: "done", result: { ...result, exitCode: 0 } }],
    parts,
  );
  assert.equal((await ended).exitCode, 0);
  assert.equal(told(), "epoch 1\nworker-1 lost\njob x is done\n");
  assert.deepEqual(eventsIn('{"kind":"a"}\n{torn\n{"kind":"b","text":"c"}\n'), [
    { kind: "b", text: "c" },
  ]);
});

import assert from "node:assert/strict";
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { aroundFiles, diskFiles } from "../../store/files.js";
import { joinTraces, readTrace, type TraceEvent, TraceFile } from "./trace-file.js";

let root = "";
let folder = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "paceline-trace-"));
});
beforeEach(async () => {
  folder = await mkdtemp(join(root, "parts-"));
});
after(() => rm(root, { recursive: true, force: true }));

const owner = { name: "worker-0", pid: 12, originMs: 1_000_000 };

async function eventsOf(path: string): Promise<TraceEvent[]> {
  const events: TraceEvent[] = [];
  for await (const event of readTrace(path)) events.push(event);
  return events;
}

describe("a process's trace", () => {
  test("names process and tracks once, and has spans in microseconds", async () => {
    const path = join(folder, "worker-0.json");
    const trace = await TraceFile.open(path, owner);
    trace.span("compute", "step 0", 5, 9);
    trace.span("compute", "forward", 5, 7.0004);
    trace.span("chunk 3", "send", 6, 6.5);
    await trace.close();
    assert.match(await readFile(path, "utf8"), /^\[\n\{.*\},\n/);
    assert.deepEqual(await eventsOf(path), [
      { name: "process_name", ph: "M", tid: 0, args: { name: "worker-0" }, pid: 12 },
      { name: "thread_name", ph: "M", tid: 1, args: { name: "compute" }, pid: 12 },
      { name: "step 0", ph: "X", tid: 1, ts: 1_000_005_000, dur: 4000, pid: 12 },
      { name: "forward", ph: "X", tid: 1, ts: 1_000_005_000, dur: 2000, pid: 12 },
      { name: "thread_name", ph: "M", tid: 2, args: { name: "chunk 3" }, pid: 12 },
      { name: "send", ph: "X", tid: 2, ts: 1_000_006_000, dur: 500, pid: 12 },
    ]);
  });

  test("is continued by a process that was started again", async () => {
    const path = join(folder, "worker-0.json");
    for (const pid of [12, 13]) {
      const trace = await TraceFile.open(path, { ...owner, pid });
      for (let index = 0; index < 1500; index++) trace.span("compute", "step", index, index + 1);
      await trace.close();
    }
    const events = await eventsOf(path);
    assert.deepEqual([events.length, events.at(0)?.pid, events.at(-1)?.pid], [3004, 12, 13]);
  });

  test("is continued after a line that a killed process has torn", async () => {
    const path = join(folder, "worker-0.json");
    const first = await TraceFile.open(path, owner);
    first.span("compute", "step 0", 0, 1);
    await first.close();
    await appendFile(path, '{"name":"step 1","ph":"X"');
    const second = await TraceFile.open(path, { ...owner, pid: 13 });
    second.span("compute", "step 2", 2, 3);
    await second.close();
    const steps = (await eventsOf(path)).filter(({ ph }) => ph === "X");
    assert.deepEqual(
      steps.map(({ name, pid }) => [name, pid]),
      [
        ["step 0", 12],
        ["step 2", 13],
      ],
    );
  });

  test("says when it could not be written, once it is closed", async () => {
    const files = aroundFiles(diskFiles, (verb, _path, action) => {
      if (verb === "write") throw new PacelineError("storage", "no room");
      return action();
    });
    const trace = await TraceFile.open(join(folder, "worker-0.json"), owner, files);
    trace.span("compute", "step 0", 5, 9);
    await assert.rejects(trace.close(), { code: "storage", message: /no room/ });
  });
});

describe("the trace of a run", () => {
  test("has the events of all its processes, moments from the run's begin on", async () => {
    for (const [pid, name] of ["server-0", "worker-0"].entries()) {
      const trace = await TraceFile.open(join(folder, `${name}.json`), { ...owner, name, pid });
      trace.span("apply", "chunk 1", 10, 12);
      await trace.close();
    }
    await appendFile(join(folder, "worker-0.json"), '{"name":"torn');
    const into = join(root, "trace.json");
    await joinTraces(folder, into, owner.originMs);
    const { traceEvents } = JSON.parse(await readFile(into, "utf8"));
    const spans = traceEvents.filter(({ ph }: TraceEvent) => ph === "X");
    assert.deepEqual(
      spans.map(({ pid, ts, dur }: TraceEvent) => [pid, ts, dur]),
      [
        [0, 10_000, 2000],
        [1, 10_000, 2000],
      ],
    );
    assert.equal(traceEvents.length, 6);
  });

  test("is an empty one where no process has left any", async () => {
    const into = join(root, "none.json");
    await joinTraces(join(folder, "missing"), into, 0);
    assert.deepEqual(JSON.parse(await readFile(into, "utf8")).traceEvents, []);
  });
});

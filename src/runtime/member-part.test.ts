/** How a member's part ends: at once where it is told to stop, or after the step that it is in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CoordinatorPlaces } from "../host/session/coordinator-places.js";
import { HeardTerm } from "../host/session/heard-term.js";
import type { MemberSession } from "../host/session/member-session.js";
import type { WorkerHost } from "../host/worker-host.js";
import { mint } from "../protocol/ids.js";
import type { CoordinatorMessage, MemberMessage } from "../protocol/messages.js";
import { idleWorker } from "../protocol/statistics.js";
import type { CoordinatorReceiver, Transport } from "../transport/transport.js";
import { MemberPart, registrationOf } from "./member-part.js";
import { processClock } from "./process/process-clock.js";

const times = { startTimeoutMs: 1000, ioTimeoutMs: 1000, coordinatorGraceMs: 5000 };

/** A part that has joined, what it says, and how the coordinator answers. */
async function joined() {
  const said: MemberMessage["type"][] = [];
  let receiver: CoordinatorReceiver | null = null;
  let isClosed = false;
  const register: Transport["register"] = async () => {
    const given = { rank: 2, incarnation: mint(1, 1), term: 1, run: "" };
    return { accepted: true, ...given, heartbeatIntervalMs: 60_000, leaseMs: 60_000 };
  };
  const openSession: Transport["openSession"] = (_address, _identity, given) => {
    receiver = given;
    const send = ({ type }: MemberMessage) => void said.push(type);
    const close = () => {
      isClosed = true;
    };
    return { peer: "here", send, close };
  };
  const transport = { register, openSession } as unknown as Transport;
  const part = new MemberPart({
    ...{
      transport,
      clock: processClock,
      config: { coordinator: new CoordinatorPlaces("here"), ...times },
    },
    ...{ request: registrationOf("worker", 2), heard: new HeardTerm(), log: () => {} },
  });
  const heard: CoordinatorMessage["type"][] = [];
  const own: { session: MemberSession | null } = { session: null };
  const host = {
    attach: (session: MemberSession) => {
      own.session = session;
    },
    heartbeat: () => ({ activity: "", server: null, worker: idleWorker, reach: [] }),
    onMessage: ({ type }: CoordinatorMessage) => void heard.push(type),
  } as unknown as WorkerHost;
  await part.join(() => ({ host, onLost: () => {}, onLeft: () => {}, onMoved: () => {} }));
  const say = (message: CoordinatorMessage) => receiver!.onMessage(message);
  const acknowledge = (received: number) =>
    say({ type: "heartbeatAck", sequence: 1, received, term: 1, sinceTerm: 1, note: "" });
  acknowledge(0);
  const stop = (afterStep: boolean) =>
    say({ type: "stop", reason: "drained", outcome: "interrupted", stay: false, afterStep });
  const leave = () =>
    own.session!.send({ type: "leave", reason: "drained", server: null, worker: idleWorker });
  return { part, said, heard, stop, leave, acknowledge, isClosed: () => isClosed };
}

const oneTurn = () => new Promise((resolve) => setImmediate(resolve));

test("a member that is told to stop ends its session when its goodbye is heard", async () => {
  const { stop, leave, acknowledge, isClosed, part } = await joined();
  leave();
  stop(false);
  await oneTurn();
  assert.ok(!isClosed());
  acknowledge(1);
  await part.finish();
  while (!isClosed()) await oneTurn();
});

test("a worker that has a step to complete keeps its session until it says goodbye", async () => {
  const { stop, leave, acknowledge, said, isClosed, part } = await joined();
  assert.ok(part.drain("SIGTERM"));
  assert.equal(said.at(-1), "leaving");
  acknowledge(1);
  stop(true);
  for (let turn = 0; turn < 20; turn++) await oneTurn();
  assert.ok(!isClosed(), "its step is not complete");
  leave();
  assert.ok(said.includes("leave"), "the goodbye is said");
  const finished = part.finish();
  acknowledge(2);
  await finished;
  assert.ok(isClosed());
  assert.ok(!part.drain("SIGTERM"), "nothing is left to be asked");
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { PacelineError } from "../errors.js";
import { mint } from "../protocol/ids.js";
import {
  type CoordinatorMessage,
  type MemberMessage,
  protocolVersion,
  type RegisterReply,
  type RegisterRequest,
} from "../protocol/messages.js";
import type { View } from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import { HeardTerm } from "./heard-term.js";
import { MemberSession, register } from "./member-session.js";

const config = { coordinator: "there", startTimeoutMs: 5000, ioTimeoutMs: 5000 };
const identity = { role: "worker", rank: 0, incarnation: mint(2, 1) } as const;
const request: RegisterRequest = {
  ...{ protocol: protocolVersion, role: "worker", rank: 0, incarnation: null },
  ...{ pid: 1, host: "h", address: "", frames: null, attempt: "a" },
};

function viewOf(number: number): CoordinatorMessage {
  const view: View = {
    ...{ run: "r", number, generation: 0, phase: 0, phaseFromStep: 0 },
    ...{ servers: [], workers: [], replicas: [], fences: [] },
  };
  return { type: "view", view };
}

/** A session whose coordinator is the test, by a clock that the test walks. */
class Bench {
  readonly heard = new HeardTerm();
  readonly said: MemberMessage[] = [];
  readonly told: CoordinatorMessage[] = [];
  readonly lost: PacelineError[] = [];
  readonly session: MemberSession;
  opened = 0;
  closed = 0;
  #say: (message: CoordinatorMessage) => void = () => {};
  #nowMs = 0;
  readonly #timers: { dueMs: number; action: () => void }[] = [];

  constructor() {
    const clock = {
      nowMs: () => this.#nowMs,
      after: (delayMs: number, action: () => void) => {
        const timer = { dueMs: this.#nowMs + delayMs, action };
        this.#timers.push(timer);
        return { cancel: () => void this.#timers.splice(this.#timers.indexOf(timer) >>> 0, 1) };
      },
    };
    const transport = {
      openSession: (_address: string, _identity: unknown, receiver: { onMessage: () => void }) => {
        this.opened++;
        this.#say = receiver.onMessage;
        return {
          peer: "there",
          send: (message: MemberMessage) => void this.said.push(message),
          close: () => void this.closed++,
        };
      },
    } as unknown as Transport;
    const handler = {
      onMessage: (message: CoordinatorMessage) => void this.told.push(message),
      heartbeat: () => ({ activity: "", server: null, worker: null }),
      onLost: (error: PacelineError) => void this.lost.push(error),
      log: () => {},
    };
    const parts = { transport, clock, config, handler, heard: this.heard };
    this.session = new MemberSession(parts, identity, 250);
  }

  /** The coordinator says this over the present stream. */
  hear(message: CoordinatorMessage): void {
    this.#say(message);
  }

  acknowledge(term: number, received = 0): void {
    this.hear({ type: "heartbeatAck", sequence: 1, received, term });
  }

  walk(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#timers.sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#timers.shift();
      this.#nowMs = next.dueMs;
      next.action();
    }
    this.#nowMs = endMs;
  }
}

test("nothing is taken from a coordinator before it has said its term", () => {
  const bench = new Bench();
  bench.hear(viewOf(mint(2, 1)));
  assert.deepEqual(bench.told, []);
  bench.acknowledge(2);
  bench.hear(viewOf(mint(2, 1)));
  assert.deepEqual(bench.told, [viewOf(mint(2, 1))]);
  assert.equal(bench.heard.value, 2);
  bench.session.close();
});

test("a coordinator of a lower term is hung up on, and tried again until patience ends", () => {
  const bench = new Bench();
  bench.heard.hear(3);
  for (let time = 0; time < 3; time++) {
    bench.acknowledge(2);
    bench.hear(viewOf(mint(2, 1)));
    bench.walk(200);
  }
  assert.deepEqual([bench.told, bench.opened, bench.closed], [[], 4, 3]);
  bench.walk(6000);
  bench.acknowledge(2);
  const [lost] = bench.lost;
  assert.equal(lost?.code === "refused", false, "it was not given up by its own coordinator");
  assert.equal(bench.lost.length, 1);
});

test("a view of a lower term is counted and not handed on; one of a higher raises the term", () => {
  const bench = new Bench();
  bench.acknowledge(2);
  bench.hear(viewOf(mint(3, 1)));
  assert.equal(bench.heard.value, 3);
  bench.hear(viewOf(mint(2, 9)));
  assert.deepEqual(bench.told, [viewOf(mint(3, 1))]);
  bench.said.length = 0;
  bench.walk(250);
  const [beat] = bench.said;
  assert.deepEqual(beat?.type === "heartbeat" && [beat.received, beat.term], [2, 3]);
  bench.session.close();
});

test("a registration with a coordinator of a lower term is none", async () => {
  const heard = new HeardTerm();
  heard.hear(2);
  const terms = [1, 2];
  const transport = {
    register: async (): Promise<RegisterReply> => ({
      ...{ accepted: true, rank: 0, incarnation: 1, heartbeatIntervalMs: 250, leaseMs: 3000 },
      term: terms.shift()!,
    }),
  } as unknown as Transport;
  const clock = {
    nowMs: () => 0,
    after: (_delayMs: number, action: () => void) => {
      queueMicrotask(action);
      return { cancel: () => {} };
    },
  };
  const log: string[] = [];
  const note = (text: string) => void log.push(text);
  const reply = await register(transport, clock, config, request, note, heard);
  assert.equal(reply.term, 2);
  assert.match(log.join(), /is of term 1, and term 2 has been heard of: another has taken its/);
});

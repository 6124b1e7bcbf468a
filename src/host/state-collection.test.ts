/** The two rounds in which a model's state is collected, with servers told what to say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { PacelineError } from "../errors.js";
import type { CutLimit } from "../protocol/cut.js";
import { layOut } from "../protocol/layout.js";
import { type AppliedMark, type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import { firstPhase, type View } from "../protocol/view.js";
import type { ChunkReceiver, Transport } from "../transport/transport.js";
import { BackgroundPace } from "./background-pace.js";
import { collectState } from "./state-collection.js";
import { ManualClock } from "./testing/manual-clock.js";

const layout = layOut([{ name: "w", shape: [8], group: "weight" }], 4);
const marks = { version: 3, examples: 12, sealedStep: 2, applied: [] };

interface Asked {
  readonly server: number;
  readonly header: ChunkHeader;
}

/** Servers that write down what they are asked for. */
class Servers {
  readonly clock = new ManualClock();
  readonly asked: Asked[] = [];
  copied = 0;
  readonly #receivers = new Map<number, ChunkReceiver>();
  readonly #signal = new AbortController();
  readonly replicas: readonly (readonly number[])[];
  readonly ended: Promise<unknown>;

  readonly pace = new BackgroundPace(this.clock, 60_000);

  /** The limits that were told; null where nobody was told any. */
  limits: readonly CutLimit[] | null = null;

  constructor(
    replicas: readonly (readonly number[])[],
    isBeside = true,
    isHurried = true,
    isCut = false,
  ) {
    if (isHurried) this.pace.hurry();
    this.replicas = replicas;
    const openChunks = (address: string, receiver: ChunkReceiver) => {
      const server = Number(address);
      this.#receivers.set(server, receiver);
      // Who is greeted again answers at once.
      let isGreeted = false;
      return {
        peer: address,
        send: (header: ChunkHeader, _payload: unknown, sent?: () => void) => {
          sent?.();
          if (header.kind !== "hello") this.asked.push({ server, header });
          else if (isGreeted) receiver.onChunk({ ...emptyHeader, kind: "welcome", run: "r" }, null);
          isGreeted ||= header.kind === "hello";
        },
        close: () => {},
      };
    };
    const transport = { openChunks } as unknown as Transport;
    const parts = { transport, clock: this.clock, ioTimeoutMs: 5000, signal: this.#signal.signal };
    const beside = isBeside ? this.pace : null;
    const order = { view: this.#view(), layout, stateParts: 1, beside };
    const onCopied = () => void this.copied++;
    const takeLimits = (limits: readonly CutLimit[]) => {
      this.limits = limits;
    };
    const onMarked = isCut ? takeLimits : null;
    this.ended = collectState(parts, { ...order, onMarked, onCopied }).then(
      ({ weights, state, marks: told }) => [[...weights], [...state[0]!], told.length],
      (thrown: PacelineError) => thrown.message,
    );
  }

  #view(): View {
    const servers = [...new Set(this.replicas.flat())].sort();
    return {
      ...{ run: "r", number: 1, generation: 0, ...firstPhase({ mode: "bsp" }) },
      servers: servers.map((index) => {
        return { index, incarnation: 1, address: `${index}`, frames: null };
      }),
      ...{ workers: [], candidates: [], departing: [] },
      ...{ replicas: this.replicas, fences: [1, 1] },
    };
  }

  abort(): void {
    this.#signal.abort();
  }

  /** The servers welcome their caller. */
  welcome(...servers: number[]): this {
    for (const server of servers) {
      const { onChunk } = this.#receivers.get(server)!;
      onChunk({ ...emptyHeader, kind: "welcome", run: "r" }, null);
    }
    return this;
  }

  /** What was asked since the last time, as `kind chunk at server`. */
  take(): string[] {
    return this.asked.splice(0).map(({ server, header: { kind, chunk } }) => {
      return `${kind} ${chunk} at ${server}`;
    });
  }

  copy(server: number, chunk: number, seq = 3, applied: readonly AppliedMark[] = []): this {
    const detail = JSON.stringify({ ...marks, applied });
    const about = { chunk, step: seq, version: 3, detail };
    const header = { ...emptyHeader, kind: "copied", ...about } as const;
    this.#receivers.get(server)!.onChunk(header, null);
    return this;
  }

  /** Sends both parts of a chunk, full of this value. */
  save(server: number, chunk: number, value: number): this {
    for (const part of ["state1", "weights"] as const) {
      const detail = part === "weights" ? JSON.stringify(marks) : "";
      const header = { ...emptyHeader, kind: "saved", chunk, part, detail } as const;
      const { onHeader, onChunk } = this.#receivers.get(server)!;
      const bytes = onHeader(header, 16);
      bytes?.set(new Uint8Array(new Float32Array(4).fill(value).buffer));
      onChunk(header, bytes);
    }
    return this;
  }

  refuse(server: number, chunk: number): this {
    const header = { ...emptyHeader, kind: "reply", outcome: "refused", chunk } as const;
    this.#receivers.get(server)!.onChunk({ ...header, detail: "no room" }, null);
    return this;
  }

  /** The link to a server breaks, and another opens. */
  reopen(server: number): this {
    this.#receivers.get(server)!.onClose(new PacelineError("unavailable", "cut"));
    this.clock.pass(100);
    return this.welcome(server);
  }
}

test("nothing is sent before all is copied, and from then on training may go on", async () => {
  const servers = new Servers([[0], [1]]).welcome(0, 1);
  assert.deepEqual(servers.take(), ["copy 0 at 0", "copy 1 at 1"]);
  servers.copy(0, 0);
  assert.deepEqual([servers.take(), servers.copied], [[], 0]);
  servers.copy(1, 1);
  assert.deepEqual([servers.take(), servers.copied], [["save 0 at 0", "save 1 at 1"], 1]);
  servers.save(1, 1, 7).save(0, 0, 5);
  const [low, high] = [Array(4).fill(5), Array(4).fill(7)];
  assert.deepEqual(await servers.ended, [[...low, ...high], [...low, ...high], 2]);
  assert.equal(servers.copied, 1);
});

test("a backup gives its copy where it is the primary's, which is given up", async () => {
  const servers = new Servers([
    [0, 1],
    [1, 0],
  ]).welcome(0, 1);
  servers.take();
  servers.copy(1, 0).copy(0, 0).copy(0, 1).copy(1, 1);
  assert.deepEqual(servers.take(), [
    ...["discard 0 at 0", "discard 1 at 1"],
    ...["save 1 at 0", "save 0 at 1"],
  ]);
  servers.save(1, 0, 1).save(0, 1, 2);
  assert.deepEqual(((await servers.ended) as number[][])[0], [1, 1, 1, 1, 2, 2, 2, 2]);
});

for (const [what, lag] of [
  ["is behind", (servers: Servers) => servers.copy(1, 0, 2)],
  ["has none", (servers: Servers) => servers.refuse(1, 0)],
] as const) {
  test(`where a backup ${what} the primary gives its copy`, async () => {
    const servers = new Servers([[0, 1], [0]]).welcome(0, 1);
    servers.take();
    lag(servers).copy(0, 1).copy(0, 0);
    assert.deepEqual(servers.take(), ["discard 0 at 1", "save 0 at 0", "save 1 at 0"]);
    servers.save(0, 0, 1).save(0, 1, 2);
    assert.deepEqual(((await servers.ended) as number[][])[0], [1, 1, 1, 1, 2, 2, 2, 2]);
  });
}

test("a link that breaks before all is copied is asked anew, as nobody has gone on", async () => {
  const servers = new Servers([[0, 1], [0]]).welcome(0, 1);
  servers.copy(0, 0).copy(1, 0);
  servers.take();
  servers.reopen(1);
  assert.deepEqual(servers.take(), ["copy 0 at 0", "copy 0 at 1"]);
  servers.copy(1, 0).copy(0, 0).copy(0, 1);
  assert.deepEqual(servers.take(), ["discard 0 at 0", "save 1 at 0", "save 0 at 1"]);
  servers.save(0, 1, 2).save(1, 0, 1);
  assert.deepEqual(((await servers.ended) as number[][])[0], [1, 1, 1, 1, 2, 2, 2, 2]);
});

test("one that breaks later ends it where training has gone on", async () => {
  const servers = new Servers([[0], [1]]).welcome(0, 1).copy(0, 0).copy(1, 1);
  servers.save(0, 0, 1).reopen(0).reopen(1);
  const wanted = "the link to server-1 broke, and 1 copies are lost with it";
  assert.equal(await servers.ended, wanted, "server 0 has given all that it had");
});

test("one that breaks later, at rest, is asked for what it has not given", async () => {
  const servers = new Servers([[0], [1]], false).welcome(0, 1).copy(0, 0).copy(1, 1);
  servers.save(0, 0, 1);
  servers.take();
  servers.reopen(1);
  assert.deepEqual(servers.take(), ["copy 1 at 1"]);
  servers.copy(1, 1);
  assert.deepEqual(servers.take(), ["save 1 at 1"]);
  servers.save(1, 1, 2);
  assert.deepEqual(((await servers.ended) as number[][])[0], [1, 1, 1, 1, 2, 2, 2, 2]);
});

test("what is refused, silent, told wrongly or given up ends it", async () => {
  const begun = () => new Servers([[0], [1]]).welcome(0, 1);
  assert.equal(await begun().refuse(0, 0).ended, "server-0 refused: no room");
  const aborted = begun();
  aborted.abort();
  assert.equal(await aborted.ended, "the servers are asked no more");
  const silent = begun().copy(0, 0);
  for (let second = 0; second < 6; second++) silent.clock.pass(1000);
  assert.match(String(await silent.ended), /^server-1 at 1 has not answered for \d s$/);
  const refused = begun().copy(0, 0).copy(1, 1).refuse(1, 1);
  assert.equal(await refused.ended, "server-1 refused: no room", "its copy is gone");
});

test("what it slept itself is nobody's silence", async () => {
  const servers = new Servers([[0], [1]]).welcome(0, 1).copy(0, 0);
  for (let time = 0; time < 6; time++) servers.clock.sleep(60_000);
  servers.copy(1, 1);
  servers.save(0, 0, 1).save(1, 1, 2);
  assert.deepEqual(((await servers.ended) as number[][])[0], [1, 1, 1, 1, 2, 2, 2, 2]);
});

test("beside training one chunk is asked for after the other", async () => {
  const servers = new Servers([[0], [1]], true, false).welcome(0, 1).copy(0, 0).copy(1, 1);
  assert.deepEqual(servers.take().slice(2), ["save 0 at 0"]);
  servers.save(0, 0, 1);
  await setImmediate();
  assert.deepEqual(servers.take(), ["save 1 at 1"]);
  servers.save(1, 1, 2);
  assert.deepEqual(((await servers.ended) as number[][])[0], [1, 1, 1, 1, 2, 2, 2, 2]);
});

test("for a cut primaries mark their chunks, and are told its limits when all have", async () => {
  const servers = new Servers([[0, 1], [1]], true, true, true).welcome(0, 1);
  assert.deepEqual(servers.take(), ["mark 0 at 0", "mark 1 at 1"]);
  const about = { rank: 2, incarnation: 7 };
  servers.copy(0, 0, 3, [{ ...about, step: 4 }]);
  servers.copy(0, 0);
  assert.deepEqual([servers.take(), servers.limits], [[], null]);
  servers.copy(1, 1, 3, [{ ...about, step: 5 }]);
  const limits = [{ ...about, step: 5, usedStep: 5, used: 0 }];
  assert.deepEqual(servers.limits, limits);
  const told = servers.asked.map(({ header: { detail } }) => JSON.parse(detail) as unknown);
  assert.deepEqual(told, [limits, limits]);
  assert.deepEqual(servers.take(), ["cut 0 at 0", "cut 1 at 1"]);
  servers.copy(1, 1);
  for (let second = 0; second < 20; second++) servers.clock.pass(1000);
  assert.deepEqual([servers.take(), servers.copied], [[], 0], "a worker may be slow");
  servers.copy(0, 0);
  assert.deepEqual([servers.take(), servers.copied], [["save 0 at 0", "save 1 at 1"], 1]);
  servers.save(0, 0, 1).save(1, 1, 2);
  assert.deepEqual(((await servers.ended) as number[][])[0], [1, 1, 1, 1, 2, 2, 2, 2]);
});

test("a cut is over with a link, a refusal, or a server that marks nothing", async () => {
  const begun = () => new Servers([[0], [1]], true, true, true).welcome(0, 1);
  const lost = "the link to server-0 broke, and 1 copies are lost with it";
  assert.equal(await begun().reopen(0).ended, lost);
  assert.equal(await begun().copy(0, 0).copy(1, 1).reopen(0).ended, lost);
  assert.equal(await begun().copy(0, 0).refuse(1, 1).ended, "server-1 refused: no room");
  const silent = begun().copy(0, 0);
  for (let second = 0; second < 6; second++) silent.clock.pass(1000);
  assert.match(String(await silent.ended), /^server-1 at 1 has not answered for \d s$/);
});

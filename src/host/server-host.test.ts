/** What a server makes of pushes that it should not take. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CodecTable, codecNames } from "../compression/codecs/codec.js";
import { PacelineError } from "../errors.js";
import { Arena } from "../kernels/arena.js";
import { scalarConversions } from "../kernels/scalar-conversions.js";
import { uncompressed } from "../protocol/compression.js";
import { mint } from "../protocol/ids.js";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader, type MemberMessage } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { firstPhase, type View } from "../protocol/view.js";
import { MemoryNetwork } from "../transport/memory/memory.js";
import type { ChunkReceiver } from "../transport/transport.js";
import { ServerHost } from "./server-host.js";
import { HeardTerm } from "./session/heard-term.js";
import type { MemberSession } from "./session/member-session.js";

const length = 40;
const layout = layOut(
  [
    { name: "w", shape: [length], group: "weight" },
    { name: "b", shape: [4], group: "plain" },
  ],
  1000,
);
const topkPushes = { ...uncompressed, push: { codec: "topk", share: 0.1 } } as const;
const table = new CodecTable(scalarConversions);

interface Peer {
  readonly receiver: ChunkReceiver;
  readonly answers: ChunkHeader[];
  readonly ends: { readonly isClosed: boolean };
  send(header: Partial<ChunkHeader>, payload: Uint8Array): void;
}

const freshMarks = JSON.stringify({ version: 0, examples: 0, sealedStep: -1, applied: [] });

function valuesOf(chunk: number): Uint8Array {
  return new Uint8Array(layout.chunks[chunk]!.length * 4);
}

/** Two servers, of which these have the chunks, and one worker. */
function viewOf(number: number, primaries: readonly number[]): View {
  return {
    ...{ run: sampleSpec.run, number, generation: 0, ...firstPhase(sampleSpec.protocol) },
    servers: [0, 1].map((index) => ({ index, incarnation: 1, address: "here", frames: null })),
    workers: [{ rank: 0, incarnation: 5, fromStep: 0 }],
    ...{ candidates: [], departing: [] },
    replicas: primaries.map((primary) => [primary]),
    fences: [1, 1],
  };
}

/** A server with its two chunks loaded and one worker in its view. */
function served(compression: RunSpec["compression"] = topkPushes): {
  readonly host: ServerHost;
  readonly heard: HeardTerm;
  /** What it does with links to other servers. */
  readonly links: readonly string[];
  /** Delays for which it has asked to be woken, but those that it has taken back. */
  readonly wakes: ReadonlySet<{ readonly delayMs: number }>;
  peer(): Peer;
} {
  const spec = { ...sampleSpec, compression };
  const heard = new HeardTerm();
  const links: string[] = [];
  const transport = new MemoryNetwork().createTransport("server-0");
  transport.openChunks = (address) => {
    links.push(`opened to ${address}`);
    return { peer: address, send: () => {}, close: () => void links.push("closed") };
  };
  const wakes = new Set<{ readonly delayMs: number }>();
  const after = (delayMs: number) => {
    const timer = { delayMs };
    wakes.add(timer);
    return { cancel: () => void wakes.delete(timer) };
  };
  const host = new ServerHost({
    transport,
    clock: { nowMs: () => 0, after },
    ...{ index: 0, heard, openArena: () => new Arena(30_000), kernels: "scalar" as const },
    layoutOf: () => layout,
    onStop: () => {},
    log: () => {},
  });
  const peer = (): Peer => {
    const answers: ChunkHeader[] = [];
    const ends = { isClosed: false };
    const receiver = host.accept({
      peer: "peer",
      send: (header, _payload, sent) => {
        assert.ok(!ends.isClosed, "nothing is sent over a closed channel");
        answers.push(header);
        sent?.();
      },
      close: () => {
        ends.isClosed = true;
      },
    });
    const send = (about: Partial<ChunkHeader>, payload: Uint8Array) => {
      const header = { ...emptyHeader, run: spec.run, ...about };
      const destination = receiver.onHeader(header, payload.length);
      destination?.set(payload);
      receiver.onChunk(header, destination);
    };
    return { receiver, answers, ends, send };
  };
  host.onMessage({ type: "prepare", spec, residuals: false, layout });
  host.onMessage({ type: "view", view: viewOf(1, [0, 0]) });
  const coordinator = peer();
  for (const chunk of [0, 1]) {
    coordinator.send({ kind: "load", chunk, detail: freshMarks }, valuesOf(chunk));
  }
  assert.deepEqual(
    coordinator.answers.map(({ kind }) => kind),
    ["loaded", "loaded"],
  );
  return { host, heard, links, wakes, peer };
}

const push: Partial<ChunkHeader> = {
  ...{ kind: "push", rank: 0, incarnation: 5, step: 0, chunk: 0, version: 0 },
  ...{ fence: 1, examples: 8, wantsReply: true },
};

function encoded(name: "topk" | "fp16"): Uint8Array {
  const bytes = new Uint8Array(table.named(name).sizes(length).max);
  const values = Float32Array.from({ length }, (_, index) => index + 1);
  const used = table.named(name).encode(values, bytes, { share: 0.1, seed: 0 });
  return bytes.slice(0, used);
}

test("a push whose codec or bytes are wrong is refused with what is wrong", () => {
  const { peer } = served();
  const good = encoded("topk");
  const truncated = good.slice(0, good.length - 4);
  const descending = good.slice();
  descending.copyWithin(4, 8, 12);
  const unknown = { ...push, codec: 77 };
  const topk = { ...push, codec: table.named("topk").id };
  const cases: readonly (readonly [Partial<ChunkHeader>, Uint8Array, RegExp])[] = [
    [unknown, good, /codec 77 is unknown here; known codecs are 0 \(raw\)/],
    [{ ...push, codec: 1 }, encoded("fp16"), /written as fp16, and this run has --compress topk/],
    [{ ...topk, chunk: 1 }, good, /group plain, which is never compressed/],
    [topk, new Uint8Array(8), /has 8 bytes instead of 12 to 84/],
    [topk, new Uint8Array(2000), /has 2000 bytes instead of 12 to 84/],
    [topk, truncated, /chunk 0 from worker 0 at step 0: topk encoding is damaged: it has 32 bytes/],
    [topk, descending, /topk encoding is damaged: index \d+ comes after/],
    [push, good, /has 36 bytes instead of 160/],
  ];
  for (const [header, payload, reason] of cases) {
    const { send, answers, ends } = peer();
    send(header, payload);
    assert.equal(answers.length, 1);
    assert.equal(answers[0]!.outcome, "refused");
    assert.match(answers[0]!.detail, reason);
    const isCodec = /codec 77|written as fp16|never compressed/.test(answers[0]!.detail);
    assert.equal(
      ends.isClosed,
      isCodec,
      `who writes in a codec that can't be is let go: ${reason}`,
    );
  }
  const { send, answers } = peer();
  send(topk, good);
  assert.equal(answers[0]?.outcome, "applied");
  assert.equal(answers[0]?.version, 1);
});

test("a machine that is to be woken is not once its job is over", () => {
  const { host, wakes, peer } = served();
  const protocol = { mode: "quorum", quorumSize: 1, grace: 250 };
  const workers = [5, 6].map((incarnation, rank) => ({ rank, incarnation, fromStep: 0 }));
  host.onMessage({ type: "view", view: { ...viewOf(2, [0, 0]), protocol, workers } });
  const { send, answers } = peer();
  send({ ...push, fence: 2, codec: table.named("topk").id }, encoded("topk"));
  assert.deepEqual(answers, [], "the grace for the other worker is not over");
  assert.deepEqual([...wakes], [{ delayMs: 250 }]);
  host.close();
  assert.equal(wakes.size, 0);
});

test("what a channel leaves half sent is given back, and a new channel goes on", () => {
  const { host, peer } = served();
  const topk = { ...emptyHeader, run: sampleSpec.run, ...push, codec: table.named("topk").id };
  for (let time = 0; time < 2000; time++) {
    const { receiver } = peer();
    assert.equal(receiver.onHeader(topk, 84)?.length, 84);
    receiver.onClose(new PacelineError("unavailable", "gone"));
  }
  const { send, answers } = peer();
  send(topk, encoded("topk"));
  assert.equal(answers[0]?.outcome, "applied");
  host.close();
});

test("marks that are none are refused, and what came with them is given back", () => {
  const { host, peer } = served();
  const whole = { version: 0, examples: 0, sealedStep: -1, applied: [] as unknown[] };
  const mark = { rank: 0, incarnation: 1, step: 0 };
  const wrong: readonly (readonly [string, RegExp])[] = [
    ["", /marks of chunk 0 are no JSON/],
    ["null", /marks of chunk 0/],
    [JSON.stringify({ ...whole, version: -1 }), /version of chunk 0's marks is -1/],
    [JSON.stringify({ ...whole, version: 1e300 }), /version of chunk 0's marks is 1e\+300/],
    [JSON.stringify({ ...whole, sealedStep: 0.5 }), /sealedStep of chunk 0's marks is 0.5/],
    [JSON.stringify({ ...whole, applied: 3 }), /marks of chunk 0/],
    [JSON.stringify({ ...whole, applied: [null] }), /marks of chunk 0/],
    [JSON.stringify({ ...whole, applied: [{ ...mark, step: "1" }] }), /step .* is 1/],
  ];
  // More than the memory of the server would hold, were it not given back.
  for (let time = 0; time < 200; time++) {
    for (const [detail, reason] of wrong) {
      const { send, answers } = peer();
      send({ kind: "load", chunk: 0, detail }, new Uint8Array(length * 4));
      assert.equal(answers[0]?.outcome, "refused");
      assert.match(answers[0]?.detail ?? "", reason);
    }
  }
  const { send, answers } = peer();
  send({ ...push, codec: table.named("topk").id }, encoded("topk"));
  assert.equal(answers[0]?.outcome, "applied");
  host.close();
});

test("a peer that asks for more than it takes is let go, and others are served", () => {
  const { host, peer } = served();
  let asked = 0;
  const sents: (() => void)[] = [];
  const deaf = host.accept({
    peer: "deaf",
    send: (_header, _payload, sent) => void (sent && sents.push(sent)),
    close: () => {},
  });
  const pull = { ...emptyHeader, run: sampleSpec.run, kind: "pull", rank: -1, chunk: 0 } as const;
  const ask = () => {
    deaf.onHeader(pull, 0);
    deaf.onChunk(pull, null);
    asked++;
  };
  assert.throws(
    () => {
      while (asked < 1e5) ask();
    },
    { code: "protocol", message: /deaf has not taken \d+ answers .* and asks for more/ },
  );
  assert.ok(asked >= 4 * layout.chunks.length, `each chunk was asked for ${asked / 2} times`);
  deaf.onClose(new PacelineError("protocol", "let go"));
  for (const sent of sents.splice(0)) sent();
  const { send, answers } = peer();
  for (let time = 0; time < 1e4; time++) {
    send({ kind: "pull", rank: -1, chunk: 0 }, new Uint8Array(0));
  }
  assert.equal(answers.length, 1e4, "who takes its answers may ask as often as it likes");
  host.close();
});

test("a push made by hand that holds a NaN leaves no trace, whatever it is written as", () => {
  const notNumbers = { fp16: [0x00, 0x7e], bf16: [0xc0, 0x7f] } as const;
  const float = [0x00, 0x00, 0xc0, 0x7f];
  for (const name of codecNames) {
    const codec = name === "raw" ? "none" : name;
    const { host, peer } = served({ ...uncompressed, push: { codec, share: 0.1 } });
    const bytes = new Uint8Array(table.named(name).sizes(length).max);
    const values = Float32Array.from({ length }, (_, index) => index + 1);
    const used = table.named(name).encode(values, bytes, { share: 0.1, seed: 0 });
    const good = bytes.slice(0, used);
    const bad = good.slice();
    if (name === "fp16" || name === "bf16") bad.set(notNumbers[name]);
    else if (name === "topk" || name === "randomk") bad.set(float, used - 4);
    else if (name === "topk2bit") bad.set(float, 4);
    else bad.set(float);
    const { send, answers } = peer();
    const header = { ...push, codec: table.named(name).id };
    send(header, bad);
    send(header, good);
    const [first, second] = answers;
    assert.match(first!.outcome, /^(nonfinite|refused)$/, name);
    assert.match(first!.detail, /is not finite|scale NaN|levels NaN/, name);
    assert.deepEqual([second?.outcome, second?.version], ["applied", 1], name);
    host.close();
  }
});

test("a chunk that a view gives away leaves no memory behind, and comes back with its load", () => {
  const { host, peer } = served();
  const { send, answers } = peer();
  const topk = { ...push, codec: table.named("topk").id };
  const { slots, used } = host.memory()!;
  for (let number = 2; number < 400; number += 2) {
    host.onMessage({ type: "view", view: viewOf(number, [1, 0]) });
    assert.ok(host.memory()!.used < used);
    send({ ...topk, fence: number }, encoded("topk"));
    assert.equal(answers.at(-1)?.version, number, "a refusal names the view");
    assert.match(answers.at(-1)!.detail, /chunk 0 is not held here: server 1 has it in view/);
    host.onMessage({ type: "view", view: viewOf(number + 1, [0, 0]) });
    send({ kind: "load", chunk: 0, detail: freshMarks }, valuesOf(0));
    send({ kind: "load", chunk: 0, detail: freshMarks }, valuesOf(0));
    assert.deepEqual([host.memory()!.slots, host.memory()!.used], [slots, used]);
  }
  send(topk, encoded("topk"));
  assert.deepEqual([answers.at(-1)?.outcome, answers.at(-1)?.version], ["applied", 1]);
  send({ kind: "load", chunk: 0, detail: freshMarks }, valuesOf(0));
  send({ kind: "pull", chunk: 0, rank: -1 }, new Uint8Array(0));
  assert.equal(answers.at(-1)?.version, 1, "a load that comes late rewinds nothing");
  host.close();
});

test("an earlier view that comes again leaves the links to primaries as they are", () => {
  const { host, links } = served();
  const backed = { ...viewOf(4, [1, 0]), replicas: [[1, 0], [0]] };
  host.onMessage({ type: "view", view: backed });
  host.onMessage({ type: "view", view: viewOf(3, [0, 0]) });
  assert.deepEqual(links, ["opened to here"]);
  host.onMessage({ type: "view", view: viewOf(5, [1, 0]) });
  assert.deepEqual(links, ["opened to here", "closed"]);
  host.close();
});

test("a coordinator of a lower term than the view's sets no values and is given none", () => {
  const { host, heard, peer } = served();
  heard.hear(2);
  host.onMessage({ type: "view", view: viewOf(mint(2, 1), [0, 0]) });
  const detail = JSON.stringify({ version: 9, examples: 0, sealedStep: 8, applied: [] });
  const values = valuesOf(0);
  // More than the memory of the server would hold, were it not given back.
  for (let time = 0; time < 1000; time++) {
    const { send, answers } = peer();
    send({ kind: "load", term: 1, chunk: 0, detail }, values);
    send({ kind: "copy", term: 1, chunk: 0 }, new Uint8Array(0));
    assert.deepEqual(
      answers.map(({ kind, outcome }) => [kind, outcome]),
      [
        ["reply", "refused"],
        ["reply", "refused"],
      ],
    );
    assert.match(answers[0]!.detail, /term 1 is out of date: this is term 2/);
  }
  const { send, answers } = peer();
  send({ kind: "copy", term: 2, chunk: 0 }, new Uint8Array(0));
  send({ kind: "save", term: 1, chunk: 0 }, new Uint8Array(0));
  send({ kind: "save", term: 2, chunk: 0 }, new Uint8Array(0));
  const told = answers.slice(0, 3).map(({ kind, version }) => [kind, version]);
  assert.deepEqual(told, [
    ["copied", 0],
    ["reply", 0],
    ["saved", 0],
  ]);
  send({ kind: "load", term: 2, chunk: 0, detail }, values);
  assert.equal(answers.at(-1)?.kind, "loaded");
  host.close();
});

test("a coordinator whose place another has taken loads and saves nothing", () => {
  const { host, heard, peer } = served();
  const { send, answers } = peer();
  const free = host.memory()!.used;
  assert.ok(heard.hear(2), "a session says so before there is a view");
  const told: [string, string][] = [];
  for (const term of [1, 2]) {
    send({ kind: "load", term, generation: 1, chunk: 0, detail: freshMarks }, valuesOf(0));
    send({ kind: "copy", term, chunk: 0 }, new Uint8Array(0));
    told.push(...answers.splice(0).map(({ kind, detail }) => [kind, detail] as [string, string]));
  }
  const refusal = "term 1 is out of date: this is term 2";
  assert.deepEqual(told.slice(0, 3), [
    ["reply", refusal],
    ["reply", refusal],
    ["loaded", ""],
  ]);
  assert.equal(told[3]![0], "copied");
  assert.equal(host.memory()!.used, free, "a load that is refused leaves no memory behind");
  host.close();
});

test("what a stranger asks for costs the coordinator none of its copies", () => {
  const { host, heard, peer } = served();
  heard.hear(2);
  const generation = 3;
  host.onMessage({ type: "view", view: { ...viewOf(mint(2, 1), [0, 0]), generation } });
  const coordinator = peer();
  const own = { term: 2, generation };
  const bare = new Uint8Array(0);
  for (const chunk of [0, 1]) {
    coordinator.send({ ...own, kind: "load", chunk, detail: freshMarks }, valuesOf(chunk));
    coordinator.send({ ...own, kind: "copy", chunk }, bare);
  }
  coordinator.answers.length = 0;
  for (const [stranger, reason] of [
    [{ ...own, run: "another" }, /^run another is not served here$/],
    [{ ...own, term: 1 }, /^term 1 is out of date: this is term 2$/],
    [{ ...own, term: 3 }, /^term 3 has not been heard of here: this is term 2$/],
    [{ ...own, generation: 2 }, /^generation 2 has been rolled back: this is generation 3$/],
    [{ ...own, generation: 4 }, /^generation 4 is not known: this is generation 3$/],
  ] as const) {
    const { send, answers } = peer();
    for (const kind of ["copy", "mark", "cut", "discard", "save"] as const) {
      send({ ...stranger, kind, chunk: 0 }, bare);
      const { kind: answer, outcome, detail } = answers.pop()!;
      assert.deepEqual([answer, outcome], ["reply", "refused"]);
      assert.match(detail, reason);
    }
  }
  for (const chunk of [0, 1]) coordinator.send({ ...own, kind: "save", chunk }, bare);
  const parts = coordinator.answers.map(({ kind, chunk }) => [kind, chunk]);
  assert.deepEqual([...new Set(parts.map(String))], ["saved,0", "saved,1"]);
  host.close();
});

test("of finite gradients whose sum is not finite nothing is applied, and it is told", () => {
  const { host, peer } = served(uncompressed);
  const told: MemberMessage[] = [];
  host.attach({ send: (message: MemberMessage) => void told.push(message) } as MemberSession);
  const worker = peer();
  const huge = new Uint8Array(Float32Array.from({ length }, () => 3e38).buffer);
  worker.send(push, huge);
  assert.deepEqual(
    worker.answers.map(({ outcome }) => outcome),
    ["applied"],
  );
  const what = "the sum of 1 finite gradients of chunk 0 is not finite";
  assert.deepEqual(told, [{ type: "diverged", step: 0, what }]);
  const kept: number[] = [];
  const receiver = host.accept({
    peer: "reader",
    send: (_header, payload, sent) => {
      if (payload !== null) kept.push(...new Float32Array(payload.slice().buffer));
      sent?.();
    },
    close: () => {},
  });
  for (const kind of ["copy", "save"] as const) {
    const header = { ...emptyHeader, kind, run: sampleSpec.run, chunk: 0 };
    receiver.onHeader(header, 0);
    receiver.onChunk(header, null);
  }
  assert.ok(kept.length >= length && kept.every((value) => value === 0), "weights stay");
  worker.send({ ...push, step: 1 }, new Uint8Array(4 * length));
  assert.equal(told.length, 1, "the slot is sound again");
});

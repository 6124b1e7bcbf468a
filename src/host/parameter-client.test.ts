import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../protocol/messages.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { sampleSpec } from "../protocol/testing/sample-run.js";
import { firstPhase, type View } from "../protocol/view.js";
import type { ChunkReceiver, Transport } from "../transport/transport.js";
import { openCodecs, ParameterClient } from "./parameter-client.js";

const layout = layOut([{ name: "w", shape: [4], group: "weight" }], 2);
const view: View = {
  ...{ run: "r", number: 1, generation: 0 },
  servers: ["a", "b"].map((address, index) => ({ index, incarnation: 1, address, frames: null })),
  workers: [{ rank: 0, incarnation: 7, fromStep: 0 }],
  ...{ candidates: [], departing: [] },
  ...{ replicas: [[0], [1]], fences: [1, 1] },
  ...firstPhase(sampleSpec.protocol),
};

interface Sent {
  readonly to: string;
  readonly header: ChunkHeader;
  readonly bytes: Buffer | null;
}

/** A client whose servers are the test: what it sends is kept, and the test answers. */
function begin(changes: Partial<RunSpec> = {}) {
  const spec: RunSpec = { ...sampleSpec, run: "r", chunkValues: 2, ...changes };
  const sent: Sent[] = [];
  const open = new Map<string, ChunkReceiver>();
  const replies: ChunkHeader[] = [];
  const failures: string[] = [];
  const transport = {
    openChunks: (address: string, receiver: ChunkReceiver) => {
      open.set(address, receiver);
      return {
        peer: address,
        send: (header: ChunkHeader, payload: Uint8Array | null, done?: () => void) => {
          if (header.kind !== "hello")
            sent.push({ to: address, header, bytes: payload && Buffer.from(payload) });
          done?.();
        },
        close: () => open.get(address) === receiver && open.delete(address),
      };
    },
  } as unknown as Transport;
  const clock = { nowMs: () => 0, after: () => ({ cancel: () => {} }) };
  const parameters = new Float32Array(4);
  const gradients = Float32Array.of(1, 2, 3, 4);
  const codecs = openCodecs({ spec, layout }, "auto", () => {});
  const spans: string[] = [];
  const trace = { span: (track: string, name: string) => void spans.push(`${track}: ${name}`) };
  const client = new ParameterClient(
    { transport, clock, rank: 0, incarnation: 7, log: () => {}, trace },
    { spec, layout, parameters, gradients, codecs },
    {
      onOpen: () => {},
      onReply: (header) => replies.push(header),
      onFailed: ({ message }) => failures.push(message),
    },
  );
  const welcome = (address: string) =>
    open.get(address)!.onChunk({ ...emptyHeader, kind: "welcome" }, null);
  const answer = (address: string, change: Partial<ChunkHeader>, values: readonly number[]) => {
    const tags = { run: "r", rank: 0, incarnation: 7, kind: "reply", outcome: "applied" } as const;
    const header = { ...emptyHeader, ...tags, ...change };
    const memory = open.get(address)!.onHeader(header, values.length * 4);
    memory?.set(new Uint8Array(Float32Array.from(values).buffer));
    open.get(address)!.onChunk(header, memory);
  };
  return { client, sent, spans, open, replies, failures, parameters, gradients, welcome, answer };
}

/** Of a push that nobody judges. */
const alone = { leads: true, scale: null };

test("a foreign loop pulls, pushes and has its weights, without a worker's machine", () => {
  const { client, sent, parameters, replies, welcome, answer } = begin();
  client.follow(view);
  for (const chunk of [0, 1]) client.pull({ step: 0, chunk, pull: 1 });
  assert.deepEqual(sent, [], "nothing goes out before a link is open");
  for (const address of ["a", "b"]) welcome(address);
  answer("a", { step: -1, pull: 1, chunk: 0 }, [5, 6]);
  answer("b", { step: -1, pull: 1, chunk: 1 }, [7, 8]);
  client.push({ step: 0, chunk: 1, version: 3, examples: 8, ...alone });
  answer("b", { step: 0, chunk: 1 }, [9, 10]);
  assert.deepEqual(
    sent.map(({ to, header: { kind, chunk, fence } }) => [to, kind, chunk, fence]),
    [
      ["a", "pull", 0, 1],
      ["b", "pull", 1, 1],
      ["b", "push", 1, 1],
    ],
  );
  assert.deepEqual([...parameters], [5, 6, 9, 10]);
  assert.equal(replies.length, 3);
});

test("what is unanswered goes out again as it was, once for each link that opens", () => {
  const compression: RunSpec["compression"] = {
    ...sampleSpec.compression,
    push: { codec: "fp16", share: 1 },
  };
  const { client, sent, gradients, welcome, answer } = begin({ compression });
  client.follow(view);
  for (const address of ["a", "b"]) welcome(address);
  const facts = { step: 4, chunk: 0, version: 2, examples: 8, ...alone };
  client.push(facts);
  client.push(facts);
  assert.equal(sent.length, 1, "what is on its way is not sent twice");
  gradients.fill(9);
  welcome("a");
  assert.deepEqual(sent[1], sent[0], "the same bytes");
  answer("a", { step: 4, chunk: 0, outcome: "duplicate" }, [1, 1]);
  welcome("a");
  assert.equal(sent.length, 2);
});

test("a later view sends it again with its fence, to the chunk's primary there", () => {
  const { client, sent, open, replies, welcome, answer } = begin();
  client.follow(view);
  for (const address of ["a", "b"]) welcome(address);
  client.push({ step: 4, chunk: 1, version: 2, examples: 8, ...alone });
  const servers = view.servers.slice(0, 1);
  const later = { ...view, number: 2, servers, replicas: [[0], [0]], fences: [1, 2] };
  client.follow(later);
  assert.deepEqual(
    sent.map(({ to, header: { step, chunk, fence } }) => [to, step, chunk, fence]),
    [
      ["b", 4, 1, 1],
      ["a", 4, 1, 2],
    ],
  );
  assert.deepEqual([...open.keys()], ["a"], "a server that left is linked to no more");
  answer("a", { step: 4, chunk: 1, fence: 1, outcome: "refused", version: 2 }, []);
  answer("a", { step: 4, chunk: 1 }, [1, 2]);
  assert.equal(replies.length, 2, "a late refusal does not end what waits");
  client.follow({ ...later, number: 3 });
  assert.equal(sent.length, 2);
});

test("in a trace a push is answered when it is decided, not when it is refused", () => {
  const { client, sent, spans, welcome, answer } = begin();
  client.follow(view);
  for (const address of ["a", "b"]) welcome(address);
  client.push({ step: 4, chunk: 1, version: 2, examples: 8, ...alone });
  answer("b", { step: 4, chunk: 1, fence: 1, outcome: "refused", version: 2 }, []);
  client.follow({ ...view, number: 2, replicas: [[0], [0]], fences: [1, 2] });
  assert.equal(sent.length, 2, "it is asked again");
  answer("a", { step: 4, chunk: 1 }, [1, 2]);
  assert.deepEqual(spans, ["chunk 1: push of step 4", "chunk 1: send"]);
});

test("weights that a chunk's former primary is still sending are not written any more", () => {
  const { client, open, parameters, welcome, answer } = begin();
  client.follow(view);
  for (const address of ["a", "b"]) welcome(address);
  client.push({ step: 4, chunk: 0, version: 2, examples: 8, ...alone });
  const tags = { run: "r", rank: 0, incarnation: 7, kind: "reply", outcome: "applied" } as const;
  const former = open.get("a")!;
  const memory = former.onHeader({ ...emptyHeader, ...tags, step: 4, chunk: 0 }, 8);
  assert.ok(memory !== null, "the head is in, the payload is on its way");
  client.follow({ ...view, number: 2, replicas: [[1], [1]], fences: [2, 1] });
  assert.notEqual(open.get("a"), former, "the channel is given up for another");
  answer("b", { step: 4, chunk: 0 }, [5, 6]);
  assert.deepEqual([...parameters], [5, 6, 0, 0]);
});

test("weights of a generation that has been rolled back are thrown away", () => {
  const { client, sent, parameters, welcome, answer } = begin();
  client.follow(view);
  welcome("a");
  client.push({ step: 4, chunk: 0, version: 2, examples: 8, ...alone });
  client.follow({ ...view, number: 2, generation: 1, fences: [2, 2] });
  answer("a", { step: 4, chunk: 0 }, [1, 2]);
  assert.deepEqual([...parameters], [0, 0, 0, 0]);
  answer("a", { step: 4, chunk: 0, generation: 1 }, [3, 4]);
  assert.deepEqual([...parameters], [3, 4, 0, 0]);
  assert.deepEqual(
    sent.map(({ header: { generation } }) => generation),
    [0, 1],
  );
});

test("a life that is not in the view sends nothing again", () => {
  const { client, sent, welcome } = begin();
  client.follow(view);
  for (const address of ["a", "b"]) welcome(address);
  client.push({ step: 4, chunk: 1, version: 2, examples: 8, ...alone });
  client.follow({ ...view, number: 2, workers: [{ rank: 0, incarnation: 8, fromStep: 6 }] });
  assert.equal(sent.length, 1);
});

test("weights of a wrong length are a failure, those that nobody waits for are not", () => {
  const { client, parameters, failures, welcome, answer } = begin();
  client.follow(view);
  welcome("a");
  answer("a", { step: 9, chunk: 0 }, [5, 6]);
  assert.deepEqual([[...parameters], failures], [[0, 0, 0, 0], []]);
  client.pull({ step: 0, chunk: 0, pull: 1 });
  answer("a", { step: -1, pull: 1, chunk: 0 }, [5]);
  assert.deepEqual(failures, [
    "server 0 answered with chunk 0: its payload has not the chunk's length",
  ]);
});

test("a view that leaves a chunk where it is sends nothing again but what was refused", () => {
  const { client, sent, welcome, answer } = begin();
  client.follow(view);
  for (const address of ["a", "b"]) welcome(address);
  const about = { step: 4, version: 2, examples: 8, ...alone };
  for (const chunk of [0, 1]) client.push({ ...about, chunk });
  answer("a", { step: 4, chunk: 0, outcome: "refused" }, []);
  client.follow({ ...view, number: 2 });
  assert.deepEqual(
    sent.map(({ header: { chunk, fence } }) => [chunk, fence]),
    [
      [0, 1],
      [1, 1],
      [0, 2],
    ],
  );
});

test("a pull is not answered by what answers an earlier one that was sent twice", () => {
  const { client, open, sent, parameters, failures, welcome, answer } = begin();
  client.follow(view);
  welcome("a");
  client.pull({ step: 3, chunk: 0, pull: 1 });
  client.follow({ ...view, number: 2, fences: [2, 1] });
  assert.deepEqual(
    sent.map(({ header: { pull, fence } }) => [pull, fence]),
    [
      [1, 1],
      [1, 2],
    ],
  );
  answer("a", { step: -1, pull: 1, chunk: 0 }, [1, 2]);
  const tags = { run: "r", rank: 0, incarnation: 7, kind: "reply", step: -1, chunk: 0 } as const;
  const second = { ...emptyHeader, ...tags, pull: 1 };
  const memory = open.get("a")!.onHeader(second, 8);
  assert.equal(memory, null, "its head comes while nothing is asked");
  client.pull({ step: -1, chunk: 0, pull: 2 });
  open.get("a")!.onChunk(second, memory);
  answer("a", { step: -1, pull: 1, chunk: 0 }, [3, 4]);
  assert.deepEqual([[...parameters], failures], [[1, 2, 0, 0], []]);
  answer("a", { step: -1, pull: 2, chunk: 0 }, [5, 6]);
  assert.deepEqual([[...parameters], failures], [[5, 6, 0, 0], []]);
});

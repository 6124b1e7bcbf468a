/** The contract of every Transport, run against each implementation. */
import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { PacelineError } from "../errors.js";
import type { ExamplesBlock } from "../protocol/examples.js";
import type { CoordinatorMessage, MemberMessage } from "../protocol/messages.js";
import { emptyHeader } from "../protocol/messages.js";
import { Random } from "../random.js";
import { kinds } from "./testing/kinds.js";
import {
  accepted,
  Coordinator,
  hello,
  Inbox,
  identity,
  Mail,
  push,
  request,
  until,
} from "./testing/recording.js";
import type { ChunkAcceptor, ChunkChannel, Listener, Transport } from "./transport.js";

for (const kind of kinds) {
  describe(`${kind.name} transport`, () => {
    let closers: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const close of closers.reverse()) await close();
      closers = [];
    });

    function pair(): { server: Transport; client: Transport } {
      const made = kind.create();
      closers.push(
        () => made.server.close(),
        () => made.client.close(),
      );
      return made;
    }

    async function coordinate(): Promise<{
      coordinator: Coordinator;
      client: Transport;
      address: string;
      listener: Listener;
    }> {
      const { server, client } = pair();
      const coordinator = new Coordinator();
      const listener = await server.serveCoordinator(kind.listenAddress, coordinator);
      closers.push(() => listener.close());
      return { coordinator, client, address: listener.address, listener };
    }

    /** A server that keeps what comes and a client connected to it whose hello has arrived. */
    async function connect(greet?: (channel: ChunkChannel) => void): Promise<{
      near: Inbox;
      far: Inbox;
      nearChannel: ChunkChannel;
      farChannel: ChunkChannel;
      client: Transport;
      listener: Listener;
    }> {
      const { server, client } = pair();
      const near = new Inbox();
      const far = new Inbox();
      const channels: ChunkChannel[] = [];
      const accept: ChunkAcceptor = (channel) => {
        channels.push(channel);
        greet?.(channel);
        return far;
      };
      const listener = await server.serveChunks(kind.listenAddress, accept);
      closers.push(() => listener.close());
      const nearChannel = client.openChunks(listener.address, near);
      nearChannel.send(hello, null);
      await until("hello", () => far.chunks.length === 1 || far.errors.length > 0);
      return { near, far, nearChannel, farChannel: channels[0]!, client, listener };
    }

    const wanted = { run: "run-1", split: "train", epoch: 1, start: 5, end: 205 } as const;

    test("examples arrive in order, in blocks of at most 1 MiB", async () => {
      const { client, address } = await coordinate();
      for (const end of [205, 5, 6]) {
        const blocks: ExamplesBlock[] = [];
        const keep = (block: ExamplesBlock) =>
          void blocks.push({
            ...block,
            values: block.values.slice(),
            labels: block.labels.slice(),
          });
        await client.readExamples(address, { ...wanted, end }, keep);
        const count = end - 5;
        assert.equal(blocks.length, end === 205 ? 3 : 1);
        for (const { values, labels, ...facts } of blocks) {
          assert.ok(values.length + 5 * labels.length <= 2 ** 20);
          assert.deepEqual(facts, { count, shape: [3, 64, 64], dtype: "u8" });
        }
        const labels = blocks.flatMap((block) => [...block.labels]);
        assert.deepEqual(
          labels,
          Array.from({ length: count }, (_, index) => 5 + index),
        );
        const values = Buffer.concat(blocks.map((block) => block.values));
        assert.equal(values.length, count * 12288);
        for (let at = 0; at < values.length; at += 4096) {
          assert.equal(values[at], (5 + Math.floor(at / 12288)) % 256);
        }
      }
    });

    test("what a taker of examples throws ends the call, and the next one is whole", async () => {
      const { client, address } = await coordinate();
      let taken = 0;
      const first = client.readExamples(address, wanted, () => {
        taken++;
        throw new PacelineError("data", "label 10 is none");
      });
      await assert.rejects(first, { code: "data", message: "label 10 is none" });
      assert.equal(taken, 1);
      await client.readExamples(address, wanted, () => taken++);
      assert.equal(taken, 4);
    });

    test("examples of a run that is not on are refused with the reason", async () => {
      const { client, address } = await coordinate();
      const asked = client.readExamples(address, { ...wanted, run: "other" }, () => assert.fail());
      await assert.rejects(asked, { code: "refused", message: /run other is not on/ });
    });

    test("examples can't be had where nobody listens", async () => {
      const { client } = pair();
      const asked = client.readExamples(kind.deadAddress, wanted, () => assert.fail());
      await assert.rejects(asked, { code: "unavailable" });
    });

    test("examples can be had again once a coordinator that went away is back", async () => {
      const { server, client } = pair();
      const first = await server.serveCoordinator(kind.listenAddress, new Coordinator());
      await client.readExamples(first.address, wanted, () => {});
      await first.close();
      const { address } = first;
      await assert.rejects(
        client.readExamples(address, wanted, () => {}),
        { code: "unavailable" },
      );
      const second = await server.serveCoordinator(address, new Coordinator());
      closers.push(() => second.close());
      let taken = 0;
      await client.readExamples(address, wanted, () => taken++);
      assert.equal(taken, 3);
    });

    test("a registration arrives whole and its acceptance returns whole", async () => {
      const { coordinator, client, address } = await coordinate();
      assert.deepEqual(await client.register(address, request), accepted);
      const again = {
        ...request,
        rank: 0,
        incarnation: 9,
        role: "server",
        address: "b:1",
      } as const;
      await client.register(address, again);
      assert.deepEqual(coordinator.requests, [request, again]);
    });

    test("a refused registration is a reply with its reason", async () => {
      const { coordinator, client, address } = await coordinate();
      coordinator.reply = { accepted: false, code: "protocol", reason: "protocol 2, not 1" };
      assert.deepEqual(await client.register(address, request), coordinator.reply);
    });

    test("registering where nobody listens is unavailable and names the address", async () => {
      const { client } = pair();
      await assert.rejects(client.register(kind.deadAddress, request), {
        code: "unavailable",
        message: new RegExp(kind.deadAddress),
      });
    });

    test("session messages go both ways in order under the member's identity", async () => {
      const { coordinator, client, address } = await coordinate();
      const mail = new Mail<CoordinatorMessage>();
      const session = client.openSession(address, identity, mail);
      const heartbeats = Array.from({ length: 50 }, (_, sequence): MemberMessage => {
        const activity = "riding";
        const nobody = { server: null, worker: null, reach: [] };
        return { type: "heartbeat", sequence, received: 0, term: 1, activity, ...nobody };
      });
      for (const heartbeat of heartbeats) session.send(heartbeat);
      await until("heartbeats", () => coordinator.sessions[0]?.mail.messages.length === 50);
      const opened = coordinator.sessions[0]!;
      assert.deepEqual(opened.identity, identity);
      assert.deepEqual(opened.mail.messages, heartbeats);
      for (let sequence = 0; sequence < 50; sequence++) {
        const acked = { sequence, received: 1, term: 1, sinceTerm: 1, note: "" };
        opened.channel.send({ type: "heartbeatAck", ...acked });
      }
      await until("answers", () => mail.messages.length === 50);
      assert.deepEqual(
        mail.messages.map((m) => (m.type === "heartbeatAck" ? m.sequence : -1)),
        Array.from({ length: 50 }, (_, index) => index),
      );
    });

    test("a refused session closes with the coordinator's reason", async () => {
      const { coordinator, client, address } = await coordinate();
      coordinator.refuseSessions = new PacelineError(
        "refused",
        "worker 2 was lost; register again",
      );
      const mail = new Mail<CoordinatorMessage>();
      client.openSession(address, identity, mail);
      await until("refusal", () => mail.errors.length > 0);
      assert.equal(mail.errors[0]!.code, "refused");
      assert.match(mail.errors[0]!.message, /worker 2 was lost; register again/);
    });

    test("a leave sent before close arrives, then the coordinator hears the end once", async () => {
      const { coordinator, client, address } = await coordinate();
      const mail = new Mail<CoordinatorMessage>();
      const session = client.openSession(address, identity, mail);
      session.send({ type: "leave", reason: "done", server: null, worker: null });
      session.close();
      session.close();
      await until("end", () => coordinator.sessions[0]?.mail.errors.length === 1);
      assert.equal(coordinator.sessions[0]!.mail.messages[0]!.type, "leave");
      assert.equal(coordinator.sessions[0]!.mail.errors[0]!.code, "unavailable");
      assert.equal(mail.errors.length, 0, "who closes hears nothing more");
    });

    test("the coordinator closing a session is heard once, after what it sent", async () => {
      const { coordinator, client, address } = await coordinate();
      const mail = new Mail<CoordinatorMessage>();
      client.openSession(address, identity, mail);
      await until("session", () => coordinator.sessions.length === 1);
      const { channel, mail: memberMail } = coordinator.sessions[0]!;
      channel.send({
        type: "stop",
        reason: "done",
        outcome: "done",
        stay: false,
        afterStep: false,
      });
      channel.close();
      await until("close", () => mail.errors.length > 0);
      assert.equal(mail.messages[0]!.type, "stop");
      assert.equal(mail.errors[0]!.code, "unavailable");
      assert.deepEqual(memberMail.errors, []);
    });

    test("status and submit carry documents; a bad one keeps its code and sentence", async () => {
      const { coordinator, client, address } = await coordinate();
      assert.deepEqual(await client.status(address), coordinator.status());
      const from = { priority: -3, host: "box", pid: 9 };
      const submitted = await client.submit(address, { config: "epochs: 3", ...from });
      assert.equal(submitted, "run-of-9-letters--3-box-9");
      await assert.rejects(client.submit(address, { config: "", ...from }), {
        code: "usage",
        message: /configuration is empty; give YAML/,
      });
    });

    test("a member is named by role and rank, and a refusal has its reason", async () => {
      const { client, address } = await coordinate();
      assert.equal(await client.drain(address, { role: "worker", rank: 1 }), "worker-1 leaves");
      const refusal = { code: "refused", message: /there is no server-7/ };
      await assert.rejects(client.drain(address, { role: "server", rank: 7 }), refusal);
    });

    test("two sessions and a re-opened one under the same identity live side by side", async () => {
      const { coordinator, client, address } = await coordinate();
      const first = client.openSession(address, identity, new Mail<CoordinatorMessage>());
      client.openSession(address, { ...identity, rank: 3 }, new Mail<CoordinatorMessage>());
      await until("two sessions", () => coordinator.sessions.length === 2);
      first.close();
      await until("end", () => coordinator.sessions.some((s) => s.mail.errors.length === 1));
      client.openSession(address, identity, new Mail<CoordinatorMessage>());
      await until("third session", () => coordinator.sessions.length === 3);
      assert.deepEqual(coordinator.sessions[2]!.identity, identity);
    });

    test("chunks arrive in order in the memory that the receiver supplies", async () => {
      const { far, nearChannel } = await connect();
      const arena = new Uint8Array(4000);
      let used = 0;
      far.destination = (bytes) => {
        used += bytes;
        return arena.subarray(used - bytes, used);
      };
      const random = new Random(5, "order");
      const sentBytes: number[] = [];
      for (let step = 0; step < 40; step++) {
        const payload = Uint8Array.from({ length: random.below(100) }, () => random.below(256));
        sentBytes.push(...payload);
        nearChannel.send(push(step), payload);
      }
      await until("pushes", () => far.chunks.length === 41);
      assert.deepEqual(
        far.chunks.slice(1).map(({ header }) => header),
        Array.from({ length: 40 }, (_, step) => push(step)),
      );
      assert.deepEqual([...arena.subarray(0, used)], sentBytes);
      assert.equal(far.chunks[1]!.bytes!.buffer, arena.buffer);
    });

    test("a payload that the receiver does not want is thrown away, not the message", async () => {
      const { far, nearChannel } = await connect();
      far.destination = () => null;
      nearChannel.send(push(1), new Uint8Array(500));
      nearChannel.send(push(2), null);
      await until("pushes", () => far.chunks.length === 3);
      assert.deepEqual(far.chunks.map(({ bytes }) => bytes?.length ?? null).slice(1), [null, null]);
    });

    test("a server answers over the channel it was given", async () => {
      const { near, farChannel } = await connect((channel) =>
        channel.send({ ...emptyHeader, kind: "welcome" }, null),
      );
      farChannel.send(
        { ...emptyHeader, kind: "reply", step: 4, outcome: "applied" },
        new Uint8Array([1, 2]),
      );
      await until("reply", () => near.chunks.length === 2);
      assert.deepEqual(
        near.chunks.map(({ header }) => header.kind),
        ["welcome", "reply"],
      );
      assert.deepEqual([...near.chunks[1]!.bytes!], [1, 2]);
    });

    test("sent is called once a message, and never from inside send", async () => {
      const { far, nearChannel } = await connect();
      const calls = new Array<number>(20).fill(0);
      let inside = false;
      for (let index = 0; index < calls.length; index++) {
        inside = true;
        nearChannel.send(push(index), new Uint8Array(1000), () => {
          assert.equal(inside, false);
          calls[index] = (calls[index] ?? 0) + 1;
        });
        inside = false;
      }
      await until("sent", () => calls.every((count) => count > 0) && far.chunks.length === 21);
      assert.deepEqual(new Set(calls), new Set([1]));
    });

    test("memory may be overwritten after sent, the receiver has the old values", async () => {
      const { far, nearChannel } = await connect();
      const one = new Uint8Array(1048576).fill(1);
      // More than the system holds for a receiver that has not read yet.
      for (let chunk = 0; chunk < 24; chunk++) {
        const payload = one.slice();
        nearChannel.send(push(chunk), payload, () => payload.fill(2));
      }
      await until("pushes", () => far.chunks.length === 25);
      for (const { bytes } of far.chunks.slice(1)) assert.equal(Buffer.compare(bytes!, one), 0);
    });

    test("sent is also called when the channel is gone", async () => {
      const { near, far, farChannel, nearChannel } = await connect();
      farChannel.close();
      await until("close", () => near.errors.length === 1);
      let calls = 0;
      nearChannel.send(push(1), new Uint8Array(10), () => calls++);
      await until("sent", () => calls === 1);
      assert.equal(near.errors[0]!.code, "unavailable");
      assert.equal(far.errors.length, 0, "who closes hears nothing more");
    });

    test("what was sent before close arrives, then the other side hears the end once", async () => {
      const { near, far, nearChannel } = await connect();
      let calls = 0;
      for (let step = 0; step < 5; step++)
        nearChannel.send(push(step), new Uint8Array(300_000), () => calls++);
      nearChannel.close();
      nearChannel.close();
      await until("end", () => far.errors.length === 1);
      assert.equal(far.chunks.length, 6);
      assert.equal(calls, 5);
      assert.deepEqual(near.errors, []);
    });

    test("a stream whose first message is not hello is refused with the reason", async () => {
      const { server, client } = pair();
      let acceptedCount = 0;
      const listener = await server.serveChunks(kind.listenAddress, () => {
        acceptedCount += 1;
        return new Inbox();
      });
      closers.push(() => listener.close());
      const near = new Inbox();
      client.openChunks(listener.address, near).send(push(1), new Uint8Array(8));
      await until("refusal", () => near.errors.length === 1);
      assert.equal(near.errors[0]!.code, "protocol");
      assert.match(near.errors[0]!.message, /first message .* must be hello, .* sent push/);
      assert.equal(acceptedCount, 0);
    });

    test("an acceptor that throws refuses the channel with its sentence", async () => {
      const { server, client } = pair();
      const listener = await server.serveChunks(kind.listenAddress, () => {
        throw new PacelineError("refused", "generation 3 is over; take the view again");
      });
      closers.push(() => listener.close());
      const near = new Inbox();
      client.openChunks(listener.address, near).send(hello, null);
      await until("refusal", () => near.errors.length === 1);
      assert.equal(near.errors[0]!.code, "refused");
      assert.match(near.errors[0]!.message, /generation 3 is over; take the view again/);
    });

    test("opening chunks where nobody listens is unavailable and names the address", async () => {
      const { client } = pair();
      const near = new Inbox();
      let calls = 0;
      const channel = client.openChunks(kind.deadAddress, near);
      channel.send(hello, new Uint8Array(4), () => calls++);
      await until("close", () => near.errors.length === 1 && calls === 1);
      assert.equal(near.errors[0]!.code, "unavailable");
      assert.match(near.errors[0]!.message, new RegExp(kind.deadAddress));
      assert.ok(near.errors[0]!.nobodyListens, "nobody listens there");
    });

    test("a listener that closes ends its channels, and its successor is reached", async () => {
      const { server, client } = pair();
      const far = new Inbox();
      const first = await server.serveChunks(kind.listenAddress, () => far);
      const near = new Inbox();
      client.openChunks(first.address, near).send(hello, null);
      await until("hello", () => far.chunks.length === 1);
      await first.close();
      await until("both ends", () => near.errors.length === 1 && far.errors.length === 1);
      assert.equal(near.errors[0]!.code, "unavailable");
      assert.ok(!near.errors[0]!.nobodyListens, "an end is no refusal");
      const gone = new Inbox();
      client.openChunks(first.address, gone).send(hello, null);
      await until("refusal", () => gone.errors.length === 1);
      assert.ok(gone.errors[0]!.nobodyListens, gone.errors[0]!.message);
      const second = await server.serveChunks(first.address, () => far);
      closers.push(() => second.close());
      client.openChunks(second.address, near).send(hello, null);
      await until("hello again", () => far.chunks.length === 2);
    });

    test("listening twice at one address is a usage error that names it", async () => {
      const { server, client } = pair();
      const listener = await server.serveChunks(kind.listenAddress, () => new Inbox());
      closers.push(() => listener.close());
      await assert.rejects(
        client.serveChunks(listener.address, () => new Inbox()),
        { code: "usage", message: /in use; choose another/ },
      );
    });

    test("asking a parameter server for registration says that it is no coordinator", async () => {
      const { client, listener } = await connect();
      await assert.rejects(client.register(listener.address, request), {
        code: "protocol",
        message: /is not a coordinator; check the address/,
      });
    });

    test("closing the transport ends what it opened", async () => {
      const { near, far, client } = await connect();
      await client.close();
      await until("end", () => far.errors.length === 1);
      assert.equal(near.errors.length, 0);
    });

    test("44.9 MB in 1 MiB chunks pass whole and in order", async () => {
      const { far, nearChannel } = await connect();
      const chunk = 1048576;
      const total = 44_880_528;
      const gradient = new Uint32Array(total / 4).map((_, index) => Math.imul(index, 2654435761));
      const bytes = new Uint8Array(gradient.buffer);
      const arena = new Uint8Array(total);
      far.onHeader = (header, payloadBytes) =>
        arena.subarray(header.chunk * chunk, header.chunk * chunk + payloadBytes);
      const count = Math.ceil(total / chunk);
      for (let index = 0; index < count; index++) {
        const payload = bytes.subarray(index * chunk, Math.min(total, (index + 1) * chunk));
        nearChannel.send({ ...push(1), chunk: index }, payload);
      }
      await until("all chunks", () => far.chunks.length === count + 1);
      assert.equal(Buffer.compare(arena, bytes), 0);
    });

    test("64 MiB pass both ways at once: no side waits for the other to read first", async () => {
      const { near, far, nearChannel, farChannel } = await connect();
      const payload = new Uint8Array(1048576).fill(3);
      for (let chunk = 0; chunk < 64; chunk++) {
        nearChannel.send({ ...push(1), chunk }, payload);
        farChannel.send({ ...push(1), chunk, kind: "reply" }, payload);
      }
      await until("both ways", () => near.chunks.length >= 64 && far.chunks.length === 65);
    });
  });
}

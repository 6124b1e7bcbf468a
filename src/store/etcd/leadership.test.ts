import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { describe, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PacelineError } from "../../errors.js";
import { type RealEtcd, testWithEtcd } from "../testing/real-etcd.js";
import { type EtcdCalls, EtcdClient } from "./etcd-client.js";
import {
  type CampaignHooks,
  campaign,
  type ElectionParts,
  type LeaderFacts,
  Leadership,
  type LeaseClock,
  presentLeader,
} from "./leadership.js";

const realClock: LeaseClock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** A process that has been put to sleep: no timer of it goes off, and time stands still. */
const stoppedClock: LeaseClock = { nowMs: () => 0, after: () => ({ cancel() {} }) };

const factsOf = (name: string): LeaderFacts => ({ address: `${name}:8000`, host: name, pid: 1 });

function partsAt(
  context: TestContext,
  etcd: RealEtcd,
  more: Partial<ElectionParts> = {},
): ElectionParts {
  const client = new EtcdClient([etcd.endpoint], 1000);
  context.after(() => client.close());
  return { client, prefix: "test", clock: realClock, leaseMs: 2000, ...more };
}

/** A process that would lead: what it hears, and the lead once it has it. */
function candidate(context: TestContext, parts: ElectionParts, name: string) {
  const ending = new AbortController();
  const heard: string[] = [];
  const away: PacelineError[] = [];
  let tell: () => void = () => {};
  const hearing = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const hooks: CampaignHooks = {
    onLeader({ host }) {
      heard.push(host);
      tell();
    },
    onAway: (error) => away.push(error),
    signal: ending.signal,
  };
  const leads = campaign(parts, factsOf(name), hooks);
  context.after(async () => {
    ending.abort();
    await (await leads.catch(() => null))?.resign();
  });
  return { leads, heard, hearing, away, end: () => ending.abort() };
}

/** A way to an etcd on which, while it is held, nothing arrives and nothing breaks. */
class Link {
  readonly endpoint: string;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.endpoint = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#server = server;
    this.#sockets = sockets;
  }

  static async to({ endpoint }: RealEtcd): Promise<Link> {
    const sockets = new Set<Socket>();
    const port = Number(endpoint.split(":").at(-1));
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from);
        from.on("error", () => {}).on("close", () => to.destroy());
        from.on("data", (bytes) => to.write(bytes));
      }
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Link(server, sockets);
  }

  hold(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  goOn(): void {
    for (const socket of this.#sockets) socket.resume();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

type Transaction = Parameters<EtcdCalls["transact"]>[0];

/** The calls of a client, in which a leader's transactions on records go another way. */
function writingBy(client: EtcdCalls, write: EtcdCalls["transact"]): EtcdCalls {
  return {
    read: (key) => client.read(key),
    transact: (request) => {
      const isOfRecord = (request.compare?.length ?? 0) > 1;
      return isOfRecord ? write(request) : client.transact(request);
    },
    grantLease: (seconds) => client.grantLease(seconds),
    revokeLease: (id) => client.revokeLease(id),
    keepAlive: (id) => client.keepAlive(id),
    watch: (key, revision) => client.watch(key, revision),
  };
}

async function leader(one: ReturnType<typeof candidate>): Promise<Leadership> {
  const lead = await one.leads;
  assert.ok(lead instanceof Leadership);
  return lead;
}

describe("leading by a key of etcd", () => {
  testWithEtcd(
    "one of several leads; when it resigns another does, with what was kept",
    async (context, etcd) => {
      const first = await leader(candidate(context, partsAt(context, etcd), "a"));
      const others = ["b", "c"].map((name) => candidate(context, partsAt(context, etcd), name));
      await Promise.all(others.map(({ hearing }) => hearing));
      assert.deepEqual(
        others.map(({ heard }) => heard),
        [["a"], ["a"]],
      );
      assert.deepEqual(await presentLeader(partsAt(context, etcd)), factsOf("a"));
      assert.equal(await first.read("state"), null);
      await first.write("state", Buffer.from("one"));
      await first.write("state", Buffer.from("two"));
      await first.write("gone", Buffer.from("x"));
      await first.write("gone", null);
      await first.resign();
      assert.equal(await first.lost, "it was laid down");

      const second = await Promise.race(others.map(leader));
      assert.deepEqual(await second.read("state"), Buffer.from("two"));
      assert.equal(await second.read("gone"), null);
      const message = "this coordinator leads no longer: it was laid down";
      await assert.rejects(first.write("state", Buffer.from("three")), {
        code: "refused",
        message,
      });
      assert.deepEqual(await second.read("state"), Buffer.from("two"));
    },
  );

  testWithEtcd(
    "one that slept past its lease writes nothing when it wakes",
    async (context, etcd) => {
      const asleep = partsAt(context, etcd, { clock: stoppedClock });
      const sleeper = await leader(candidate(context, asleep, "sleeper"));
      await sleeper.write("state", Buffer.from("old"));
      const next = await leader(candidate(context, partsAt(context, etcd), "next"));
      await next.write("state", Buffer.from("new"));
      assert.equal(sleeper.reason, null);
      await assert.rejects(sleeper.write("state", Buffer.from("late")), {
        code: "refused",
        message: "this coordinator leads no longer: another coordinator leads, or none",
      });
      assert.equal(await sleeper.lost, "another coordinator leads, or none");
      assert.deepEqual(await next.read("state"), Buffer.from("new"));
    },
  );

  testWithEtcd("one that asks whether it leads is told", async (context, etcd) => {
    const asleep = partsAt(context, etcd, { clock: stoppedClock });
    const sleeper = await leader(candidate(context, asleep, "sleeper"));
    await sleeper.confirm();
    await leader(candidate(context, partsAt(context, etcd), "next"));
    const message = "this coordinator leads no longer: another coordinator leads, or none";
    await assert.rejects(sleeper.confirm(), { code: "refused", message });
  });

  testWithEtcd(
    "writes and reads wait for an etcd that comes back, and the lead goes on",
    async (context, etcd) => {
      const parts = partsAt(context, etcd, { leaseMs: 60_000 });
      const lead = await leader(candidate(context, parts, "a"));
      await lead.write("state", Buffer.from("before"));
      await etcd.kill();
      const read = lead.read("other");
      const written = lead.write("state", Buffer.from("during"));
      await etcd.start();
      await written;
      assert.equal(await read, null);
      assert.equal(lead.reason, null);
      assert.deepEqual(await lead.read("state"), Buffer.from("during"));
    },
  );

  testWithEtcd(
    "an etcd that stays away ends the lead when its lease does",
    async (context, etcd) => {
      const lead = await leader(candidate(context, partsAt(context, etcd), "a"));
      await etcd.kill();
      const written = lead.write("state", Buffer.from("x"));
      assert.match(await lead.lost, /^etcd has not answered for \d+\.\d s, and the lease is over$/);
      await assert.rejects(written, { code: "refused" });
    },
  );

  testWithEtcd(
    "an etcd that is not there yet is waited for, and it is said",
    async (context, etcd) => {
      const one = candidate(context, partsAt(context, etcd), "a");
      while (one.away.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(one.away[0]!.code, "unavailable");
      assert.match(
        one.away[0]!.message,
        /^etcd at 127\.0\.0\.1:\d+: .*; start it, or correct --store$/,
      );
      await etcd.start();
      await leader(one);
    },
    false,
  );

  testWithEtcd(
    "one whose lease ends before its key is made begins again",
    async (context, etcd) => {
      const parts = partsAt(context, etcd);
      const { client } = parts;
      const leases: bigint[] = [];
      const slow: EtcdCalls = {
        ...writingBy(client, (request) => client.transact(request)),
        grantLease: async (seconds) => {
          const lease = await client.grantLease(seconds);
          leases.push(lease.id);
          if (leases.length === 1) await client.revokeLease(lease.id);
          return lease;
        },
      };
      const one = candidate(context, { ...parts, client: slow }, "a");
      await leader(one);
      assert.equal(leases.length, 2);
      assert.match(one.away[0]!.message, /requested lease not found$/);
    },
  );

  testWithEtcd("a campaign ends without the lead when it is told to", async (context, etcd) => {
    await leader(candidate(context, partsAt(context, etcd), "a"));
    const other = candidate(context, partsAt(context, etcd), "b");
    await other.hearing;
    other.end();
    assert.equal(await other.leads, null);
  });

  testWithEtcd("of two addresses the one that answers is spoken to", async (context, etcd) => {
    const client = new EtcdClient(["127.0.0.1:1", etcd.endpoint], 1000);
    context.after(() => client.close());
    const parts = partsAt(context, etcd, { client });
    const lead = await leader(candidate(context, parts, "a"));
    await lead.write("state", Buffer.from("x"));
    assert.deepEqual(await lead.read("state"), Buffer.from("x"));
  });

  testWithEtcd("a member that falls silent does not end the lead", async (context, etcd) => {
    const links = [await Link.to(etcd), await Link.to(etcd)];
    const client = new EtcdClient(
      links.map(({ endpoint }) => endpoint),
      300,
    );
    context.after(() => {
      client.close();
      for (const link of links) link.close();
    });
    const lead = await leader(candidate(context, partsAt(context, etcd, { client }), "a"));
    links[0]!.hold();
    const untilMs = performance.now() + 4000;
    while (performance.now() < untilMs && lead.reason === null) await sleep(50);
    assert.equal(lead.reason, null);
    // Both have turned to the second by now; then the first is the one that answers.
    links[0]!.goOn();
    links[1]!.hold();
    await Promise.all([lead.read("one"), lead.read("two"), lead.read("three")]);
    assert.equal(lead.reason, null);
  });

  testWithEtcd("an etcd is reached directly where the web is not", async (context, etcd) => {
    const kept = process.env.http_proxy;
    process.env.http_proxy = "http://127.0.0.1:1";
    context.after(() => {
      if (kept === undefined) delete process.env.http_proxy;
      else process.env.http_proxy = kept;
    });
    const { client } = partsAt(context, etcd);
    assert.equal(await client.read("none"), null);
  });

  testWithEtcd(
    "what others keep under the same prefix is told, and not taken",
    async (context, etcd) => {
      const parts = partsAt(context, etcd);
      const key = Buffer.from("test/leader");
      const value = Buffer.from("not ours");
      await parts.client.transact({
        success: [{ request: { case: "requestPut", value: { key, value } } }],
      });
      await assert.rejects(candidate(context, parts, "a").leads, {
        code: "storage",
        message:
          /^the leader's key in etcd holds "not ours"; give this cluster a prefix of its own/,
      });
    },
  );

  testWithEtcd(
    "a write that was given up and is made late after all replaces nothing",
    async (context, etcd) => {
      const parts = partsAt(context, etcd);
      const { client } = parts;
      const late: Transaction[] = [];
      const slow = writingBy(client, async (request) => {
        if (late.length > 0) return client.transact(request);
        late.push(request);
        throw new PacelineError("timeout", "it has not answered in time");
      });
      const lead = await leader(candidate(context, { ...parts, client: slow }, "a"));
      await lead.write("state", Buffer.from("one"));
      await lead.write("state", Buffer.from("two"));
      assert.equal(late.length, 1);
      await client.transact(late[0]!);
      assert.deepEqual(await lead.read("state"), Buffer.from("two"));
      await lead.write("state", Buffer.from("three"));
      assert.deepEqual(await lead.read("state"), Buffer.from("three"));
    },
  );

  testWithEtcd(
    "a write whose answer is lost is made again, and those that follow it are made",
    async (context, etcd) => {
      const parts = partsAt(context, etcd);
      const { client } = parts;
      let losses = 2;
      const calls = writingBy(client, async (request) => {
        const answer = await client.transact(request);
        if (losses-- <= 0) return answer;
        throw new PacelineError("unavailable", "the connection broke");
      });
      const lead = await leader(candidate(context, { ...parts, client: calls }, "a"));
      await lead.write("state", Buffer.from("one"));
      await lead.write("state", Buffer.from("two"));
      assert.deepEqual(await lead.read("state"), Buffer.from("two"));
      assert.equal(lead.reason, null);
    },
  );
});

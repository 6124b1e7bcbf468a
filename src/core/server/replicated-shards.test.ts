/** Servers that have copies of each other's chunks, as machines: messages are delivered by hand. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { layOut } from "../../protocol/layout.js";
import { type ChunkHeader, type ChunkMarks, emptyHeader } from "../../protocol/messages.js";
import type { Protocol } from "../../protocol/run-spec.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { specOf } from "../testing/model-run.js";
import { Shard } from "./shard.js";
import type { ShardEffect, ShardEvent } from "./shard-events.js";

const layout = layOut([{ name: "w", shape: [1], group: "weight" }], 1);
const bsp: Protocol = { mode: "bsp" };
const asp: Protocol = {
  mode: "asp",
  staleness: { rule: "scale", scale: 1, floor: 0.1, max: 5 },
};

interface Letter {
  readonly from: number;
  readonly to: number;
  readonly what: string;
  readonly event: ShardEvent;
}

/** Three servers of which server 0 leads the one chunk, and a worker that is the test. */
class Servers {
  readonly told: string[] = [];
  readonly replies: ChunkHeader[] = [];
  letters: Letter[] = [];
  view: View;
  readonly shards: readonly Shard[];
  #slots = 0;

  constructor(protocol: Protocol = bsp) {
    const spec = specOf({ protocol, workersMax: 1 });
    this.shards = [0, 1, 2].map((index) => new Shard({ index, spec, layout }));
    this.view = {
      ...{ run: "r", number: 0, generation: 0, ...firstPhase(protocol), fences: [1] },
      servers: [0, 1, 2].map((index) => {
        return { index, incarnation: 20 + index, address: "", frames: null };
      }),
      workers: [{ rank: 0, incarnation: 10, fromStep: 0 }],
      ...{ replicas: [[0]], candidates: [], departing: [] },
    };
  }

  /** Gives these servers a further view. */
  follow(change: Partial<View>, whom: readonly number[] = [0, 1, 2]): void {
    const { number: before, replicas } = this.view;
    const number = before + 1;
    const isMoved = change.replicas !== undefined && change.replicas[0]![0] !== replicas[0]![0];
    const fences = isMoved ? [number] : this.view.fences;
    this.view = { ...this.view, ...change, number, fences };
    for (const server of whom) this.step(server, { type: "view", view: this.view });
  }

  load(): void {
    const { generation } = this.view;
    const load = { type: "load", chunk: 0, generation, part: "weights" } as const;
    this.step(0, { ...load, slot: this.#slots++, marks: null, channel: 9 });
  }

  push(server: number, step: number, about: Partial<ChunkHeader> = {}): void {
    const tags = { run: "r", rank: 0, incarnation: 10, chunk: 0, fence: this.view.number };
    const more = { examples: 4, leads: true, wantsReply: true, ...about };
    const header: ChunkHeader = { ...emptyHeader, ...tags, kind: "push", step, ...more };
    this.step(server, { type: "push", header, slot: this.#slots++, finite: true, channel: 1 });
  }

  pull(server: number): void {
    const tags = { run: "r", rank: 0, incarnation: 10, chunk: 0, fence: this.view.number };
    const header: ChunkHeader = { ...emptyHeader, ...tags, kind: "pull", step: -1 };
    this.step(server, { type: "pull", header, channel: 1 });
  }

  /** Delivers what is on its way, and what that leads to, but for what is held back. */
  deliver(isHeld: (letter: Letter) => boolean = () => false): void {
    for (;;) {
      const next = this.letters.findIndex((letter) => !isHeld(letter));
      if (next < 0) return;
      const [letter] = this.letters.splice(next, 1);
      this.step(letter!.to, letter!.event);
    }
  }

  /** The versions of the replies so far. */
  versions(): number[] {
    return this.replies.map(({ version }) => version);
  }

  marks(server: number): ChunkMarks | null {
    let found: ChunkMarks | null = null;
    for (const effect of this.shards[server]!.step({ type: "copy", chunk: 0, channel: 9 }, 0)) {
      if (effect.type === "keepCopy") found = JSON.parse(effect.header.detail) as ChunkMarks;
    }
    return found;
  }

  step(server: number, event: ShardEvent): void {
    for (const effect of this.shards[server]!.step(event, 0)) this.#perform(server, effect);
  }

  #perform(from: number, effect: ShardEffect): void {
    switch (effect.type) {
      case "reply":
        if (effect.channel === 1) this.replies.push(effect.header);
        else if (effect.channel > 100) this.told.push(effect.header.detail);
        break;
      case "caughtUp":
        this.told.push(`${effect.server} has caught up`);
        break;
      case "tell": {
        const { server: to, header } = effect;
        const isAsking = header.kind === "follow";
        const event: ShardEvent = isAsking
          ? { type: "follow", header, channel: 101 + from }
          : { type: "received", header, channel: 101 + from };
        this.#post(from, to, `${header.kind} ${header.step}`, event);
        break;
      }
      case "sendParts": {
        if (effect.channel <= 100) break;
        const { step: seq, fence, generation, detail } = effect.header;
        const about = { chunk: 0, part: "weights", seq, server: from, fence, generation } as const;
        const marks = JSON.parse(detail) as ChunkMarks;
        const event: ShardEvent = { type: "snapshot", ...about, slot: this.#slots++, marks };
        this.#post(from, effect.channel - 101, `snapshot ${seq}`, event);
        break;
      }
      case "sendEntry": {
        const { channel, fence, entry } = effect;
        const gradient = entry.gradient < 0 ? -1 : this.#slots++;
        const about = { server: from, fence, generation: this.view.generation };
        const event: ShardEvent = { type: "entry", ...about, entry: { ...entry, gradient } };
        this.#post(from, channel - 101, `entry ${entry.seq}`, event);
        break;
      }
      default:
        break;
    }
  }

  #post(from: number, to: number, what: string, event: ShardEvent): void {
    this.letters.push({ from, to, what, event });
  }
}

/** Server 1 is an in-sync backup; server 2 is one, too, where three are wanted. */
function replicated(protocol: Protocol = bsp, backups: readonly number[] = [1]): Servers {
  const servers = new Servers(protocol);
  servers.follow({ candidates: backups.map((server) => ({ chunk: 0, server })) });
  servers.load();
  servers.deliver();
  servers.follow({ replicas: [[0, ...backups]], candidates: [] });
  servers.deliver();
  servers.told.length = 0;
  return servers;
}

/** Entry 2 is at the backup, and its acknowledgement is lost with the link. */
function withEntryAtBackup(): Servers {
  const servers = replicated();
  servers.push(0, 0);
  servers.deliver();
  servers.push(0, 1);
  servers.deliver(({ what }) => what.startsWith("received"));
  assert.deepEqual(servers.versions(), [1], "it is not answered");
  servers.letters = [];
  return servers;
}

describe("a candidate", () => {
  test("is sent a snapshot, then every entry, and is waited for from its first answer on", () => {
    const servers = new Servers();
    servers.follow({ candidates: [{ chunk: 0, server: 1 }] });
    servers.load();
    servers.push(0, 0);
    assert.deepEqual(servers.versions(), [1], "nobody is waited for yet");
    servers.deliver(({ what }) => what.startsWith("received"));
    servers.push(0, 1);
    assert.deepEqual(servers.versions(), [1, 2], "its answer is on its way");
    servers.deliver(({ what }) => what === "received 2");
    assert.deepEqual(servers.told, [], "it has not all that is committed");
    servers.push(0, 2);
    assert.deepEqual(servers.versions(), [1, 2], "from here on it is waited for");
    servers.deliver();
    assert.deepEqual(servers.told, ["1 has caught up"]);
    assert.deepEqual(servers.versions(), [1, 2, 3]);
  });

  test("of a primary that is gone begins anew with the next, however far it came", () => {
    const servers = replicated(asp);
    servers.push(0, 0);
    servers.deliver();
    servers.follow({ candidates: [{ chunk: 0, server: 2 }] });
    servers.deliver();
    servers.push(0, 1);
    // Entry 2 comes to the candidate, and not to the backup.
    servers.deliver(({ to }) => to === 1);
    servers.letters = [];
    servers.follow({ replicas: [[1]], candidates: [{ chunk: 0, server: 2 }] }, [1, 2]);
    servers.push(1, 1);
    const asked = servers.letters.filter(({ from }) => from === 2).map(({ what }) => what);
    assert.deepEqual(asked, ["follow -1"], "the backup's entry 2 is another");
    servers.deliver();
    assert.ok(servers.told.includes("2 has caught up"));
  });

  test("that is not of the view, or of another life, is given nothing", () => {
    const servers = new Servers();
    servers.follow({ candidates: [{ chunk: 0, server: 1 }] });
    servers.load();
    servers.deliver();
    const tags = { run: "r", kind: "follow", chunk: 0, fence: 1 } as const;
    for (const [rank, incarnation] of [
      [1, 20],
      [2, 22],
      [0, 10],
      [-1, 0],
    ] as const) {
      const header = { ...emptyHeader, ...tags, rank, incarnation };
      servers.step(0, { type: "follow", header, channel: 150 });
      assert.match(servers.told.at(-1)!, /is not to follow chunk 0 here/);
      assert.deepEqual(servers.letters, []);
    }
  });
});

describe("a backup", () => {
  test("is acknowledged for by itself alone, over the channel by which it asked", () => {
    const servers = replicated();
    servers.push(0, 0);
    servers.deliver(({ what }) => what.startsWith("received"));
    const [letter] = servers.letters.map(({ event }) => event);
    assert.ok(letter?.type === "received");
    servers.step(0, { ...letter, channel: 150 });
    assert.deepEqual(servers.versions(), [], "a stranger said so");
    servers.deliver();
    assert.deepEqual(servers.versions(), [1]);
  });

  test("takes entries in order, from its primary, and as it asked last", () => {
    const servers = replicated();
    servers.push(0, 0);
    const [entry] = servers.letters.map(({ event }) => event);
    assert.ok(entry?.type === "entry");
    const strange: Partial<typeof entry>[] = [
      { server: 2 },
      { fence: 99 },
      { fence: 0 },
      { generation: 7 },
      { entry: { ...entry.entry, seq: entry.entry.seq + 1 } },
    ];
    for (const change of strange) {
      servers.step(1, { ...entry, ...change });
      assert.deepEqual(servers.letters.length, 1, JSON.stringify(change));
    }
    assert.deepEqual(servers.versions(), []);
    servers.deliver();
    assert.deepEqual(servers.versions(), [1]);
  });

  test("leads with all that was answered, and knows a push that comes again", () => {
    const servers = withEntryAtBackup();
    servers.follow({ replicas: [[1]], servers: servers.view.servers.slice(1) }, [1]);
    servers.push(1, 1);
    const { outcome, version } = servers.replies.at(-1)!;
    assert.deepEqual([outcome, version], ["duplicate", 2]);
    servers.push(1, 2);
    assert.deepEqual(servers.versions(), [1, 2, 3]);
  });

  test("has the verdicts of the staleness rule, also those in its snapshot", () => {
    for (const isBehind of [false, true]) {
      const servers = new Servers(asp);
      const candidates = [{ chunk: 0, server: 1 }];
      servers.follow(isBehind ? {} : { candidates });
      servers.load();
      for (const step of [0, 1]) servers.push(0, step, { version: 0 });
      if (isBehind) servers.follow({ candidates });
      servers.deliver();
      const scale = servers.replies[1]!.scale;
      assert.equal(scale, 0.5, "one update behind");
      const first = { replicas: [[1]], candidates: [] };
      servers.follow(first, [1]);
      servers.push(1, 1, { version: 0 });
      assert.equal(servers.replies.at(-1)!.scale, scale);
      assert.equal(servers.replies.at(-1)!.outcome, "duplicate");
    }
  });

  test("that led before begins anew as a candidate", () => {
    const servers = replicated();
    servers.follow({ replicas: [[1]], candidates: [] }, [1]);
    servers.push(1, 0);
    servers.follow({ replicas: [[1]], candidates: [{ chunk: 0, server: 0 }] });
    assert.ok(servers.letters.some(({ from, what }) => from === 0 && what === "follow -1"));
    servers.deliver();
    assert.deepEqual(servers.told.at(-1), "0 has caught up");
  });
});

describe("with three replicas a new primary", () => {
  test("says nothing before every backup has what it has", () => {
    const servers = replicated(bsp, [1, 2]);
    servers.push(0, 0);
    servers.deliver(({ to, what }) => to === 2 && what === "entry 1");
    assert.deepEqual(servers.versions(), [], "one of two has it");
    servers.letters = [];
    servers.follow({ replicas: [[1, 2]] }, [1, 2]);
    servers.pull(1);
    assert.deepEqual(servers.versions(), [], "server 2 may lead next, and has it not");
    servers.deliver();
    assert.deepEqual(servers.versions(), [1]);
    servers.follow({ replicas: [[2]] }, [2]);
    servers.pull(2);
    assert.deepEqual(servers.versions(), [1, 1]);
  });

  test("takes the place of an entry that only another backup has", () => {
    const servers = replicated(bsp, [1, 2]);
    servers.push(0, 0);
    servers.deliver(({ to, what }) => to === 1 && what === "entry 1");
    servers.letters = [];
    servers.follow({ replicas: [[1, 2]] }, [1, 2]);
    servers.deliver();
    servers.push(1, 0);
    servers.deliver();
    assert.deepEqual(servers.versions(), [1]);
    assert.equal(servers.replies[0]!.outcome, "applied", "nobody had been told of it");
  });
});

test("a primary waits for a backup until a view says otherwise", () => {
  const servers = replicated();
  servers.push(0, 0);
  servers.letters = [];
  servers.step(0, { type: "closed", channel: 102 });
  assert.match(servers.shards[0]!.activity(), /entry 1 .* not committed: waiting for server 1$/);
  servers.follow({ replicas: [[0]] }, [0]);
  assert.deepEqual(servers.versions(), [1]);
});

test("a channel that opens again brings what was on its way", () => {
  const servers = replicated();
  servers.push(0, 0);
  servers.letters = [];
  servers.step(0, { type: "closed", channel: 102 });
  servers.step(1, { type: "linked", server: 0 });
  const [asking] = servers.letters;
  assert.equal(asking!.what, "follow 0", "it has the state before, and needs no snapshot");
  servers.deliver();
  assert.deepEqual(servers.versions(), [1]);
});

test("after a roll-back copies are asked for anew, and nothing of those before counts", () => {
  const servers = replicated();
  servers.push(0, 0);
  servers.deliver();
  servers.follow({ generation: 1, replicas: [[0]], candidates: [{ chunk: 0, server: 1 }] });
  const asked = servers.letters.filter(({ what }) => what === "follow -1");
  assert.deepEqual(asked.length, 1);
  servers.load();
  servers.push(0, 0, { generation: 1 });
  assert.equal(servers.versions().at(-1), 1, "the candidate is not waited for yet");
  servers.deliver();
  assert.deepEqual(servers.told, ["1 has caught up"]);
});

test("a step that is being sealed counts as sealed for who joins", () => {
  const servers = replicated();
  servers.push(0, 0);
  const view = { ...servers.view, number: servers.view.number + 1 };
  const [answer] = servers.shards[0]!.step({ type: "view", view }, 0);
  assert.ok(answer?.type === "viewAck");
  assert.equal(answer.sealedStep, 0);
});

test("what is saved is what is left when nothing more can be sealed", () => {
  const servers = replicated();
  const joiner = { rank: 0, incarnation: 11, fromStep: 3 };
  servers.follow({ workers: [joiner], departing: servers.view.workers });
  assert.equal(servers.marks(0), null, "empty steps are yet to be committed");
  servers.deliver();
  assert.equal(servers.marks(0)?.sealedStep, 2);
});

test("a view is acknowledged when nothing of who is gone is left to be committed", () => {
  const servers = replicated();
  servers.push(0, 0);
  const acknowledged: number[] = [];
  const view = { ...servers.view, number: 9, workers: [], departing: servers.view.workers };
  const step = (event: ShardEvent) => {
    for (const effect of servers.shards[0]!.step(event, 0)) {
      if (effect.type === "viewAck") acknowledged.push(effect.departed[0]!.stepMax);
    }
  };
  step({ type: "view", view });
  assert.deepEqual(acknowledged, []);
  servers.deliver(({ what }) => what.startsWith("received"));
  step(servers.letters[0]!.event);
  assert.deepEqual(acknowledged, [0], "its entry counts");
});

describe("a primary that hands its chunk over", () => {
  test("keeps a copy where it backs up, and what was not committed counts once", () => {
    const servers = withEntryAtBackup();
    servers.follow({ replicas: [[1, 0]] });
    servers.push(1, 1);
    assert.deepEqual(servers.versions().slice(2), [], "its copy is one entry behind");
    servers.deliver();
    const { outcome, version } = servers.replies.at(-1)!;
    assert.deepEqual([outcome, version], ["duplicate", 2]);
    servers.push(1, 2);
    servers.deliver();
    servers.follow({ replicas: [[0, 1]] });
    assert.deepEqual(
      servers.letters.map(({ what }) => what),
      ["follow 3"],
      "nothing has to be sent anew",
    );
    servers.deliver();
    servers.push(0, 3);
    servers.deliver();
    assert.deepEqual(servers.versions().slice(-2), [3, 4]);
  });

  test("gives up what it held of a step, which is pushed again", () => {
    const servers = replicated();
    servers.push(0, 0);
    servers.deliver();
    servers.push(0, 1);
    servers.letters = [];
    servers.follow({ replicas: [[1]] });
    assert.equal(servers.marks(0), null, "it holds the chunk no more");
    servers.push(0, 1);
    assert.equal(servers.replies.at(-1)?.outcome, "refused");
    servers.push(1, 1);
    assert.deepEqual([servers.replies.at(-1)?.outcome, servers.versions().at(-1)], ["applied", 2]);
  });

  test("and is given it back knows nothing of what it had not committed", () => {
    const servers = replicated();
    servers.push(0, 0);
    servers.letters = [];
    servers.follow({ replicas: [[1, 0]] });
    servers.deliver();
    servers.follow({ replicas: [[0, 1]] });
    servers.deliver();
    servers.replies.length = 0;
    servers.push(0, 0);
    servers.deliver();
    const answers = servers.replies.map(({ outcome, version }) => [outcome, version]);
    assert.deepEqual(answers, [["applied", 1]]);
  });

  test("and is given it back believes no follower by what it had before", () => {
    const servers = new Servers();
    servers.follow({ replicas: [[0, 1, 2]] });
    servers.load();
    servers.deliver();
    servers.push(0, 0);
    servers.deliver(({ from, to }) => from === 2 || to === 2);
    assert.deepEqual(servers.versions(), [], "server 2 has not the entry");
    servers.letters = [];
    servers.follow({ replicas: [[2, 0, 1]] });
    servers.deliver();
    servers.follow({ replicas: [[0, 1, 2]] });
    servers.deliver(({ from }) => from === 1);
    servers.replies.length = 0;
    servers.push(0, 0);
    servers.deliver(({ from }) => from === 1);
    assert.deepEqual(servers.versions(), [], "server 1 had an entry that counted for nothing");
    servers.deliver();
    assert.deepEqual(servers.versions(), [1]);
  });
});

/** Clusters with copies in which a server's memory is full: it leaves, and the run goes on. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { casesOf } from "../core/testing/seeds.js";
import { toPacelineError } from "../errors.js";
import { Arena, arenaValuesMax } from "../kernels/arena.js";
import type { Compression } from "../protocol/compression.js";
import type { RunSpec } from "../protocol/run-spec.js";
import { specOf as specOfEpochs } from "./testing/compressed-toys.js";
import type { Toy } from "./testing/memory-cluster.js";
import { asp, heard, runStruck } from "./testing/struck-toys.js";

/** An arena that has room for so many more slots. */
class LimitedArena extends Arena {
  slotsLeft = Number.POSITIVE_INFINITY;

  override allocate(length: number): number {
    return super.allocate(this.slotsLeft-- > 0 ? length : arenaValuesMax + 1);
  }
}

/** Servers whose memory can be filled. */
class Memories {
  readonly #arenas = new Map<number, LimitedArena>();
  /** Slots that a server's next life has. */
  readonly slotsNext = new Map<number, number>();

  readonly openArena = (server: number): Arena => {
    const arena = new LimitedArena(1 << 22);
    arena.slotsLeft = this.slotsNext.get(server) ?? Number.POSITIVE_INFINITY;
    this.slotsNext.delete(server);
    this.#arenas.set(server, arena);
    return arena;
  };

  fill(server: number): void {
    this.#arenas.get(server)!.slotsLeft = 0;
  }
}

const specOf = (changes: Partial<RunSpec>, push: Compression = { codec: "none", share: 1 }) =>
  specOfEpochs(300, { push }, { servers: 3, replicas: 2, ...changes });
const said = /^server-1 failed: the arena can't hold \d+ more values: .* use more servers/;

/** Runs while a server's memory fills; fails unless all that was pushed is in the result. */
async function runFilled(spec: RunSpec, strike: (toy: Toy, memories: Memories) => Promise<void>) {
  const memories = new Memories();
  const { openArena } = memories;
  const outcome = await runStruck(spec, (toy) => void strike(toy, memories), 0, { openArena });
  const { result } = outcome;
  assert.equal(result.outcome, "done", result.reason);
  const used = result.epochs.reduce((sum, { examples }) => sum + examples, 0);
  assert.equal(used, spec.trainExamples * spec.epochs);
  return outcome;
}

describe("a server that has no memory left", () => {
  for (const push of casesOf([
    { codec: "none", share: 1 },
    { codec: "fp16", share: 1 },
  ] as const)) {
    test(`leaves in mid-run and is back once it has some, with ${push.codec}`, async () => {
      const spec = specOf({}, push);
      const undisturbed = await runStruck({ ...spec, replicas: 1 });
      const { weights, events } = await runFilled(spec, async (toy, memories) => {
        const at = await heard(toy, /^redundant/);
        memories.fill(1);
        await heard(toy, said, at);
        await toy.kill(1, false);
        await toy.restart(1);
      });
      assert.deepEqual(weights, undisturbed.weights);
      const texts = events.map(({ text }) => text);
      const lostAt = texts.findIndex((text) => said.test(text));
      assert.equal(events.filter(({ kind }) => kind === "lost").length, 1);
      assert.ok(texts.lastIndexOf("redundant: every chunk is on 2 servers") > lostAt, `${texts}`);
    });
  }

  for (const slots of casesOf([2, 0, 5])) {
    test(`leaves while it takes copies, after ${slots} slots of them`, async () => {
      const spec = specOf({});
      const undisturbed = await runStruck({ ...spec, replicas: 1 });
      const { weights, events } = await runFilled(spec, async (toy, memories) => {
        const at = await heard(toy, /^redundant/);
        await toy.kill(1);
        memories.slotsNext.set(1, slots);
        await toy.restart(1);
        await heard(toy, said, await heard(toy, /^server-1 .*: lost/, at));
      });
      assert.deepEqual(weights, undisturbed.weights);
      assert.equal(events.filter(({ text }) => said.test(text)).length, 1);
    });
  }

  test("takes no answered push of an asynchronous run with it", async () => {
    const { result, saved } = await runFilled(specOf({ protocol: asp }), async (toy, memories) => {
      await heard(toy, /^redundant/);
      memories.fill(1);
    });
    const pushes = Object.values(result.workers).reduce((sum, { steps }) => sum + steps, 0);
    for (const { version } of saved.state.marks) assert.equal(version, pushes);
  });

  test("ends a run that has no other replica, with what to do", async () => {
    const memories = new Memories();
    const strike = async (toy: Toy) => {
      await heard(toy, /^training starts/);
      memories.fill(1);
    };
    const { openArena } = memories;
    const spec = specOf({ replicas: 1 });
    const { result } = await runStruck(spec, (toy) => void strike(toy), 0, { openArena });
    assert.deepEqual([result.outcome, result.code], ["failed", "member_lost"]);
    const reason = /^server-1 .* is lost: failed: the arena can't hold .* use more servers/;
    assert.match(result.reason, reason);
  });
});

test("a buffer that can't be had is an error of the same code as a full arena", () => {
  const codeOf = (action: () => unknown) => {
    try {
      return action();
    } catch (thrown) {
      return toPacelineError(thrown).code;
    }
  };
  assert.equal(
    codeOf(() => new LimitedArena(1).allocate(arenaValuesMax)),
    "memory",
  );
  assert.equal(
    codeOf(() => new ArrayBuffer(2 ** 52)),
    "memory",
  );
  assert.equal(
    codeOf(() => new Uint8Array(-1)),
    "internal",
  );
});

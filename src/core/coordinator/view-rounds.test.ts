import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mint } from "../../protocol/ids.js";
import type { ViewWorker } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import { type ViewAnswer, ViewRounds } from "./view-rounds.js";

const base = {
  run: "r",
  servers: [{ index: 0, incarnation: 1, address: "server", frames: null }],
  replicas: [[0]],
};
/** A server that has heard of no worker of the view. */
const unheard: ViewAnswer = { sealedStep: -1, clockMin: 0, departed: [] };

/** Carries a round out; the first step that the worker of this rank has in the view. */
function roundOf(rounds: ViewRounds, rank: number, answer = unheard) {
  const view = rounds.begin();
  assert.ok(view !== null, "there is something to agree on");
  const outcome = rounds.answer(0, view.number, answer);
  return { stands: outcome?.stands, joined: outcome?.joined, next: rounds.worker(rank)?.fromStep };
}

describe("views under SSP(0)", () => {
  const cases: readonly [title: string, present: number, joiner: number, from: number][] = [
    ["behind a worker that may be in its first step already", 24, 23, 25],
    ["beside it", 24, 24, 24],
    ["before it", 24, 26, 26],
  ];
  for (const [title, present, joiner, from] of cases) {
    test(`a joiner ${title} begins with step ${from}`, () => {
      const rounds = new ViewRounds(
        base,
        paceOf({ protocol: { mode: "ssp", staleness: 0 } }, 0),
        1,
      );
      const workerOf = (rank: number, fromStep: number): ViewWorker => {
        return { rank, incarnation: 10 + rank, fromStep };
      };
      rounds.admit(workerOf(1, present));
      assert.deepEqual(roundOf(rounds, 1), { stands: true, joined: [1], next: present });
      rounds.admit(workerOf(0, joiner));
      let round = roundOf(rounds, 0);
      if (joiner < present) {
        assert.deepEqual(round, { stands: false, joined: [], next: from });
        round = roundOf(rounds, 0);
      }
      assert.deepEqual(round, { stands: true, joined: [0], next: from });
    });
  }
});

describe("which chunks a view fences anew, and whether it binds", () => {
  const two = {
    run: "r",
    servers: [0, 1].map((index) => ({ index, incarnation: 1, address: "s", frames: null })),
    replicas: [[0], [1]],
  };
  const changes: readonly (readonly [
    title: string,
    change: (rounds: ViewRounds) => void,
    fences: readonly number[],
    binding: boolean,
  ])[] = [
    [
      "another worker fences none",
      (rounds) => rounds.admit({ rank: 0, incarnation: 9, fromStep: 0 }),
      [1, 1],
      false,
    ],
    ["another primary fences its chunk", (rounds) => rounds.place(1, [0]), [1, 2], true],
    ["a backup fences its chunk", (rounds) => rounds.place(0, [0, 1]), [2, 1], true],
    ["another phase fences none, and binds", (rounds) => rounds.enter(1, 40), [1, 1], true],
    ["another generation fences all", (rounds) => rounds.raiseGeneration(), [2, 2], true],
  ];
  for (const [title, change, fences, binding] of changes) {
    test(title, () => {
      const rounds = new ViewRounds(two, paceOf({ protocol: { mode: "bsp" } }, 0), 3);
      const first = rounds.begin()!;
      assert.ok(rounds.binding, "the first view binds");
      assert.deepEqual(first.fences, [mint(3, 1), mint(3, 1)]);
      for (const server of [0, 1]) rounds.answer(server, first.number, unheard);
      change(rounds);
      const view = rounds.begin()!;
      assert.deepEqual(
        view.fences,
        fences.map((count) => mint(3, count)),
      );
      assert.equal(rounds.binding, binding);
    });
  }

  test("a chunk is held by servers of the run, each named once", () => {
    const rounds = new ViewRounds(two, paceOf({ protocol: { mode: "bsp" } }, 0), 3);
    for (const servers of [[], [2], [0, 0]]) assert.throws(() => rounds.place(0, servers));
    assert.throws(() => rounds.place(2, [0]));
  });
});

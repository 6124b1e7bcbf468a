import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mint, shownId } from "../../protocol/ids.js";
import { firstPhase, supersedes, type View, type ViewWorker } from "../../protocol/view.js";
import { type FirstView, type ViewAnswer, ViewRounds } from "./view-rounds.js";

const inStep = firstPhase({ mode: "bsp" });
const base: FirstView = {
  run: "r",
  servers: [{ index: 0, incarnation: 1, address: "server", frames: null }],
  replicas: [[0]],
  phase: inStep,
};
/** A server that has heard of no worker of the view. */
const unheard: ViewAnswer = { sealedStep: -1, clockMin: 0, version: 0, departed: [] };

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
      const phase = firstPhase({ mode: "ssp", staleness: 0 });
      const rounds = new ViewRounds({ ...base, phase }, 1);
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

test("in a later phase nobody is taken to have heard of it from a coordinator before", () => {
  for (const phase of [0, 1]) {
    const before = new ViewRounds(base, 1);
    before.admit({ rank: 0, incarnation: 10, fromStep: 0 });
    roundOf(before, 0);
    const { view, ...stand } = before.record();
    const rounds = new ViewRounds(base, 2);
    rounds.restore({ ...view!, phase }, stand);
    assert.equal(rounds.isConfirmed(0), phase === 0);
    rounds.raiseGeneration();
    roundOf(rounds, 0);
    assert.ok(rounds.isConfirmed(0), "this one has said so");
  }
});

test("a lost worker tears one step, however many empty ones are before it", () => {
  const lost = { rank: 1, incarnation: 11 };
  const cases: readonly [stepMin: number, stepMax: number, isTorn: boolean][] = [
    [4, 4, false],
    [3, 4, true],
    [2, 4, true],
    [-1, 4, true],
  ];
  for (const [stepMin, stepMax, isTorn] of cases) {
    const rounds = new ViewRounds(base, 1);
    for (const rank of [0, 1]) rounds.admit({ rank, incarnation: 10 + rank, fromStep: 0 });
    roundOf(rounds, 0);
    rounds.remove(1);
    const view = rounds.begin();
    const departed = [{ ...lost, stepMin, stepMax, used: 20 }];
    const outcome = rounds.answer(0, view!.number, {
      sealedStep: 4,
      clockMin: 5,
      version: 5,
      departed,
    });
    assert.deepEqual(outcome?.departed, [{ ...lost, lastStep: 4, isTorn, used: 20 }]);
  }
});

describe("views that say more than who works", () => {
  const three: FirstView = {
    run: "r",
    servers: [0, 1].map((index) => ({ index, incarnation: 1, address: "", frames: null })),
    replicas: [[0], [0], [1]],
    phase: inStep,
  };

  /** Has every server acknowledge the view that is due. */
  function stand(rounds: ViewRounds): View {
    const view = rounds.begin();
    assert.ok(view !== null, "there is something to agree on");
    assert.equal(rounds.answer(0, view.number, unheard), null);
    assert.notEqual(rounds.standing, view, "a view stands once all servers have it");
    assert.equal(rounds.answer(1, view.number, unheard)?.stands, true);
    assert.equal(rounds.standing, view);
    return view;
  }

  const shownFences = ({ fences }: View) => fences.map(shownId);

  test("the first one fences every chunk, and one that changes workers none", () => {
    const rounds = new ViewRounds(three, 4);
    assert.deepEqual(shownFences(stand(rounds)), ["4.1", "4.1", "4.1"]);
    rounds.admit({ rank: 0, incarnation: 9, fromStep: 0 });
    const second = stand(rounds);
    assert.equal(shownId(second.number), "4.2");
    assert.deepEqual(shownFences(second), ["4.1", "4.1", "4.1"]);
  });

  test("a chunk that is held by others is fenced, and no other chunk", () => {
    const rounds = new ViewRounds(three, 1);
    const first = stand(rounds);
    rounds.place(1, [1, 0]);
    const second = stand(rounds);
    assert.deepEqual(second.replicas, [[0], [1, 0], [1]]);
    assert.deepEqual(shownFences(second), ["1.1", "1.2", "1.1"]);
    assert.deepEqual(first.replicas, [[0], [0], [1]], "a view stays as it was said");
    rounds.place(1, [1]);
    assert.deepEqual(shownFences(stand(rounds)), ["1.1", "1.2", "1.1"], "its primary leads on");
  });

  test("a chunk that is placed where it is keeps its fence", () => {
    const rounds = new ViewRounds(three, 1);
    stand(rounds);
    rounds.place(0, [1]);
    rounds.place(0, [0]);
    assert.deepEqual(shownFences(stand(rounds)), ["1.1", "1.1", "1.1"]);
  });

  test("a phase has its first step, and moves no fence", () => {
    const rounds = new ViewRounds(three, 1);
    const first = stand(rounds);
    assert.deepEqual([first.phase, first.phaseFromStep], [0, 0]);
    rounds.enter({ ...inStep, phase: 1, phaseFromStep: 40 }, () => 40);
    const second = stand(rounds);
    assert.deepEqual([second.phase, second.phaseFromStep], [1, 40]);
    assert.deepEqual(shownFences(second), ["1.1", "1.1", "1.1"]);
  });

  test("a generation fences every chunk", () => {
    const rounds = new ViewRounds(three, 1);
    stand(rounds);
    rounds.raiseGeneration();
    const second = stand(rounds);
    assert.equal(second.generation, 1);
    assert.deepEqual(shownFences(second), ["1.2", "1.2", "1.2"]);
  });

  test("what changes while a round is on comes in one view after it", () => {
    const rounds = new ViewRounds(three, 1);
    stand(rounds);
    rounds.place(0, [1]);
    const second = rounds.begin();
    rounds.place(2, [0]);
    rounds.enter({ ...inStep, phase: 1, phaseFromStep: 8 }, () => 8);
    rounds.raiseGeneration();
    rounds.admit({ rank: 0, incarnation: 9, fromStep: 0 });
    assert.equal(rounds.begin(), null, "one round at a time");
    assert.equal(rounds.answer(0, mint(1, 1), unheard), null, "an answer to another view");
    for (const server of [0, 1]) rounds.answer(server, second!.number, unheard);
    const third = stand(rounds);
    assert.equal(shownId(third.number), "1.3");
    assert.deepEqual(third.replicas, [[1], [0], [0]]);
    assert.deepEqual([third.generation, third.phase, third.workers.length], [1, 1, 1]);
    assert.equal(rounds.busy, false);
  });

  test("a server that is lost in mid-round is waited for no more, one that comes not yet", () => {
    const rounds = new ViewRounds(three, 1);
    rounds.admit({ rank: 0, incarnation: 9, fromStep: 0 });
    stand(rounds);
    rounds.remove(0);
    const first = rounds.begin()!;
    rounds.admitServer({ index: 2, incarnation: 5, address: "", frames: null });
    const departed = [{ rank: 0, incarnation: 9, stepMin: 3, stepMax: 3, used: 12 }];
    assert.equal(rounds.answer(0, first.number, { ...unheard, departed }), null);
    for (const chunk of [0, 1, 2]) rounds.place(chunk, [0]);
    rounds.removeServer(1);
    const second = rounds.begin()!;
    assert.deepEqual(
      second.servers.map(({ index }) => index),
      [0, 2],
    );
    assert.deepEqual(second.departing, first.departing, "its account is not closed");
    rounds.admitServer({ index: 3, incarnation: 6, address: "", frames: null });
    assert.equal(rounds.answer(0, second.number, { ...unheard, departed }), null);
    const outcome = rounds.answer(2, second.number, unheard);
    assert.equal(outcome?.stands, true);
    assert.deepEqual(outcome?.departed, [
      { rank: 0, incarnation: 9, lastStep: 3, isTorn: false, used: 12 },
    ]);
    assert.deepEqual(rounds.begin()?.departing, []);
  });

  test("nobody but members holds a chunk, each once, and somebody does", () => {
    const rounds = new ViewRounds(three, 1);
    for (const servers of [[], [2], [0, 0]]) {
      assert.throws(() => rounds.place(0, servers), /members hold a chunk/);
    }
    assert.throws(() => rounds.place(3, [0]), /members hold a chunk/);
  });

  test("a view of a higher term supersedes every one of a lower term", () => {
    const old = new ViewRounds(three, 1);
    stand(old);
    old.raiseGeneration();
    const last = stand(old);
    const first = stand(new ViewRounds(three, 2));
    assert.ok(supersedes(first, last) && !supersedes(last, first));
  });
});

describe("of a worker that is removed", () => {
  const two: FirstView = {
    run: "r",
    servers: [0, 1].map((index) => ({ index, incarnation: 1, address: "", frames: null })),
    replicas: [[0], [0], [1]],
    phase: inStep,
  };
  const worker = { rank: 2, incarnation: 9 };
  const cases = [
    { title: "a step that every chunk has is whole", first: "4..4", second: "4..4", isTorn: false },
    {
      title: "no step is torn where none was taken",
      first: "-1..-1",
      second: "-1..-1",
      isTorn: false,
    },
    {
      title: "a step of some chunks of a server is torn",
      first: "3..4",
      second: "4..4",
      isTorn: true,
    },
    { title: "a step of one server is torn", first: "4..4", second: "3..3", isTorn: true },
    {
      title: "steps without examples before it are not torn",
      first: "4..4",
      second: "1..1",
      isTorn: true,
    },
  ];
  for (const { title, first, second, isTorn } of cases) {
    test(title, () => {
      const rounds = new ViewRounds(two, 1);
      const answer = (told: string) => {
        const [stepMin, stepMax] = told.split("..").map(Number) as [number, number];
        return { ...unheard, departed: [{ ...worker, stepMin, stepMax, used: 8 }] };
      };
      rounds.admit({ ...worker, fromStep: 0 });
      const { number: before } = rounds.begin()!;
      for (const server of [0, 1]) rounds.answer(server, before, unheard);
      rounds.remove(worker.rank);
      const { number } = rounds.begin()!;
      rounds.answer(0, number, answer(first));
      const outcome = rounds.answer(1, number, answer(second));
      const lastStep = Number(first.split("..")[1]);
      assert.deepEqual(outcome?.departed, [{ ...worker, lastStep, isTorn, used: 8 }]);
    });
  }
});

test("views of the next term go on from the last one: same primaries, who was told stays", () => {
  const serverOf = (index: number) => {
    return { index, incarnation: index + 1, address: `s${index}`, frames: null };
  };
  const first = {
    run: "r",
    servers: [serverOf(0), serverOf(1)],
    replicas: [[0], [1]],
    phase: inStep,
  };
  const before = new ViewRounds(first, 1);
  before.admit({ rank: 0, incarnation: 9, fromStep: 0 });
  before.admit({ rank: 1, incarnation: 10, fromStep: 0 });
  const answer = { sealedStep: -1, clockMin: 0, version: 0, departed: [] };
  const stand = (rounds: ViewRounds) => {
    const view = rounds.begin();
    assert.ok(view !== null);
    for (const { index } of view.servers) rounds.answer(index, view.number, answer);
    return view;
  };
  stand(before);
  before.nominate([{ chunk: 0, server: 1 }]);
  before.remove(1);
  before.admit({ rank: 2, incarnation: 11, fromStep: 4 });
  const last = before.begin()!;
  const { view, ...kept } = before.record();
  assert.equal(view, last);
  assert.deepEqual(kept.confirmed, [0], "2 has heard of nothing yet");
  assert.deepEqual(
    kept.departing.map(({ rank }) => rank),
    [1],
  );
  const after = new ViewRounds({ ...first, servers: last.servers }, 2);
  after.restore(JSON.parse(JSON.stringify(last)), JSON.parse(JSON.stringify(kept)));
  assert.deepEqual([after.isConfirmed(0), after.isConfirmed(2)], [true, false]);
  const next = after.begin()!;
  assert.equal(shownId(next.number), "2.1");
  assert.deepEqual(next.fences, last.fences, "nobody else leads");
  assert.deepEqual(next.candidates, []);
  assert.deepEqual([next.workers, next.departing], [last.workers, last.departing]);
  const sealed = { ...answer, sealedStep: 6 };
  for (const { index } of next.servers) after.answer(index, next.number, sealed);
  assert.equal(after.begin()?.workers.find(({ rank }) => rank === 2)?.fromStep, 7);
});

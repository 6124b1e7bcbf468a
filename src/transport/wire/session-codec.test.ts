import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { PacelineError } from "../../errors.js";
import type { AssignmentReport, Departure } from "../../protocol/assignment-report.js";
import type { ServerReach } from "../../protocol/identity.js";
import { termMax } from "../../protocol/ids.js";
import {
  chunkValuesMax,
  type ModelLayout,
  type PlacedChunk,
  type PlacedTensor,
  parameterGroups,
  type TensorSpec,
} from "../../protocol/layout.js";
import type {
  Assignment,
  CoordinatorMessage,
  MemberMessage,
  Range,
  RegisterReply,
  RegisterRequest,
  ServerStatistics,
  WorkerStatistics,
} from "../../protocol/messages.js";
import type { NormShare } from "../../protocol/norms.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { specs } from "../../protocol/testing/arbitrary-spec.js";
import type { View } from "../../protocol/view.js";
import { Random } from "../../random.js";
import { CoordinatorMessageSchema, MemberMessageSchema } from "./generated-coordinator.js";
import { registerReplyBytes, registerRequestBytes } from "./service-codec.js";
import {
  decodeCoordinatorMessage,
  decodeMemberMessage,
  encodeCoordinatorMessage,
  encodeMemberMessage,
} from "./session-codec.js";

const whole = fc.oneof(fc.nat({ max: 200 }), fc.maxSafeNat());
const small = fc.oneof(fc.nat({ max: 200 }), fc.integer({ min: 0, max: 4294967295 }));
const step = fc.oneof(fc.constant(-1), whole);
const term = fc.integer({ min: 0, max: termMax });
const measured = fc.double().map((value) => value + 0);
const words = fc.string({ unit: "binary", maxLength: 20 });

/** An object of arbitraries with an ordinary prototype. */
function shape<Value>(fields: { [Name in keyof Value]: fc.Arbitrary<Value[Name]> }) {
  return fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<Value>;
}
type Said<Type extends MemberMessage["type"]> = Extract<MemberMessage, { type: Type }>;
type Told<Type extends CoordinatorMessage["type"]> = Extract<CoordinatorMessage, { type: Type }>;

const range: fc.Arbitrary<Range> = fc
  .tuple(fc.nat(), fc.nat())
  .map(([start, length]) => ({ start, end: start + length }));
const assignment: fc.Arbitrary<Assignment> = fc
  .tuple(whole, whole, range, range)
  .map(([id, epoch, positions, steps]) => {
    return { id, epoch, ...positions, firstStep: steps.start, lastStep: steps.end };
  });
const server = shape<ServerStatistics>({
  generation: fc.nat(),
  versionMin: whole,
  versionMax: whole,
  chunks: whole,
  pushes: whole,
  updates: whole,
  updateSeconds: measured,
  stalenessSum: whole,
  stalenessCount: whole,
  stalenessMax: whole,
  stalenessCounts: fc.array(whole, { maxLength: 8 }),
  rejected: whole,
  duplicates: whole,
  tornSteps: whole,
  bytesIn: whole,
  bytesOut: whole,
  lr: measured,
});
const worker = shape<WorkerStatistics>({
  clock: whole,
  steps: whole,
  examples: whole,
  lossSum: measured,
  lossCount: whole,
  correct: whole,
  inputSeconds: measured,
  computeSeconds: measured,
  waitSeconds: measured,
});
const statistics = { server: fc.option(server), worker: fc.option(worker) };
const tensor = shape<TensorSpec>({
  name: words,
  shape: fc.array(small, { maxLength: 5 }),
  group: fc.constantFrom(...parameterGroups),
});
const placed = { offset: whole, group: fc.constantFrom(...parameterGroups) };
const placedTensor = shape<PlacedTensor>({
  ...{ ...placed, length: whole },
  name: words,
  shape: fc.array(fc.nat(), { maxLength: 4 }),
});
const placedChunk = shape<PlacedChunk>({
  ...placed,
  length: fc.integer({ min: 1, max: chunkValuesMax }),
});
const departure = shape<Departure>({
  rank: small,
  incarnation: whole,
  stepMin: step,
  stepMax: step,
  used: whole,
});
const serverReach = shape<ServerReach>({
  server: small,
  incarnation: whole,
  unreachedMs: whole,
  refused: fc.boolean(),
});

const report = {
  assignment: whole,
  examples: whole,
  skipped: whole,
  dropped: whole,
  lossSum: measured,
  correct: whole,
  seconds: measured,
  statistics: worker,
};

const memberMessages: { [Type in MemberMessage["type"]]: fc.Arbitrary<Said<Type>> } = {
  heartbeat: shape<Said<"heartbeat">>({
    type: fc.constant("heartbeat"),
    sequence: whole,
    received: whole,
    term,
    activity: words,
    ...statistics,
    reach: fc.array(serverReach, { maxLength: 3 }),
  }),
  ready: shape<Said<"ready">>({
    type: fc.constant("ready"),
    run: words,
    tensors: fc.array(tensor, { maxLength: 4 }),
    engine: words,
    algorithms: fc.array(words, { maxLength: 3 }),
  }),
  tallied: shape<Said<"tallied">>({
    type: fc.constant("tallied"),
    cut: whole,
    examples: whole,
    dropped: whole,
    lossSum: measured,
    correct: whole,
    seconds: measured,
    statistics: worker,
  }),
  viewAck: shape<Said<"viewAck">>({
    type: fc.constant("viewAck"),
    view: whole,
    sealedStep: step,
    clockMin: whole,
    version: fc.integer({ min: -1, max: 1000 }),
    departed: fc.array(departure, { maxLength: 3 }),
  }),
  norms: shape<Said<"norms">>({
    type: fc.constant("norms"),
    generation: whole,
    shares: fc.array(
      shape<NormShare>({
        ...{ version: whole, chunks: whole },
        ...{ weights: measured, gradient: measured, decay: measured },
      }),
      { maxLength: 3 },
    ),
  }),
  caughtUp: shape<Said<"caughtUp">>({
    type: fc.constant("caughtUp"),
    chunk: small,
    server: small,
    incarnation: whole,
  }),
  assignmentDone: shape<Said<"assignmentDone">>({
    type: fc.constant("assignmentDone"),
    ...report,
  }),
  assignmentRefused: shape<Said<"assignmentRefused">>({
    type: fc.constant("assignmentRefused"),
    assignment: whole,
    reason: words,
  }),
  evaluated: shape<Said<"evaluated">>({
    type: fc.constant("evaluated"),
    evaluation: whole,
    range,
    correct: whole,
    lossSum: measured,
    versions: fc.array(whole, { maxLength: 5 }),
  }),
  pausing: shape<Said<"pausing">>({ type: fc.constant("pausing"), pause: whole, step }),
  paused: shape<Said<"paused">>({
    type: fc.constant("paused"),
    pause: whole,
    position: step,
    step,
  }),
  returned: shape<Said<"returned">>({
    type: fc.constant("returned"),
    assignment: whole,
    step,
    done: fc.option(shape<AssignmentReport>(report), { nil: null }),
  }),
  barrierReached: shape<Said<"barrierReached">>({
    type: fc.constant("barrierReached"),
    barrier: whole,
    residuals: whole,
    problem: words,
  }),
  diverged: shape<Said<"diverged">>({ type: fc.constant("diverged"), step, what: words }),
  failed: shape<Said<"failed">>({ type: fc.constant("failed"), code: words, reason: words }),
  leaving: shape<Said<"leaving">>({ type: fc.constant("leaving"), reason: words }),
  leave: shape<Said<"leave">>({ type: fc.constant("leave"), reason: words, ...statistics }),
};

const view: fc.Arbitrary<View> = fc
  .record({
    run: words,
    numbers: fc.tuple(whole, whole, small, small),
    indices: fc.uniqueArray(small, { minLength: 1, maxLength: 5 }),
    ranks: fc.uniqueArray(small, { maxLength: 5 }),
    chunks: fc.array(fc.tuple(fc.nat(), whole), { maxLength: 30 }),
  })
  .map(({ run, numbers, indices, ranks, chunks }): View => {
    const [phaseFromStep, number, generation, phase] = numbers;
    indices.sort((left, right) => left - right);
    ranks.sort((left, right) => left - right);
    const servers = indices.map((index) => {
      const frames = index % 2 === 0 ? null : { tcp: `a:${index}`, unix: run, machine: "box" };
      return { index, incarnation: number, address: `a:${index}`, frames };
    });
    const workers = ranks.map((rank) => ({ rank, incarnation: number, fromStep: generation }));
    const replicas = chunks.map(([pick]) => {
      const primary = indices[pick % indices.length]!;
      return [primary, ...indices.filter((index) => index !== primary).slice(0, pick % 3)];
    });
    const fences = chunks.map(([, fence]) => fence);
    const protocol = { mode: run, limits: { least: 1, word: run }, bound: generation };
    const lrFactor = 1 + phase;
    const stages = ["none", "linear", "double"] as const;
    const growth = stages[phase % 3]!;
    const momentum = phase === 0 ? null : { start: 0.125, growth, fromExamples: 640 * phase };
    const place = { run, number, generation, phase, phaseFromStep };
    const numbered = { ...place, protocol, lrFactor, momentum };
    const candidates = chunks.flatMap(([pick], chunk) => {
      const server = indices.find((index) => !replicas[chunk]!.includes(index));
      return server === undefined || pick % 2 === 0 ? [] : [{ chunk, server }];
    });
    const departing = workers.slice(0, 1);
    return { ...numbered, servers, workers, replicas, fences, candidates, departing };
  });

const coordinatorMessages: {
  [Type in CoordinatorMessage["type"]]: fc.Arbitrary<Told<Type>>;
} = {
  heartbeatAck: shape<Told<"heartbeatAck">>({
    type: fc.constant("heartbeatAck"),
    sequence: whole,
    received: whole,
    term,
    sinceTerm: term,
    note: words,
  }),
  move: shape<Told<"move">>({ type: fc.constant("move"), reason: words }),
  prepare: shape<Told<"prepare">>({
    type: fc.constant("prepare"),
    spec: specs,
    residuals: fc.boolean(),
    layout: shape<ModelLayout>({
      tensors: fc.array(placedTensor, { maxLength: 4 }),
      chunks: fc.array(placedChunk, { maxLength: 4 }),
    }),
  }),
  view: shape<Told<"view">>({ type: fc.constant("view"), view }),
  work: shape<Told<"work">>({ type: fc.constant("work"), assignment }),
  evaluate: shape<Told<"evaluate">>({ type: fc.constant("evaluate"), evaluation: whole, range }),
  pause: shape<Told<"pause">>({ type: fc.constant("pause"), pause: whole }),
  pauseAt: shape<Told<"pauseAt">>({ type: fc.constant("pauseAt"), pause: whole, step }),
  resume: shape<Told<"resume">>({ type: fc.constant("resume"), pause: whole }),
  tally: shape<Told<"tally">>({
    type: fc.constant("tally"),
    cut: whole,
    assignment: whole,
    step,
  }),
  barrier: shape<Told<"barrier">>({ type: fc.constant("barrier"), barrier: whole }),
  evaluation: shape<Told<"evaluation">>({
    type: fc.constant("evaluation"),
    epoch: whole,
    final: fc.boolean(),
    accuracyPercent: measured,
    loss: measured,
  }),
  stop: shape<Told<"stop">>({
    type: fc.constant("stop"),
    reason: words,
    outcome: fc.constantFrom("done", "failed", "interrupted"),
    stay: fc.boolean(),
    afterStep: fc.boolean(),
  }),
};

for (const [type, messages] of Object.entries(memberMessages)) {
  test(`a member's ${type} decodes to what was encoded`, () => {
    fc.assert(
      fc.property(messages as fc.Arbitrary<MemberMessage>, (message) => {
        assert.deepEqual(decodeMemberMessage(encodeMemberMessage(message)), message);
      }),
      { seed: 2 },
    );
  });
}

for (const [type, messages] of Object.entries(coordinatorMessages)) {
  test(`a coordinator's ${type} decodes to what was encoded`, () => {
    fc.assert(
      fc.property(messages as fc.Arbitrary<CoordinatorMessage>, (message) => {
        assert.deepEqual(decodeCoordinatorMessage(encodeCoordinatorMessage(message)), message);
      }),
      { seed: 3 },
    );
  });
}

test("registrations and their replies decode to what was encoded", () => {
  const request = shape<RegisterRequest>({
    protocol: small,
    role: fc.constantFrom("server", "worker"),
    rank: fc.option(small),
    incarnation: fc.option(whole),
    pid: small,
    host: words,
    address: words,
    frames: fc.option(
      fc.record({ tcp: words, unix: words, machine: words }, { noNullPrototype: true }),
    ),
    attempt: words,
  });
  const period = fc.integer({ min: 1, max: 100000 });
  const reply: fc.Arbitrary<RegisterReply> = fc.oneof(
    shape<Extract<RegisterReply, { accepted: true }>>({
      accepted: fc.constant(true),
      rank: small,
      incarnation: whole,
      term,
      heartbeatIntervalMs: period,
      leaseMs: period,
      run: words,
    }),
    shape<Extract<RegisterReply, { accepted: false }>>({
      accepted: fc.constant(false),
      code: fc.constantFrom("refused", "protocol", "usage"),
      reason: words,
    }),
  );
  fc.assert(
    fc.property(request, reply, (asked, answered) => {
      assert.deepEqual(registerRequestBytes.decode(registerRequestBytes.encode(asked)), asked);
      assert.deepEqual(registerReplyBytes.decode(registerReplyBytes.encode(answered)), answered);
    }),
    { seed: 4 },
  );
});

test("a message with nothing in it is refused", () => {
  const empty = { code: "protocol", message: /says nothing known/ };
  assert.throws(() => decodeMemberMessage(new Uint8Array(0)), empty);
  assert.throws(() => decodeCoordinatorMessage(new Uint8Array(0)), empty);
});

test("a range that ends before it starts is refused with its numbers", () => {
  const bytes = toBinary(
    CoordinatorMessageSchema,
    create(CoordinatorMessageSchema, {
      body: { case: "evaluate", value: { evaluation: 1n, range: { start: 9n, end: 3n } } },
    }),
  );
  assert.throws(() => decodeCoordinatorMessage(bytes), {
    code: "protocol",
    message: /range: 9 to 3 is not a range/,
  });
});

test("a view whose chunk lies with a server that is not a member is refused", () => {
  const replicas = [{ servers: [0] }, { servers: [0, 3] }];
  const phase = { protocol: { mode: "bsp" }, lrFactor: 1 };
  const bytes = toBinary(
    CoordinatorMessageSchema,
    create(CoordinatorMessageSchema, {
      body: {
        case: "view",
        value: { view: { ...phase, servers: [{ index: 0 }], replicas, fences: [1n, 1n] } },
      },
    }),
  );
  assert.throws(() => decodeCoordinatorMessage(bytes), {
    code: "protocol",
    message: /server 3 holds a chunk but is not a member/,
  });
});

test("a number past 2^53 - 1 and an unknown word are refused by name", () => {
  const late = toBinary(
    MemberMessageSchema,
    create(MemberMessageSchema, { body: { case: "paused", value: { pause: 2n ** 53n } } }),
  );
  assert.throws(() => decodeMemberMessage(late), { message: /paused\.pause is 9007199254740992/ });
  const stranger = toBinary(
    MemberMessageSchema,
    create(MemberMessageSchema, { body: { case: "open", value: { role: 7 as number } } }),
  );
  assert.throws(() => decodeMemberMessage(stranger), {
    message: /open\.role has the unknown value 7; it is one of server, worker/,
  });
});

test("a run spec without a protocol is refused by the name of the field", () => {
  const encode = (value: object): Uint8Array =>
    toBinary(
      CoordinatorMessageSchema,
      create(CoordinatorMessageSchema, { body: { case: "prepare", value: { spec: value } } }),
    );
  const input = { classes: 2, shape: [1, 2, 2], mean: [0], std: [1], augment: {} };
  const start = { workersMin: 1, workersMax: 1, servers: 1, input, feed: "static" };
  assert.throws(() => decodeCoordinatorMessage(encode(start)), {
    code: "protocol",
    message: /spec\.protocol is missing/,
  });
});

test("what a run spec holds is refused by the name of the field and its bounds", () => {
  const [sample] = fc.sample(specs, { seed: 6, numRuns: 1 }) as [RunSpec];
  const cases: readonly (readonly [Partial<RunSpec>, RegExp])[] = [
    [{ batchSize: 0 }, /spec\.batchSize is 0, it must be from 1 to 1000000/],
    [{ seed: 2 ** 32 - 1, epochs: 2 ** 40 }, /spec\.epochs is 1099511627776, it must be from 1/],
    [{ feed: "spoon" as "static" }, /spec\.feed has the unknown value spoon; it is one of static,/],
    [{ loadBound: Number.NaN }, /spec\.loadBound is NaN, a finite number is needed/],
    [{ workersMin: 3, workersMax: 2 }, /spec: workers 3 to 2 is not a range/],
    [{ input: { ...sample.input, mean: [1] } }, /spec\.input: 1 means and 3 deviations are not/],
    [
      { updateRule: { ...sample.updateRule, name: "lion" as "sgd" } },
      /spec\.updateRule\.name has the unknown value lion; it is one of sgd, momentum/,
    ],
    [{ run: "r".repeat(257) }, /spec\.run has 257 bytes, at most 256 are allowed/],
  ];
  for (const [change, message] of cases) {
    const spec = { ...sample, ...change };
    const bytes = encodeCoordinatorMessage({
      type: "prepare",
      ...{ spec, residuals: false, layout: { tensors: [], chunks: [] } },
    });
    assert.throws(() => decodeCoordinatorMessage(bytes), { code: "protocol", message });
  }
});

test("garbage throws nothing but protocol errors", () => {
  const random = new Random(8, "session garbage");
  const samples = Object.values(coordinatorMessages)
    .flatMap((messages) =>
      fc.sample(messages as fc.Arbitrary<CoordinatorMessage>, { seed: 5, numRuns: 5 }),
    )
    .map(encodeCoordinatorMessage);
  let refused = 0;
  for (let round = 0; round < 5000; round++) {
    const sample = Buffer.from(samples[random.below(samples.length)]!);
    const bytes =
      round % 2 === 0 ? Buffer.alloc(random.below(60)).map(() => random.below(256)) : sample;
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    for (const decode of [decodeCoordinatorMessage, decodeMemberMessage]) {
      try {
        decode(bytes.subarray(0, round % 3 === 0 ? random.below(bytes.length + 1) : bytes.length));
      } catch (thrown) {
        assert.ok(thrown instanceof PacelineError && thrown.code === "protocol", String(thrown));
        refused += 1;
      }
    }
  }
  assert.ok(refused > 1000, `${refused} refused`);
});

/**
 * The faults of one run, drawn from a seed alone: whom each befalls, what it is, how long it lasts
 * and when it comes at the earliest. When it does come also depends on the cluster, which has to be
 * whole again after the one before.
 *
 * Nothing is drawn that a run can't outlive by what it promises: one fault at a time, and no
 * silence of etcd, which has one member here, or between the coordinator that leads and everybody
 * else, that is longer than a lease.
 */
import { Random } from "../../random.js";

/** What befalls a process or a link. */
export type FaultKind = "kill" | "freeze" | "restart" | "cut" | "silence" | "come" | "go";

/** A link that is cut, or carries nothing for a while. */
export type LinkName = "chunks" | "session" | "all" | "etcd";

/** Whom it befalls: of coordinators the one that leads or the one that stands by at that time. */
export type FaultTarget =
  | { readonly role: "server" | "worker"; readonly index: number }
  | { readonly role: "leader" | "standby" | "etcd" };

/** One fault. */
export interface ChaosFault {
  readonly kind: FaultKind;
  readonly target: FaultTarget;
  /** Of a cut or silent link. */
  readonly link: LinkName | null;
  /** How long it lasts; of a kill how long until another process is started; else 0. */
  readonly forMs: number;
  /** Since the first was due. */
  readonly dueMs: number;
}

/** What faults are drawn from. */
export interface ChaosPlan {
  readonly scenario: Scenario;
  readonly servers: number;
  readonly workers: number;
  readonly faults: number;
  readonly durationMs: number;
  readonly seed: number;
}

/** With workers that come and go: so many are there at least, and at most. */
export const elasticWorkers = { min: 2, max: 6 } as const;

/** A fault that may be drawn. */
export interface Choice {
  readonly kind: FaultKind;
  readonly link?: LinkName;
  readonly forMs: readonly number[];
}

/** Shorter than any deadline: a member stays in. */
const briefMs = [200, 400, 600, 800];
/** Also so long that a member is given up. */
const lengthsMs = [...briefMs, ...briefMs.map(() => 6000)];
/** Until a killed process is started again. */
const restartsMs = [0, 500, 2000];
const freeze: Choice = { kind: "freeze", forMs: lengthsMs };
const kill: Choice = { kind: "kill", forMs: restartsMs };
const restart: Choice = { kind: "restart", forMs: [0] };

function linkFaults(links: readonly LinkName[], forMs: readonly number[]): Choice[] {
  return links.flatMap((link) => [
    { kind: "cut", link, forMs },
    { kind: "silence", link, forMs },
  ]);
}

const choices: Readonly<Record<Exclude<FaultTarget["role"], "worker">, readonly Choice[]>> = {
  server: [kill, kill, freeze, restart, ...linkFaults(["chunks", "session", "all"], lengthsMs)],
  leader: [
    ...[kill, kill, freeze],
    ...linkFaults(["etcd"], lengthsMs),
    ...linkFaults(["session"], briefMs),
  ],
  standby: [kill, freeze, restart, ...linkFaults(["etcd"], lengthsMs)],
  etcd: [
    { kind: "kill", forMs: [0, 500] },
    restart,
    { kind: "freeze", forMs: briefMs },
    ...linkFaults(["all"], briefMs),
  ],
};

/** A way to run, and what befalls workers in it. */
export interface Scenario {
  readonly name: string;
  /** As --mode takes it. */
  readonly pace: string;
  /** Workers come and go. */
  readonly isElastic: boolean;
  /** Its bits are those of the same steps in one process. */
  readonly hasOracle: boolean;
  /** Every answered push is a version of its chunk. */
  readonly countsPushes: boolean;
  readonly ofWorkers: readonly Choice[];
}

const come: Choice = { kind: "come", forMs: [0] };
const go: Choice = { kind: "go", forMs: [0] };

/** The scenarios. */
export const scenarios: readonly Scenario[] = [
  {
    ...{ name: "bsp", pace: "bsp", isElastic: false, hasOracle: true, countsPushes: false },
    ofWorkers: [{ kind: "freeze", forMs: briefMs }, ...linkFaults(["session"], briefMs)],
  },
  {
    ...{ name: "bsp-elastic", pace: "bsp", isElastic: true, hasOracle: false, countsPushes: false },
    ofWorkers: [
      ...[kill, freeze, restart, ...linkFaults(["session"], lengthsMs)],
      ...[come, come, go, go],
    ],
  },
  {
    ...{ name: "asp", pace: "asp", isElastic: false, hasOracle: false, countsPushes: true },
    // A worker that is not killed has told in its trace of every answer that it was given.
    ofWorkers: [freeze, ...linkFaults(["session"], lengthsMs)],
  },
];

/** How often each role's turn comes. */
const turns: readonly FaultTarget["role"][] = [
  ...(["server", "server", "server", "server", "leader", "leader"] as const),
  ...(["standby", "etcd", "worker", "worker"] as const),
];

/** The faults, in the order in which they come. */
export function drawFaults(plan: ChaosPlan): ChaosFault[] {
  const { scenario, servers, workers, faults, durationMs, seed } = plan;
  const random = new Random("chaos", seed, scenario.name);
  const pick = <T>(values: readonly T[]): T => values[random.below(values.length)]!;
  const everyMs = durationMs / faults;
  return Array.from({ length: faults }, (_, turn) => {
    const role = pick(turns);
    const choice = pick(role === "worker" ? scenario.ofWorkers : choices[role]);
    const counts = { server: servers, worker: workers };
    const target =
      role === "server" || role === "worker"
        ? { role, index: random.below(counts[role]) }
        : { role };
    const { kind, link = null } = choice;
    const dueMs = Math.round((turn + random.float() / 2) * everyMs);
    return { kind, target, link, forMs: pick(choice.forMs), dueMs };
  });
}

/** Whom it befalls, in words. */
export function targetName(target: FaultTarget): string {
  return "index" in target ? `${target.role}-${target.index}` : target.role;
}

const linkWords: Readonly<Record<LinkName, string>> = {
  chunks: "the chunk link",
  session: "the session link",
  all: "every link",
  etcd: "the link to etcd",
};

/** A fault in words, such as `cut the session link of worker-1 for 1 s`. */
export function faultSentence({ kind, target, link, forMs }: ChaosFault): string {
  const whom = targetName(target);
  const seconds = `${forMs / 1000} s`;
  const where = link === null ? whom : `${linkWords[link]} of ${whom}`;
  switch (kind) {
    case "kill":
      return `kill ${whom}, start it again after ${seconds}`;
    case "restart":
      return `end ${whom} in order, start it again`;
    case "freeze":
      return `freeze ${whom} for ${seconds}`;
    case "come":
      return "a worker comes";
    case "go":
      return "a worker leaves";
    case "cut":
      return `cut ${where} for ${seconds}`;
    case "silence":
      return `silence ${where} for ${seconds}`;
    default:
      return kind satisfies never;
  }
}

/**
 * Who takes part in training, seen from outside of it: are there enough workers (shortage.ts), does
 * everybody reach the servers, does anybody straggle (stragglers/straggler-watch.ts).
 */
import type { RunSpec } from "../../protocol/run-spec.js";
import { Absences, judgeReach } from "../members/reach.js";
import { type Member, nameOf, type Roster } from "../members/roster.js";
import { stragglerPolicies } from "../stragglers/straggler-policy.js";
import { StragglerWatch } from "../stragglers/straggler-watch.js";
import type { CoordinatorEffect } from "./coordinator-events.js";
import { dismissalOf } from "./draining.js";
import { type Ending, endingUnreached } from "./run-ending.js";
import { Shortage } from "./shortage.js";
import type { Training } from "./training.js";
import { type FailureSaid, WorkerFailures } from "./worker-failures.js";

/** Times that attendance depends on. */
export interface AttendanceConfig {
  readonly leaseMs: number;
  readonly startTimeoutMs: number;
  readonly waitForWorkersMs?: number;
}

/** What follows from who is there. */
interface AttendanceVerdict {
  /** Workers that take part no more. */
  readonly lost: readonly { readonly member: Member; readonly reason: string }[];
  /** Something to be told; null where there is nothing. */
  readonly news: string | null;
  /** Not null where the run can't go on; `alone` says that no worker is to be waited for. */
  readonly ending: Ending | null;
  readonly alone: boolean;
}

/** Who is there, and for what. */
export interface AttendanceScene {
  readonly training: Training;
  readonly roster: Roster;
  readonly spec: RunSpec;
}

/** Has done what follows from it. */
export interface AttendancePort {
  lose(member: Member, reason: string): void;
  tell(news: string): void;
  close(ending: Ending): void;
  perform(effect: CoordinatorEffect): void;
}

/** The attendance of one run. */
export class Attendance {
  readonly #config: AttendanceConfig;
  readonly #shortage: Shortage;
  readonly #absences = new Absences();
  readonly #failures = new WorkerFailures();
  /** Null where nothing follows from straggling: nobody is watched for it. */
  #stragglers: StragglerWatch | null = null;

  constructor(config: AttendanceConfig) {
    this.#config = config;
    const { startTimeoutMs, waitForWorkersMs = 0 } = config;
    this.#shortage = new Shortage({ startTimeoutMs, waitForWorkersMs });
  }

  /** A worker has registered. */
  came(rank: number): void {
    this.#shortage.expect(rank);
  }

  /** The process of a worker has ended, as its supervisor says, who starts it again or never. */
  exited(rank: number, restarts: boolean): void {
    if (restarts) this.#shortage.expect(rank);
    else this.#shortage.giveUp(rank);
  }

  /** A member can't go on: why the run ends with it, null where that is a loss. */
  failed(member: Member, training: Training | null, said: FailureSaid, nowMs: number) {
    const { code, reason } = said;
    if (training === null) {
      const text = `${nameOf(member)}: ${reason}`;
      return { outcome: "failed", code, reason: text } satisfies Ending;
    }
    const isActive = training.isActive(member.rank, member.incarnation);
    return this.#failures.judge(member, isActive, said, nowMs);
  }

  /** True unless the rank was taken out for a while that is not over, or stands aside. */
  mayTakePart(rank: number, nowMs: number): boolean {
    const isAside = this.#stragglers !== null && this.#stragglers.whyAside(rank) !== null;
    return !isAside && !this.#absences.has(rank, nowMs);
  }

  /**
   * Looks at everybody who is there, and has done what follows. A run that is ending waits for
   * those who are in it, and for nobody else.
   */
  attend(scene: AttendanceScene, nowMs: number, port: AttendancePort): void {
    const { training, roster, spec } = scene;
    if (training.isClosing) {
      follow(this.#judgeReach(scene, nowMs), training, nowMs, port);
      return;
    }
    if (spec.stragglerPolicy !== "none") {
      this.#stragglers ??= new StragglerWatch(stragglerPolicies[spec.stragglerPolicy]);
      watchStragglers(this.#stragglers, { training, roster, spec }, nowMs, port);
    }
    for (const member of this.#readmitted(training, roster, nowMs)) training.onReady(member, nowMs);
    follow(this.#judge(scene, nowMs), training, nowMs, port);
  }

  /** Workers that are prepared, were kept out for a while, and take part again from here on. */
  #readmitted(training: Training, roster: Roster, nowMs: number): Member[] {
    return roster.all("worker").filter(({ rank, incarnation, readyFor }) => {
      const isIn = training.joiners.has(rank, incarnation);
      return !isIn && readyFor === training.spec.run && this.mayTakePart(rank, nowMs);
    });
  }

  /** Who is lost as no server, or no worker, is reached. */
  #judgeReach({ training, roster }: AttendanceScene, nowMs: number): AttendanceVerdict {
    const { leaseMs } = this.#config;
    const partners = roster.everybody().filter(({ role, rank, incarnation }) => {
      return role === "server" || training.isActive(rank, incarnation);
    });
    const reach = judgeReach(partners, leaseMs);
    const lost = reach.removed.flatMap(({ role, rank, reason }) => {
      const member = roster.get(role, rank);
      if (member === undefined) return [];
      if (role === "server") return [{ member, reason }];
      const absence = `${this.#absences.begin(rank, nowMs) / 1000} s`;
      return [{ member, reason: `${reason}; it may take part again in ${absence}` }];
    });
    const server = reach.lost === null ? undefined : roster.get("server", reach.lost.server);
    if (reach.lost !== null && server !== undefined) {
      const { reason } = reach.lost;
      // One without a session is not there either: its loss is that of any server.
      const isGone = !server.connected || training.canSpare(server);
      if (isGone) lost.push({ member: server, reason });
      else return { lost, news: null, ending: endingUnreached(server, reason), alone: true };
    }
    return { lost, news: null, ending: null, alone: false };
  }

  /** Looks at everybody who is there. */
  #judge(scene: AttendanceScene, nowMs: number): AttendanceVerdict {
    const { training, roster, spec } = scene;
    const reach = this.#judgeReach(scene, nowMs);
    if (reach.ending !== null) return reach;
    const ready = training.joiners.count;
    const workers = roster.all("worker");
    const { news, ending: reason } = this.#shortage.judge(
      spec,
      {
        ...{ ready, preparing: workers.length - ready },
        has: (rank) => roster.get("worker", rank) !== undefined,
      },
      nowMs,
    );
    if (reason === null) return { ...reach, news };
    const remedy = "lower the minimum of --workers";
    const ending: Ending = { outcome: "failed", code: "too_few_workers", reason, remedy };
    return { ...reach, news, ending };
  }
}

function follow(
  { lost, news, alone, ending }: AttendanceVerdict,
  training: Training,
  nowMs: number,
  port: AttendancePort,
): void {
  for (const { member, reason } of lost) port.lose(member, reason);
  if (news !== null) port.tell(news);
  if (alone) training.releaseAll(nowMs);
  if (ending !== null) port.close(ending);
}

/** Looks for stragglers while all train, and has done what the policy decides. */
function watchStragglers(
  watch: StragglerWatch,
  { training, roster, spec }: AttendanceScene,
  nowMs: number,
  { perform }: AttendancePort,
): void {
  if (!training.running) return;
  const active = roster.all("worker").filter(({ rank, incarnation, dismissal }) => {
    return training.isActive(rank, incarnation) && dismissal === null;
  });
  const workers = active.flatMap(({ rank, incarnation, worker }) => {
    return worker === null ? [] : [{ rank, incarnation, ...worker }];
  });
  const activities = roster.all("server").map(({ activity }) => activity);
  const inStep = training.pace.globalStep === "step";
  const ranks = active.map(({ rank }) => rank);
  const run = {
    inStep,
    isShareMet: training.phases.isSyncDone,
    active: ranks,
    least: spec.workersMin,
  };
  const { news, decision } = watch.look({ workers, activities }, run, nowMs);
  const tell = (text: string) => perform({ type: "event", event: { kind: "info", text } });
  for (const text of news) tell(text);
  for (const member of roster.all("worker")) {
    const why = watch.whyAside(member.rank);
    const isReady = member.readyFor === spec.run && member.dismissal === null;
    if (why !== null && isReady) member.activity = `stands aside: ${why}`;
  }
  if (decision === null) return;
  if (decision.kind === "switch") {
    training.phases.detour(decision.reason);
    return;
  }
  tell(decision.reason);
  if (decision.kind === "restore") return;
  for (const rank of decision.ranks) {
    const member = roster.get("worker", rank);
    const text = `worker-${rank} stands aside as a straggler`;
    if (member?.dismissal === null) perform(dismissalOf(member, text, true, true));
  }
}

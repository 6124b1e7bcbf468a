/** What people and programs see of a coordinator that serves: its jobs, its runs, its members. */
import type { MemberRole } from "../../protocol/identity.js";
import type { CoordinatorSnapshot, JobSummary, MemberSnapshot } from "../../protocol/run-events.js";
import type { KeptJob } from "../../store/queue-state.js";

/** A member with the job that it works for. */
export interface ServedMember extends MemberSnapshot {
  /** The job's name; null while it is idle. */
  readonly job: string | null;
}

/** The picture: of the one run that is on, or of all together. */
export interface ServingSnapshot extends CoordinatorSnapshot {
  readonly members: readonly ServedMember[];
  /** Each run that is on. */
  readonly runs: readonly CoordinatorSnapshot[];
  /** Jobs that run and that wait. */
  readonly jobs: readonly JobSummary[];
}

/** Puts the picture together. */
export function servingPicture(
  pool: CoordinatorSnapshot,
  runs: readonly (readonly [name: string, snapshot: CoordinatorSnapshot])[],
  jobs: readonly JobSummary[],
  { whyIdle }: { whyIdle(role: MemberRole): string },
): ServingSnapshot {
  const pictures = runs.map(([, snapshot]) => snapshot);
  const [only] = pictures;
  const busy = runs.flatMap(([job, { members }]) => members.map((member) => ({ ...member, job })));
  const idle = pool.members.map((member) => {
    return { ...member, activity: whyIdle(member.role), job: null };
  });
  const members = [...busy, ...idle];
  if (pictures.length === 1) return { ...only!, members, runs: pictures, jobs };
  const next = jobs.find(({ state }) => state === "queued");
  const waiting = next === undefined ? "waiting for a job" : `job ${next.name} ${next.waitsFor}`;
  const names = runs.map(([name]) => name).join(", ");
  const activity = runs.length === 0 ? waiting : `${runs.length} jobs run: ${names}`;
  return { ...pool, activity, members, runs: pictures, jobs };
}

/** A job as `paceline jobs` shows it. */
export function summaryOf(job: KeptJob, waitsFor: string): JobSummary {
  const { id, name, state, priority, workers, servers, submittedAt, startedAt, endedAt } = job;
  const { submitter, reason, result } = job;
  const about = { id, name, state, priority, workers, servers, submittedAt, startedAt, endedAt };
  return { ...about, submitter, reason, result, waitsFor: state === "queued" ? waitsFor : "" };
}

/**
 * Waits for the end of a job at a serving coordinator, by asking again and again, so that a restart
 * of the coordinator, or a link that is cut for a while, ends nothing. What happens in the job is
 * shown where that is wanted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { PacelineError, toPacelineError } from "../../errors.js";
import type { CommandIo } from "../../options/resolved-options.js";
import type { JobSummary } from "../../protocol/run-events.js";
import { printable } from "../../report/progress.js";
import { interruptedExitCode } from "../../runtime/process/signal-exit.js";
import type { Transport } from "../../transport/transport.js";
import { jobsForm } from "./job-form.js";

/** Who is asked, and who is told. */
export interface FollowedJob {
  readonly transport: Pick<Transport, "jobs" | "jobEvents">;
  readonly address: string;
  /** Where the coordinator is after it has not answered; where it was, if left out. */
  readonly find?: () => Promise<string>;
  /** Progress goes to standard error. */
  readonly follows: boolean;
  readonly io: Pick<CommandIo, "stderr">;
  /** How long the coordinator may be away; 10 min if left out. */
  readonly awayMsMax?: number;
  /** How long to wait before asking again; half a second if left out. */
  readonly lookMs?: number;
}

/** A job that has ended. */
export interface EndedJob {
  readonly summary: JobSummary;
  readonly exitCode: number;
}

const awayDefaultMs = 600_000;
const lookDefaultMs = 500;
/** What is shown of a job; the rest is in its events. */
const shownKinds: ReadonlySet<string> = new Set([
  ...["started", "epoch", "evaluation", "lost", "left", "warning", "checkpoint", "ended"],
]);

/**
 * Resolves when the job has ended.
 * @throws PacelineError where the coordinator is away for too long, or does not know the job.
 */
export async function untilJobEnds(name: string, followed: FollowedJob): Promise<EndedJob> {
  const { transport, follows, io } = followed;
  const patience = new Patience(followed, showAgain(name));
  const tell = (text: string) => void io.stderr.write(`${printable(text)}\n`);
  let from = 0;
  let waiting = "";
  for (;;) {
    if (follows) {
      const request = { job: name, from, record: null };
      const part = await patience.ask((address) => transport.jobEvents(address, request));
      for (const { kind, text } of eventsIn(part.text)) if (shownKinds.has(kind)) tell(text);
      from = part.next;
      // There may be more at once.
      if (part.text !== "") continue;
    }
    const summary = await patience.ask((address) => summaryOf(transport, address, name));
    const { state, waitsFor, reason, result } = summary;
    if (state !== "queued" && state !== "running") {
      tell(`job ${name} is ${state}${reason === "" ? "" : `: ${reason}`}`);
      return { summary, exitCode: result?.exitCode ?? interruptedExitCode("") };
    }
    if (waitsFor !== waiting && waitsFor !== "") tell(`job ${name} ${waitsFor}`);
    waiting = waitsFor;
    await sleep(followed.lookMs ?? lookDefaultMs);
  }
}

/** The events of a part, as far as they can be read. */
export function eventsIn(text: string): { readonly kind: string; readonly text: string }[] {
  return text.split("\n").flatMap((line) => {
    try {
      const { kind, text: sentence } = JSON.parse(line) as Record<string, unknown>;
      return typeof kind === "string" && typeof sentence === "string"
        ? [{ kind, text: sentence }]
        : [];
    } catch {
      return [];
    }
  });
}

/** One job by name or number. */
export async function summaryOf(
  transport: Pick<Transport, "jobs">,
  address: string,
  wanted: string,
): Promise<JobSummary> {
  const [job] = jobsForm(await transport.jobs(address, wanted), address);
  if (job !== undefined) return job;
  throw new PacelineError("protocol", `${address} sent no job ${wanted}`);
}

/** What to do where a job can't be followed any longer. */
export function showAgain(name: string): string {
  return `ask for the job with paceline jobs show ${name} once it is back`;
}

/** Who is asked, and how patiently. */
type Asked = Pick<FollowedJob, "address" | "find" | "io" | "awayMsMax" | "lookMs">;

/** Asks again while nobody answers, until a limit. */
export class Patience {
  readonly #followed: Asked;
  readonly #remedy: string;
  #address: string;
  #awaySinceMs: number | null = null;

  /** @param remedy what to do once the coordinator has been away for too long. */
  constructor(followed: Asked, remedy: string) {
    this.#followed = followed;
    this.#address = followed.address;
    this.#remedy = remedy;
  }

  /** Rejects with what is no want of a coordinator, and after the limit. */
  async ask<Answer>(asking: (address: string) => Promise<Answer>): Promise<Answer> {
    const { awayMsMax = awayDefaultMs, lookMs = lookDefaultMs, io, find } = this.#followed;
    for (;;) {
      try {
        const answer = await asking(this.#address);
        if (this.#awaySinceMs !== null) io.stderr.write("the coordinator answers again\n");
        this.#awaySinceMs = null;
        return answer;
      } catch (thrown) {
        const error = toPacelineError(thrown);
        if (!error.retryable) throw error;
        const nowMs = performance.now();
        if (this.#awaySinceMs === null) {
          this.#awaySinceMs = nowMs;
          io.stderr.write(`${error.message}; asking again\n`);
        }
        if (nowMs - this.#awaySinceMs >= awayMsMax) {
          const away = `the coordinator has been away for ${Math.round(awayMsMax / 1000)} s`;
          throw new PacelineError(error.code, `${away}: ${this.#remedy}`, { cause: error });
        }
        await sleep(lookMs);
        // Of several that all are away none is found yet: the one known is asked again.
        if (find !== undefined) this.#address = await find().catch(() => this.#address);
      }
    }
  }
}

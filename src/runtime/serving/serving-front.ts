/**
 * What a serving coordinator offers to the network: calls of members go to the host that has them,
 * calls about jobs to the desk that keeps the queue.
 */
import { PacelineError } from "../../errors.js";
import type { CoordinatorHost } from "../../host/coordinator-host.js";
import type { Examples, ExamplesRequest } from "../../protocol/examples.js";
import type { MemberIdentity, MemberPlace } from "../../protocol/identity.js";
import type {
  CoordinatorMessage,
  RegisterReply,
  RegisterRequest,
} from "../../protocol/messages.js";
import type { ResidualChunk, ResidualPlace } from "../../protocol/residuals.js";
import type { JobEvents, JobEventsRequest, Submission } from "../../protocol/run-events.js";
import type {
  CoordinatorService,
  MemberReceiver,
  SessionChannel,
  SwitchRequest,
} from "../../transport/transport.js";
import type { MemberPlaces } from "./member-places.js";

/** Who keeps the queue. */
export interface JobDesk
  extends Pick<CoordinatorService, "status" | "submit" | "jobs" | "cancelJob" | "jobEvents"> {
  /** True once no more members are wanted: another coordinator may be started instead. */
  readonly isStopping: boolean;
}

/** The service. */
export class ServingFront implements CoordinatorService {
  readonly #places: MemberPlaces;
  readonly #desk: JobDesk;

  constructor(places: MemberPlaces, desk: JobDesk) {
    this.#places = places;
    this.#desk = desk;
  }

  async register(request: RegisterRequest): Promise<RegisterReply> {
    if (this.#desk.isStopping) {
      throw new PacelineError("unavailable", "the coordinator is stopping and takes no members");
    }
    return this.#places.register(request);
  }

  open(member: MemberIdentity, channel: SessionChannel<CoordinatorMessage>): MemberReceiver {
    return this.#places.hostOf(member).open(member, channel);
  }

  drain(member: MemberPlace): Promise<string> {
    const { role, rank } = member;
    const having = this.#places.seats.filter(({ host }) =>
      host.snapshot().members.some((one) => one.role === role && one.rank === rank),
    );
    const [seat, ...others] = having;
    if (seat === undefined) {
      throw new PacelineError("refused", `no job has a ${role}-${rank}: see paceline status`);
    }
    if (others.length > 0) {
      const names = having.map(({ name }) => name).join(" and ");
      const sentence = `jobs ${names} each have a ${role}-${rank}`;
      throw new PacelineError("refused", `${sentence}: end the process that is meant by SIGTERM`);
    }
    return seat.host.drain(member);
  }

  switchTo(request: SwitchRequest): Promise<string> {
    const { seats } = this.#places;
    const meant = request.run === "" ? seats : seats.filter(({ name }) => name === request.run);
    const [seat, ...others] = meant;
    const known = `jobs that are on: ${seats.map(({ name }) => name).join(", ") || "none"}`;
    if (seat === undefined) throw new PacelineError("refused", `no such job is on; ${known}`);
    if (others.length > 0) throw new PacelineError("refused", `name the job; ${known}`);
    return seat.host.switchTo(request);
  }

  readExamples(request: ExamplesRequest): Examples {
    return this.#hostOfRun(request.run).readExamples(request);
  }

  keepResidual(residual: ResidualChunk): void {
    this.#hostOfRun(residual.run).keepResidual(residual);
  }

  readResidual(place: ResidualPlace): Uint8Array {
    return this.#hostOfRun(place.run).readResidual(place);
  }

  status(): unknown {
    return this.#desk.status();
  }

  submit(submission: Submission): string | Promise<string> {
    return this.#desk.submit(submission);
  }

  jobs(job: string): unknown {
    return this.#desk.jobs(job);
  }

  cancelJob(job: string): string | Promise<string> {
    return this.#desk.cancelJob(job);
  }

  jobEvents(request: JobEventsRequest): Promise<JobEvents> {
    return this.#desk.jobEvents(request);
  }

  #hostOfRun(run: string): CoordinatorHost {
    const seat = this.#places.seats.find((one) => one.run === run);
    if (seat === undefined) throw new PacelineError("refused", `run ${run} is not on here`);
    return seat.host;
  }
}

/**
 * A cluster that serves, as a suite of experiments asks it: over the calls about jobs, again and
 * again while the coordinator is away.
 */
import { hostname } from "node:os";
import { z } from "zod";
import { PacelineError } from "../../errors.js";
import type { CommandIo } from "../../options/resolved-options.js";
import type { JobRecord, JobSummary } from "../../protocol/run-events.js";
import type { ClusterSize, JobCluster } from "../../study/cluster/job-cluster.js";
import type { Transport } from "../../transport/transport.js";
import { Patience } from "./followed-job.js";
import { jobsForm } from "./job-form.js";

/** Where the cluster is. */
export interface ServedPlace {
  readonly transport: Pick<Transport, "status" | "submit" | "jobs" | "cancelJob" | "jobEvents">;
  readonly address: string;
  /** Where the coordinator is after it has not answered. */
  readonly find: () => Promise<string>;
  readonly io: Pick<CommandIo, "stderr">;
  /** How long the coordinator may be away; 10 min if left out. */
  readonly awayMsMax?: number;
  /** How long to wait before asking again; half a second if left out. */
  readonly lookMs?: number;
}

const snapshotForm = z.looseObject({ members: z.array(z.looseObject({ role: z.string() })) });
/** Of figures of a million steps there are some 200 MB. */
const recordBytesMax = 1024 * 1024 * 1024;

/** The calls. */
export class ServedCluster implements JobCluster {
  readonly where: string;
  readonly #place: ServedPlace;
  readonly #patience: Patience;

  constructor(place: ServedPlace, where = place.address) {
    this.where = where;
    this.#place = place;
    const remedy = "run the suite again once it is back: it finds its jobs there and goes on";
    this.#patience = new Patience(place, remedy);
  }

  /** Asked at the beginning, when there is nothing to be patient for. */
  async size(): Promise<ClusterSize> {
    const { transport, address } = this.#place;
    await transport.jobs(address, "");
    const told = snapshotForm.safeParse(await transport.status(address));
    if (!told.success) throw new PacelineError("protocol", `${address} names no members`);
    const count = (wanted: string) =>
      told.data.members.filter(({ role }) => role === wanted).length;
    return { workers: count("worker"), servers: count("server") };
  }

  async jobs(): Promise<ReadonlyMap<string, JobSummary>> {
    return this.#patience.ask((address) => this.#jobsAt(address));
  }

  async submit(name: string, config: string): Promise<void> {
    const submission = {
      config: `${config}name: ${JSON.stringify(name)}\n`,
      ...{ priority: 0, host: hostname(), pid: process.pid },
    };
    let isAgain = false;
    await this.#patience.ask(async (address) => {
      // It may have been taken, and the answer lost.
      if (isAgain && (await this.#jobsAt(address)).has(name)) return;
      isAgain = true;
      await this.#place.transport.submit(address, submission);
    });
  }

  async cancel(name: string): Promise<void> {
    try {
      await this.#patience.ask((address) => this.#place.transport.cancelJob(address, name));
    } catch (thrown) {
      if (!(thrown instanceof PacelineError) || thrown.code !== "refused") throw thrown;
    }
  }

  async read(job: string, record: JobRecord): Promise<string> {
    const parts: string[] = [];
    for (let from = 0; ; ) {
      const request = { job, record, from };
      const ask = (address: string) => this.#place.transport.jobEvents(address, request);
      const { text, next } = await this.#patience.ask(ask);
      if (text === "" || next <= from) return parts.join("");
      if (next > recordBytesMax) {
        const sentence = `the ${record} of job ${job} have more than ${recordBytesMax} bytes`;
        throw new PacelineError("protocol", `${sentence}: copy the run's folder by hand`);
      }
      parts.push(text);
      from = next;
    }
  }

  async #jobsAt(address: string): Promise<ReadonlyMap<string, JobSummary>> {
    const jobs = jobsForm(await this.#place.transport.jobs(address, ""), address);
    return new Map(jobs.map((job) => [job.name, job]));
  }
}

/**
 * What a suite asks of a cluster that serves. Each call waits while the coordinator is away, and
 * rejects with a PacelineError once that takes too long.
 */
import type { JobRecord, JobSummary } from "../../protocol/run-events.js";

/** Members of a cluster, idle or not. */
export interface ClusterSize {
  readonly workers: number;
  readonly servers: number;
}

/** A cluster that serves. */
export interface JobCluster {
  /** Where it is, for messages. */
  readonly where: string;
  /** Rejects where it doesn't serve, or doesn't let this process in. */
  size(): Promise<ClusterSize>;
  /** The jobs that it knows, by name; of several of one name the latest. */
  jobs(): Promise<ReadonlyMap<string, JobSummary>>;
  /**
   * Has a run taken into the queue under this name, which nobody else uses; once, also where the
   * answer was lost. Rejects where the cluster refuses the run.
   */
  submit(name: string, config: string): Promise<void>;
  /** Ends a job; one that has ended, or is not known, is fine. */
  cancel(name: string): Promise<void>;
  /** A whole record of a job's run; "" where there is none. */
  read(name: string, record: JobRecord): Promise<string>;
}

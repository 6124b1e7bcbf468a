/**
 * One run as reports and charts see it, whichever wrote its file: Paceline, or the system that the
 * file's form comes from. What a file does not tell is null, and nothing is made up for it.
 */

/** An epoch of a run. Epochs count from 1. */
export interface StudyEpoch {
  readonly epoch: number;
  /** The time of the worker that took longest. */
  readonly longestSeconds: number | null;
  /** The mean over workers. */
  readonly meanSeconds: number | null;
  /** Percent of the test examples, after this epoch. */
  readonly testAccuracyPercent: number | null;
  /** Percent of the examples trained on in this epoch. */
  readonly trainAccuracyPercent: number | null;
  /** Mean loss over the examples trained on in this epoch. */
  readonly trainLoss: number | null;
  readonly testLoss: number | null;
}

/** The test set evaluated once. */
export interface StudyEvaluation {
  /** Since training began. */
  readonly seconds: number;
  /** Global steps. */
  readonly step: number;
  /** Work: examples gone through; null where the file does not tell. */
  readonly examples: number | null;
  readonly accuracyPercent: number;
  readonly loss: number;
  /** Which version of the whole model; left out where the file does not tell. */
  readonly version?: string;
}

/** Where a worker's mean step goes, in seconds; the parts follow each other. */
export interface StepTimes {
  /** Getting and preparing the examples. */
  readonly inputSeconds: number;
  /** Forward and backward. */
  readonly computeSeconds: number;
  /** From the end of the backward pass until every new chunk is there. */
  readonly waitSeconds: number;
}

/** A choice that a run was made with. */
export type Setting = string | number | boolean | null;

/** A run's result. */
export interface StudyResult {
  /** `experiment_name`, such as sync_4workers. */
  readonly name: string;
  /** The file that it was read from. */
  readonly path: string;
  /** What two files of one run have in common, and of two runs never; absent where unknown. */
  readonly identity?: string;
  /** The format's word for the protocol: sync, async, ssp, ... */
  readonly mode: string;
  /** Workers that the run was meant to have. */
  readonly workers: number;
  readonly servers: number | null;
  readonly model: string | null;
  readonly data: string | null;
  readonly seed: number | null;
  /** How it ended; null where the file does not tell. */
  readonly outcome: "done" | "failed" | "interrupted" | null;
  /** Its other choices as far as told, by path: batchSize, epochs, schedule.lr, reduce, ... */
  readonly settings: Readonly<Record<string, Setting>>;
  /** A baseline: one process computed for all workers; null where the file does not tell. */
  readonly inOneProcess: boolean | null;
  /** Made under a virtual clock: its times are modelled. */
  readonly simulated: boolean;
  /** Its workers outnumbered the machine's cores; null where the file does not tell. */
  readonly crowded: boolean | null;
  /** Training time, the longest of the workers'. */
  readonly seconds: number | null;
  /** Mean over workers and epochs. */
  readonly epochSeconds: number | null;
  /** Final accuracy on the test set. */
  readonly accuracyPercent: number | null;
  readonly epochs: readonly StudyEpoch[];
  readonly evaluations: readonly StudyEvaluation[];
  /** Accepted chunk pushes by staleness: index s counts those of staleness s, the last and more. */
  readonly stalenessCounts: readonly number[] | null;
  readonly stepTimes: StepTimes | null;
  /** Payload that servers received and sent, in bytes. */
  readonly bytesIn: number | null;
  readonly bytesOut: number | null;
}

/** What must hold of a run's counts when it is over, as sentences on what does not. */
import type { Scenario } from "./fault-plan.js";
import type { ServerEvidence, WorkerEvidence } from "./run-evidence.js";

/** Everything that a run has left. */
export interface RunEnd {
  readonly scenario: Scenario;
  /** Lines of events.jsonl. */
  readonly events: string;
  readonly result: {
    readonly server_metrics: { readonly gradients_processed: number };
    readonly worker_metrics_aggregated: { readonly total_local_steps: number };
    readonly paceline: {
      readonly skippedExamples: number;
      readonly tornSteps: number;
      readonly epochs: readonly {
        readonly epoch: number;
        readonly examples: number;
        readonly skipped: number;
      }[];
    };
  };
  readonly examplesOfEpoch: number;
  readonly examplesOfStep: number;
  readonly checkpoint: ServerEvidence;
  readonly workers: WorkerEvidence;
}

interface Told {
  readonly kind: string;
  readonly role?: string;
  readonly rank?: number;
  readonly text: string;
}

/** The problems; none where the run has lost nothing. */
export function judgeAccounts(end: RunEnd): string[] {
  const told = end.events
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Told);
  const lost = told.filter(({ kind, role }) => kind === "lost" && role === "worker");
  return [
    ...told
      .filter(({ text }) => /goes back to|begins anew|forms anew/.test(text))
      .map(({ text }) => text),
    ...(end.scenario.hasOracle ? lost.map(({ text }) => `a worker was lost: ${text}`) : []),
    ...examplesProblems(end),
    ...(end.scenario.countsPushes ? pushProblems(end, lost.length) : []),
  ];
}

/**
 * An epoch that is over has used each of its examples once; what is counted is in the weights, but
 * for steps that the loss of their worker tore, which some chunks lack.
 */
function examplesProblems(end: RunEnd): string[] {
  const { scenario, result, examplesOfEpoch, examplesOfStep, checkpoint } = end;
  const { epochs, skippedExamples, tornSteps } = result.paceline;
  const { examples, counted } = checkpoint;
  // Of a range that a lost worker has, what it did not come to is skipped, and told.
  const maySkip = scenario.countsPushes;
  const lacking = examples.map((seen) => counted - seen);
  const isIn = lacking.every((missing) => missing >= 0 && missing <= tornSteps * examplesOfStep);
  const [fewest, most] = [Math.min(...examples), Math.max(...examples)];
  return [
    ...epochs.flatMap((one) =>
      one.examples + one.skipped === examplesOfEpoch
        ? []
        : [`epoch ${one.epoch} counts ${one.examples} examples and ${one.skipped} skipped`],
    ),
    ...(maySkip || skippedExamples === 0 ? [] : [`${skippedExamples} examples were skipped`]),
    ...(isIn
      ? []
      : [`chunks have ${fewest} to ${most} examples, ${counted} are counted, ${tornSteps} torn`]),
  ];
}

/** A push that was answered is a version; one that was not may be, of each worker that was lost. */
function pushProblems({ checkpoint, workers }: RunEnd, losses: number): string[] {
  return checkpoint.versions.flatMap((version, chunk) => {
    let answered = 0;
    for (const counts of workers.answered.values()) answered += counts.get(chunk) ?? 0;
    if (version >= answered && version <= answered + losses) return [];
    return [`chunk ${chunk} has version ${version}, and ${answered} pushes were answered`];
  });
}

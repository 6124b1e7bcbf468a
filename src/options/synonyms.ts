/**
 * What other programs call the options of this one: a word that is not an option here leads to the
 * option that means the same, where no near misspelling does.
 */
import { didYouMean } from "../suggest.js";

/** Words of other programs by our option, as they stand after the dashes. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  lr: ["learning-rate", "rate", "base-lr", "eta", "step-size"],
  "lr-schedule": ["scheduler", "lr-scheduler", "schedule", "lr-policy", "lr-decay"],
  "lr-warmup": ["warmup", "warmup-ratio", "warmup-steps"],
  "lr-milestones": ["milestones"],
  epochs: ["num-epochs", "n-epochs", "max-epochs", "num-train-epochs", "nepochs"],
  "max-steps": ["steps", "iterations", "max-iterations", "num-steps", "max-iters", "iters"],
  "batch-size": ["batch", "bs", "minibatch", "mini-batch-size", "per-device-train-batch-size"],
  optimizer: ["optim", "opt", "update-rule", "solver", "optimiser"],
  "weight-decay": ["wd", "l2", "decay", "l2-reg"],
  momentum: ["mom"],
  epsilon: ["eps", "adam-epsilon"],
  model: ["arch", "architecture", "network", "net", "model-name"],
  data: ["dataset", "data-set", "dataset-name"],
  "data-dir": ["data-path", "data-root", "dataset-dir", "dataset-path"],
  workers: ["num-workers", "n-workers", "nproc", "nproc-per-node", "world-size"],
  servers: ["num-servers", "n-servers", "ps", "parameter-servers"],
  "run-dir": ["output", "output-dir", "out-dir", "log-dir", "logdir", "save-dir", "results-dir"],
  name: ["run-name", "experiment-name", "exp-name"],
  resume: ["resume-from", "continue", "restart", "from-checkpoint", "load", "checkpoint"],
  "checkpoint-every": ["save-every", "save-freq", "checkpoint-interval", "checkpoint-freq"],
  "eval-every": ["eval-interval", "eval-freq", "validate-every"],
  "log-every": ["log-interval", "print-freq", "log-freq"],
  seed: ["random-seed", "rng-seed", "random-state"],
  dtype: ["precision", "amp", "fp16", "bf16", "half"],
  compress: ["compression", "codec", "gradient-compression"],
  mode: ["sync", "async", "sync-mode", "consistency"],
  staleness: ["slack", "max-staleness"],
  coordinator: ["server", "address", "master", "server-address", "master-addr"],
  host: ["bind", "listen", "ip"],
  rank: ["worker-id", "task-index", "id"],
  threads: ["num-threads", "nthreads", "cpus", "cores"],
  "train-limit": ["train-size", "max-train-samples", "subset", "limit"],
  "test-limit": ["test-size", "max-eval-samples"],
};

const optionOf = new Map(
  Object.entries(synonyms).flatMap(([option, words]) => words.map((word) => [word, option])),
);

/** " (did you mean --lr?)" for a word that is none of the known options, or nothing. */
export function optionHint(written: string, known: readonly string[], prefix = ""): string {
  const word = written.toLowerCase().replaceAll("_", "-");
  const meant = optionOf.get(word);
  if (meant !== undefined && known.includes(meant)) return ` (did you mean ${prefix}${meant}?)`;
  return didYouMean(word, known, prefix);
}

/** Every option that a synonym leads to, for the test that there is one of that name. */
export const synonymTargets: readonly string[] = Object.keys(synonyms);

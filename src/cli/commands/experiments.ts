/** `paceline experiments`: a matrix of runs, carried out, watched and reported. */
import type { CommandPlan } from "./command-plan.js";

/** The row of the table of commands. */
export const experimentsPlan: CommandPlan = {
  name: "experiments",
  sentence: "run a matrix of experiments, show its progress, report its results",
  options: "experiments",
  arguments: ["<run|status|report>", "<matrix.yaml>"],
  verbs: [
    {
      name: "run",
      words: "MATRIX",
      sentence: "run the cells that are not done yet: here, or on the cluster of --coordinator",
    },
    { name: "status", words: "MATRIX", sentence: "print how far the cells are" },
    { name: "report", words: "MATRIX", sentence: "write a report and charts of the done cells" },
  ],
  extra: [
    { flags: "--priority <least>", sentence: "only cells at or above high, medium or optional" },
    { flags: "--retry-failed", sentence: "with run: run failed cells again", verbs: ["run"] },
    {
      flags: "--results-dir <folder>",
      sentence: "folder for results, instead of the one in the matrix",
    },
  ],
  examples: [
    "paceline experiments run configs/experiments-quick.yaml --dry-run",
    "paceline experiments run configs/experiments-ecs.yaml --priority high",
    "paceline experiments run configs/experiments-quick.yaml --coordinator 127.0.0.1:8000",
    "paceline experiments status configs/experiments-quick.yaml",
    "paceline experiments report configs/experiments-quick.yaml",
  ],
  async run(call) {
    return (await import("./experiments-suite.js")).experimentsCommand(call);
  },
};

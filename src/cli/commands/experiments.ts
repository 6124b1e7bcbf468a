/** `paceline experiments`: a matrix of runs, carried out, watched and reported. */
import type { CommandPlan } from "./command-plan.js";

/** The row of the table of commands. */
export const experimentsPlan: CommandPlan = {
  name: "experiments",
  sentence: "run a matrix of experiments, see how far it is, report what it has shown",
  options: "experiments",
  arguments: ["<run|status|report>", "<matrix.yaml>"],
  extra: [
    { flags: "--priority <least>", sentence: "only cells at or above high, medium or optional" },
    { flags: "--retry-failed", sentence: "with run: run failed cells again" },
    { flags: "--results-dir <folder>", sentence: "where results go, instead of the matrix's" },
  ],
  examples: [
    "paceline experiments run configs/experiments-quick.yaml --dry-run",
    "paceline experiments run configs/experiments-ecs.yaml --priority high",
    "paceline experiments status configs/experiments-quick.yaml",
    "paceline experiments report configs/experiments-quick.yaml",
  ],
  async run(call) {
    return (await import("./experiments-suite.js")).experimentsCommand(call);
  },
};

/** `paceline parse-logs`: its words; what it does is loaded with its first call. */
import type { CommandPlan } from "./command-plan.js";

/** The command with its words. */
export const parseLogsPlan: CommandPlan = {
  name: "parse-logs",
  sentence: "write a run's experiment file from logs: files, standard input, CloudWatch",
  options: "parse-logs",
  arguments: ["[logs...]"],
  extra: [
    { flags: "-o, --output <file>", sentence: "file to write (default: standard output)" },
    {
      flags: "--experiment-name <name>",
      sentence: "the experiment's name (default: the run's own); chooses among several runs",
    },
    { flags: "--run <id>", sentence: "which run, where the logs hold several" },
    { flags: "--force", sentence: "replace an --output that holds more than the logs do" },
    { flags: "--server-log-group <group>", sentence: "log group of CloudWatch with the servers" },
    { flags: "--worker-log-group <group>", sentence: "log group of CloudWatch with the workers" },
    { flags: "--use-terraform", sentence: "take log groups and region from terraform's outputs" },
    {
      flags: "--terraform-dir <folder>",
      sentence: "with --use-terraform: the folder of the configuration (default: terraform)",
    },
    {
      flags: "--hours-ago <hours>",
      sentence: "how far back to read log groups (default: 24)",
    },
    { flags: "--region <region>", sentence: "region of the log groups (default: AWS_REGION)" },
  ],
  examples: [
    "paceline parse-logs runs/mlp-bsp-2w-001/logs -o result.json",
    "docker compose logs --no-color | paceline parse-logs - -o result.json",
    "paceline parse-logs --use-terraform --hours-ago 2 -o experiment_results/sync_4workers.json",
  ],
  async run(call) {
    return (await import("./parse-logs-run.js")).parseLogs(call);
  },
};

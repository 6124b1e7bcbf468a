/** `paceline up`: its words; what it does is loaded with its first call. */
import type { CommandPlan } from "./command-plan.js";

/** So long processes go on without the command, where it is not said. */
export const graceDefaultSeconds = 120;

/** The command with its words. */
export const upPlan: CommandPlan = {
  name: "up",
  buckets: true,
  sentence: "start a run on several hosts over ssh and show what all say",
  options: "coordinator",
  arguments: ["[run.yaml]"],
  config: true,
  needs: "model and data",
  extra: [
    { flags: "--hosts <file>", sentence: "a line for each host: where ssh goes, and the roles" },
    { flags: "--ssh <command>", sentence: 'how ssh is called, e.g. "ssh -i key" (default: ssh)' },
    {
      flags: "--keep-for <seconds>",
      sentence: `how long processes go on without this one (default: ${graceDefaultSeconds})`,
    },
    { flags: "--check", sentence: "look whether all hosts are ready, and start nothing" },
  ],
  examples: [
    "paceline up --hosts hosts.txt --model mlp --data mnist --insecure",
    "paceline up run.yaml --hosts hosts.txt --tls certs --epochs 5",
    "paceline up run.yaml --hosts hosts.txt --insecure --check",
  ],
  async run(call) {
    return (await import("./up-hosts.js")).up(call);
  },
};

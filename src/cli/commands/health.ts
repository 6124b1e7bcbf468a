/** `paceline health`: whether the process beside this one lives, for probes of containers. */
import { PacelineError } from "../../errors.js";
import { printable } from "../../report/progress.js";
import { askHealth } from "../health-socket.js";
import type { Call, CommandPlan } from "./command-plan.js";

/** The command with its words. */
export const healthPlan: CommandPlan = {
  name: "health",
  sentence: "ask a process on this machine whether it lives: exit code 0 if it does, 1 if not",
  options: "health",
  extra: [
    {
      flags: "--ready",
      sentence: "exit code 1 as well while it has no coordinator, or listens nowhere",
    },
  ],
  examples: [
    "paceline health --health-socket /tmp/paceline-health",
    "paceline health --health-socket /tmp/paceline-health --ready",
  ],
  async run({ options, flags, io }: Call): Promise<number> {
    const { healthSocket, json } = options;
    if (healthSocket === null) {
      const sentence = "paceline health needs to know where the process answers";
      const remedy = "give --health-socket the path that the process was started with";
      throw new PacelineError("usage", `${sentence}; ${remedy}`);
    }
    const health = await askHealth(healthSocket);
    const { role, pid, isReady, state } = health;
    const text = json ? JSON.stringify(health) : `${role} (process ${pid}): ${printable(state)}`;
    io.stdout.write(`${text}\n`);
    return flags.ready === true && !isReady ? 1 : 0;
  },
};

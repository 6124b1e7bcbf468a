/**
 * `paceline submit`: gives a serving coordinator a run and prints the run's name. With --wait it
 * stays until the run has ended, and ends with the run's exit code; with --follow it shows the
 * run's progress meanwhile.
 */
import { hostname } from "node:os";
import { PacelineError } from "../../errors.js";
import type { CommandIo } from "../../options/resolved-options.js";
import type { Transport } from "../../transport/transport.js";
import { type AdminCall, coordinatorAddress } from "../coordinator-address.js";
import type { CommandPlan } from "./command-plan.js";

/** The command with its words. */
export const submitPlan: CommandPlan = {
  name: "submit",
  sentence: "submit a job to a serving coordinator",
  options: "submit",
  needs: "a coordinator",
  arguments: ["[run.yaml]"],
  config: true,
  extra: [
    { flags: "--priority <number>", sentence: "jobs of higher priority go first (default: 0)" },
    { flags: "--wait", sentence: "wait for the end of the job, and end with its exit code" },
    { flags: "--follow", sentence: "show epochs, losses and lost members until the job's end" },
  ],
  examples: [
    "paceline submit run.yaml --coordinator 127.0.0.1:8000",
    "paceline submit run.yaml --coordinator 127.0.0.1:8000 --priority 5 --follow",
  ],
  run: ({ options, flags, io }) => submit(options, io, choiceOf(flags)),
};

/** How a job is submitted, and whether it is waited for. */
export interface SubmitChoice {
  readonly priority: number;
  readonly waits: boolean;
  readonly follows: boolean;
}

const plain: SubmitChoice = { priority: 0, waits: false, follows: false };
const priorityMax = 1000;

/** Runs the command; resolves to the exit code. */
export async function submit(
  options: AdminCall["options"],
  io: Pick<CommandIo, "stdout" | "stderr" | "configText">,
  { priority, waits, follows }: SubmitChoice = plain,
  given: Transport | null = null,
): Promise<number> {
  const transport = given ?? (await reached(options));
  try {
    const address = await coordinatorAddress(options, transport);
    const from = { host: hostname(), pid: process.pid };
    const run = await transport.submit(address, { config: io.configText, priority, ...from });
    if (!options.json || (!waits && !follows)) {
      io.stdout.write(`${options.json ? JSON.stringify({ run }) : run}\n`);
    }
    if (!waits && !follows) return 0;
    const { untilJobEnds } = await import("../jobs/followed-job.js");
    const find = () => coordinatorAddress(options, transport);
    const job = await untilJobEnds(run, { transport, address, find, follows, io });
    if (options.json) io.stdout.write(`${JSON.stringify(job.summary)}\n`);
    return job.exitCode;
  } finally {
    await transport.close();
  }
}

function choiceOf(flags: Readonly<Record<string, unknown>>): SubmitChoice {
  const text = String(flags.priority ?? "0");
  const priority = /^[-+]?\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (!(Math.abs(priority) <= priorityMax)) {
    const wanted = `write a whole number from -${priorityMax} to ${priorityMax}`;
    throw new PacelineError("usage", `--priority ${text} is no priority; ${wanted}`);
  }
  return { priority, waits: flags.wait === true, follows: flags.follow === true };
}

async function reached(options: AdminCall["options"]): Promise<Transport> {
  const { adminTransport } = await import("../admin-transport.js");
  return adminTransport(options);
}

/** `paceline jobs`: the jobs of a serving coordinator, and what is done with one. */
import { PacelineError } from "../../errors.js";
import type { JobSummary } from "../../protocol/run-events.js";
import type { Transport } from "../../transport/transport.js";
import { coordinatorAddress } from "../coordinator-address.js";
import type { Call, CommandPlan } from "./command-plan.js";

/** What a verb is called with. */
interface Asked {
  readonly transport: Transport;
  readonly address: string;
  /** The job's name or number; "" where the verb takes none. */
  readonly job: string;
  readonly call: Pick<Call, "options" | "io" | "flags">;
}

const verbs = { ls: list, show, cancel, logs };
type Verb = keyof typeof verbs;

/** The command with its words. */
export const jobsPlan: CommandPlan = {
  name: "jobs",
  sentence: "list, show, cancel or follow the jobs of a serving coordinator",
  options: "jobs",
  needs: "a coordinator",
  arguments: [`<${Object.keys(verbs).join("|")}>`, "[job]"],
  verbs: [
    { name: "ls", words: "", sentence: "list the jobs, with what each that is queued waits for" },
    { name: "show", words: "JOB", sentence: "one job, by name or number" },
    {
      name: "cancel",
      words: "JOB",
      sentence: "take a queued job out of the queue, or end a running one with a checkpoint",
    },
    { name: "logs", words: "JOB", sentence: "what happened in a job, line by line" },
  ],
  extra: [
    { flags: "-f, --follow", sentence: "with logs: go on until the job's end", verbs: ["logs"] },
    {
      flags: "--tail <lines>",
      sentence: "with logs: begin with so many of the last lines (default: all)",
      verbs: ["logs"],
    },
  ],
  examples: [
    "paceline jobs ls --coordinator 127.0.0.1:8000",
    "paceline jobs cancel digits --coordinator 127.0.0.1:8000",
    "paceline jobs logs digits -f --tail 20 --coordinator 127.0.0.1:8000",
  ],
  run: (call) => jobs(call.words, call),
};

/** Runs the command; resolves to the exit code. */
export async function jobs(
  [word, job = ""]: readonly string[],
  call: Asked["call"],
  given: Transport | null = null,
): Promise<number> {
  const verb = word as Verb;
  for (const flag of ["follow", "tail"]) {
    if (call.flags[flag] === undefined || verb === "logs") continue;
    throw usage(`--${flag} does not apply to paceline jobs ${verb}; leave it out, or write logs`);
  }
  if (verb === "ls" && job !== "") {
    throw usage(`paceline jobs ls takes no job; write paceline jobs show ${job}`);
  }
  if (verb !== "ls" && job === "") {
    throw usage(`paceline jobs ${verb} needs a job; see paceline jobs ls for their names`);
  }
  const transport = given ?? (await import("../admin-transport.js")).adminTransport(call.options);
  try {
    const address = await coordinatorAddress(call.options, transport);
    return await verbs[verb]({ transport, address, job, call });
  } finally {
    await transport.close();
  }
}

async function list({ transport, address, call }: Asked): Promise<number> {
  const told = await transport.jobs(address, "");
  const { jobsForm } = await import("../jobs/job-form.js");
  const { jobTable } = await import("./jobs-text.js");
  const found = jobsForm(told, address);
  if (call.options.json) call.io.stdout.write(`${JSON.stringify(told)}\n`);
  else if (found.length > 0) call.io.stdout.write(lines(jobTable(found)));
  else call.io.stderr.write(`no jobs at ${address}; paceline submit gives it one\n`);
  return 0;
}

async function show(asked: Asked): Promise<number> {
  const summary = await jobOf(asked);
  const { jobLines } = await import("./jobs-text.js");
  const text = asked.call.options.json ? `${JSON.stringify(summary)}\n` : lines(jobLines(summary));
  asked.call.io.stdout.write(text);
  return 0;
}

async function cancel({ transport, address, job, call }: Asked): Promise<number> {
  const text = await transport.cancelJob(address, job);
  call.io.stdout.write(`${call.options.json ? JSON.stringify({ text }) : text}\n`);
  return 0;
}

/** Of a job that is over, or was not to be followed, what there is; else until its end. */
async function logs(asked: Asked): Promise<number> {
  const { transport, address, job, call } = asked;
  const { eventLines, tailOf } = await import("./jobs-text.js");
  const { Patience, showAgain } = await import("../jobs/followed-job.js");
  const find = () => coordinatorAddress(call.options, transport);
  const patience = new Patience({ address, find, io: call.io }, showAgain(job));
  const isFollowed = call.flags.follow === true;
  const print = (shown: readonly string[]) => {
    if (shown.length > 0) call.io.stdout.write(lines(shown));
  };
  let from = 0;
  let first: string[] | null = [];
  for (;;) {
    const ask = (place: string) => transport.jobEvents(place, { job, from, record: null });
    const part = await (isFollowed ? patience.ask(ask) : ask(address));
    from = part.next;
    const shown = eventLines(part.text, call.options.json);
    if (first !== null) first.push(...shown);
    else print(shown);
    if (part.text !== "") continue;
    // All that there was at the beginning is there.
    if (first !== null) print(tailOf(first, call.flags.tail));
    first = null;
    if (!isFollowed || part.isOver) return 0;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

const lookMs = 500;

async function jobOf({ transport, address, job }: Asked): Promise<JobSummary> {
  const { summaryOf } = await import("../jobs/followed-job.js");
  return summaryOf(transport, address, job);
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

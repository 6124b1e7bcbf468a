/** `paceline up`: a run on the hosts of a file, over ssh. */
import { readFile } from "node:fs/promises";
import { PacelineError } from "../../errors.js";
import { printable } from "../../report/progress.js";
import { processClock } from "../../runtime/process/process-clock.js";
import { fileError } from "../../store/file-errors.js";
import { checkHosts } from "../hosts/check-hosts.js";
import { hostProcesses } from "../hosts/host-commands.js";
import { parseHosts } from "../hosts/hosts-file.js";
import { runOnHosts } from "../hosts/up-run.js";
import type { Call } from "./command-plan.js";
import { graceDefaultSeconds } from "./up.js";

const graceMaxSeconds = 86_400;
const connectSeconds = 10;

interface UpFlags {
  readonly hosts?: string;
  readonly ssh?: string;
  readonly keepFor?: string;
  readonly check?: boolean;
}

/** Runs the command; resolves to the exit code. */
export async function up({ flags: given, resolution, options, io }: Call): Promise<number> {
  const flags: UpFlags = given;
  if (flags.hosts === undefined) {
    throw usage("paceline up needs to know the hosts; write --hosts FILE, a line for each host");
  }
  if (options.serve) throw usage("--serve has no run to start; start its roles as services");
  const graceSeconds = secondsOf(flags.keepFor);
  const path = flags.hosts;
  const text = await readFile(path, "utf8").catch((cause) => {
    throw fileError(cause, "read", path);
  });
  const hosts = parseHosts(text, path);
  const processes = hostProcesses(hosts, resolution);
  const words = (flags.ssh ?? "ssh").split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) throw usage("--ssh is empty; write a program, or leave it out");
  const ssh = { words, connectSeconds };
  const say = (line: string) => void io.stderr.write(`${printable(line)}\n`);
  await checkHosts(ssh, hosts, io.version, say);
  const ready = hosts.length === 1 ? "1 host is" : `${hosts.length} hosts are`;
  if (!options.quiet) say(`${ready} ready for ${processes.length} processes`);
  if (flags.check === true) return 0;
  return runOnHosts({
    ...{ processes, ssh, graceSeconds, clock: processClock },
    onLine: (line) => void io.stdout.write(`${printable(line)}\n`),
    onNote: say,
  });
}

function secondsOf(text: string | undefined): number {
  if (text === undefined) return graceDefaultSeconds;
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= 1 && seconds <= graceMaxSeconds) return seconds;
  throw usage(`--keep-for ${text} is no number of seconds; write 1 to ${graceMaxSeconds}`);
}

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}

/** What the commands of a server and a worker share: signals, the log, the exit code. */
import { errorCodes } from "../errors.js";
import type { CommandIo } from "../options/resolved-options.js";
import type { RunningMember } from "../runtime/member-part.js";
import { onSignals, signalExitCode } from "./signals.js";

/** Stays with a member to its end; resolves to the exit code. */
export async function untilMemberEnds(member: RunningMember): Promise<number> {
  let last: NodeJS.Signals = "SIGINT";
  const release = onSignals((signal) => {
    last = signal;
    if (!member.interrupt(signal)) process.exit(signalExitCode(signal));
  });
  try {
    const { outcome } = await member.ended;
    if (outcome === "left") return signalExitCode(last);
    // A member ends well when its run did, or when the run's failure is not its own.
    return outcome === "failed" ? errorCodes.member_lost.exitCode : 0;
  } finally {
    await member.close();
    release();
  }
}

/** The log of a member: a line each, with the time, the role and the name that it was given. */
export function memberLog(
  io: Pick<CommandIo, "stderr">,
  role: "server" | "worker",
  name: string | null = null,
): (text: string) => void {
  const who = name === null ? role : `${role} ${name}`;
  return (text) => void io.stderr.write(`${new Date().toISOString()} ${who}: ${text}\n`);
}

/** What the commands of a server and a worker share: signals, the log, the exit code. */
import { errorCodes } from "../errors.js";
import type { CommandIo } from "../options/resolved-options.js";
import type { MemberEnd, RunningMember } from "../runtime/member-part.js";
import { onSignals, signalExitCode } from "./signals.js";

/** How a member ended, and with which exit code its process does. */
export interface EndedMember {
  readonly exitCode: number;
  readonly end: MemberEnd;
}

/** Stays with a member to its end. */
export async function untilMemberEnds(member: RunningMember): Promise<EndedMember> {
  let last: NodeJS.Signals = "SIGINT";
  const release = onSignals((signal) => {
    last = signal;
    if (!member.interrupt(signal)) process.exit(signalExitCode(signal));
  });
  try {
    const end = await member.ended;
    if (end.outcome === "left") return { exitCode: signalExitCode(last), end };
    // A member ends well when its run did, or when the run's failure is not its own.
    return { exitCode: end.outcome === "failed" ? errorCodes.member_lost.exitCode : 0, end };
  } finally {
    await member.close();
    release();
  }
}

/** The log of a member: a line each, with the time and the role. */
export function memberLog(io: CommandIo, role: "server" | "worker"): (text: string) => void {
  return (text) => void io.stderr.write(`${new Date().toISOString()} ${role}: ${text}\n`);
}

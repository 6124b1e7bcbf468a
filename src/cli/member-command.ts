/** What the commands of a server and a worker share: signals, the log, the exit code. */
import { errorCodes } from "../errors.js";
import type { CommandIo } from "../options/resolved-options.js";
import type { MemberEnd, RunningMember } from "../runtime/member-part.js";
import { answerHealth } from "./health-socket.js";
import { onSignals, signalExitCode } from "./signals.js";
import { leaveWithParent, onSupervisorWord } from "./supervised.js";

/**
 * Whatever stops all of a group or of a machine reaches a supervisor's members too, while the
 * coordinator has yet to save what they hold: so long they stay, unless they are told once more.
 */
const stayMs = 8000;
/** A member that is told to go at once has so long to give back what it holds. */
const closeLimitMs = 1000;

/** How a member takes signals. */
export interface MemberManners {
  /** A supervisor stops it with all others: on the first signal it stays for the run's end. */
  readonly isSupervised: boolean;
  /** Else it asks to be let go, and leaves unasked after so long; 0 leaves at once. */
  readonly drainWithinMs: number;
  log(text: string): void;
}

/** How a member ended, and with which exit code its process does. */
export interface EndedMember {
  readonly exitCode: number;
  readonly end: MemberEnd;
}

/** Who a member is to those who ask whether it lives. */
export interface AskedMember {
  readonly role: "server" | "worker";
  readonly healthSocket: string | null;
}

/** Starts a member and stays with it to its end; meanwhile the process answers whether it lives. */
export async function withMember<Member extends RunningMember>(
  asked: AskedMember,
  start: () => Promise<Member>,
  manners: MemberManners,
): Promise<EndedMember> {
  let member: Member | null = null;
  const stopAnswering = await answerHealth({ ...asked, now: () => healthOf(member) });
  try {
    member = await start();
    return await untilMemberEnds(member, manners);
  } finally {
    await stopAnswering();
  }
}

function healthOf(member: RunningMember | null) {
  if (member?.isMember() !== true) {
    return { isReady: false, state: "has no coordinator yet" };
  }
  const state = member.takesPart() ? "takes part in a run" : "is a member and waits for work";
  return { isReady: true, state };
}

/** Stays with a member to its end. */
export async function untilMemberEnds(
  member: RunningMember,
  { isSupervised, drainWithinMs, log }: MemberManners,
): Promise<EndedMember> {
  let last: NodeJS.Signals | null = null;
  let stay: NodeJS.Timeout | null = null;
  const leave = (signal: NodeJS.Signals) => {
    if (!member.interrupt(signal)) void closeAndExit(member, signalExitCode(signal));
  };
  const onSignal = (signal: NodeJS.Signals, what: string = signal) => {
    const isFirst = last === null;
    last = signal;
    if (!isFirst) return leave(signal);
    const limitMs = isSupervised ? stayMs : drainWithinMs;
    const mayStay = isSupervised ? member.takesPart() : limitMs > 0 && member.drain(signal);
    if (!mayStay) return leave(signal);
    const goal = isSupervised ? "for the run to end" : "to leave in order";
    const limit = `${Number((limitMs / 1000).toFixed(1))} s`;
    log(`${what}: waits up to ${limit} ${goal}; a second signal leaves at once`);
    stay = setTimeout(() => leave(signal), limitMs);
  };
  const release = onSignals((signal) => onSignal(signal));
  const orphaned = () => last === null && onSignal("SIGTERM", "its supervisor is gone");
  const forget = leaveWithParent(orphaned);
  onSupervisorWord(({ type }) => {
    if (type === "end") void closeAndExit(member, signalExitCode("SIGTERM"));
  });
  try {
    const end = await member.ended;
    return { exitCode: endCode(end, isSupervised ? last : null, last, log), end };
  } finally {
    if (stay !== null) clearTimeout(stay);
    await member.close();
    forget();
    release();
  }
}

/** @param stopped the signal that stopped the run; null of one that the member alone was sent. */
function endCode(
  { outcome, reason }: MemberEnd,
  stopped: NodeJS.Signals | null,
  last: NodeJS.Signals | null,
  log: (text: string) => void,
): number {
  if (outcome === "left") return signalExitCode(last ?? "SIGINT");
  log(`its part is over, ${outcome}: ${reason}`);
  // A member ends well when its run did, or when the run's failure is not its own.
  if (outcome === "failed") return errorCodes.member_lost.exitCode;
  return stopped === null ? 0 : signalExitCode(stopped);
}

async function closeAndExit(member: RunningMember, exitCode: number): Promise<void> {
  setTimeout(() => process.exit(exitCode), closeLimitMs);
  await member.close().catch(() => undefined);
  process.exit(exitCode);
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

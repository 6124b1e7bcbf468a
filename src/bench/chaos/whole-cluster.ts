/**
 * When a cluster is whole again after a fault: everybody who is to be there is a member and has
 * been heard just now, every chunk has its copies where they are wanted, and the run trains.
 */
import type { CoordinatorSnapshot } from "../../protocol/run-events.js";

/** A process that is to be a member. */
export interface AwaitedMember {
  /** Such as `server-1`. */
  readonly name: string;
  readonly pid: number;
}

/** A member that was heard longer ago may be lost and not yet known to be. */
const heardSecondsMax = 0.6;
const copies = /"text":"(redundant: |some chunks lack |every chunk is on one server)/g;

/**
 * What lacks, in words; null where nothing does.
 * @param events the run's events, a line each.
 */
export function whatLacks(
  { phase, members, moves }: CoordinatorSnapshot,
  awaited: readonly AwaitedMember[],
  events: string,
): string | null {
  if (phase !== "training") return `the run is ${phase}`;
  for (const { name, pid } of awaited) {
    const member = members.find(({ role, rank }) => `${role}-${rank}` === name);
    if (member === undefined) return `${name} is not a member`;
    if (member.pid !== pid) return `${name} is pid ${member.pid}, not ${pid}`;
    if (!member.inView || member.state !== "alive") return `${name} is ${member.reason}`;
    const heard = /^last heard ([\d.]+) s ago/.exec(member.reason)?.[1];
    const isFresh = heard !== undefined && Number(heard) <= heardSecondsMax;
    if (!isFresh || member.reason.includes("while it starts")) return `${name} ${member.reason}`;
  }
  if (members.length > awaited.length) return "there are more members than processes";
  if (moves.left > 0) return `${moves.left} chunks are on their way`;
  const last = [...events.matchAll(copies)].at(-1)?.[1];
  return last === "redundant: " ? null : "some chunks lack copies";
}

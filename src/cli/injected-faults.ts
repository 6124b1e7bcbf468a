/**
 * Says when an injected fault is due. What it knows of the run is the coordinator's picture: how
 * far workers and servers were when they last told, at most a heartbeat ago. So a fault never comes
 * before its step, and as many steps after it as the run takes in that time.
 *
 * A fault waits for its member: one that is not there, or whose process was killed by an earlier
 * fault, suffers it when it is back.
 */
import type { InjectedFault } from "../protocol/injected-fault.js";
import { faultText } from "../protocol/injected-fault.js";
import type { CoordinatorSnapshot } from "../protocol/run-events.js";

/** What is looked at in the picture. */
export type FaultPicture = Pick<CoordinatorSnapshot, "phase" | "globalSteps"> & {
  readonly members: readonly Pick<
    CoordinatorSnapshot["members"][number],
    "role" | "rank" | "incarnation" | "pid" | "inView" | "worker"
  >[];
};

/** A fault whose moment has come. */
export interface DueFault {
  readonly fault: InjectedFault;
  /** Of the process that it comes upon. */
  readonly pid: number;
  /** A sentence that tells of it. */
  readonly text: string;
}

/** The faults of one run. */
export class InjectedFaults {
  #left: readonly InjectedFault[];
  /** Members that are gone, though the picture may have them. */
  readonly #killed = new Set<number>();

  constructor(faults: readonly InjectedFault[]) {
    this.#left = faults;
  }

  /** Those that have not come. */
  get left(): readonly InjectedFault[] {
    return this.#left;
  }

  /** Those that are due, each of which is given once. */
  due(picture: FaultPicture): DueFault[] {
    const { phase, members, globalSteps } = picture;
    if (this.#left.length === 0 || phase !== "training") return [];
    // Where every push is a step of the run, it has taken no fewer than any of its workers.
    const step = Math.max(globalSteps, ...members.map(({ worker }) => worker?.clock ?? 0));
    const due: DueFault[] = [];
    for (const fault of this.#left) {
      if (step < fault.at) continue;
      const { role, rank, kind } = fault;
      const member = members.find((one) => one.role === role && one.rank === rank && one.inView);
      if (member === undefined || this.#killed.has(member.incarnation)) continue;
      if (kind === "kill") this.#killed.add(member.incarnation);
      const whom = `${role}-${rank} (pid ${member.pid})`;
      const text = `${whom} suffers ${faultText(fault)} at step ${step}`;
      due.push({ fault, pid: member.pid, text });
    }
    this.#left = this.#left.filter((one) => !due.some(({ fault }) => fault === one));
    return due;
  }
}

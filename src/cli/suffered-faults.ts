/**
 * How a member that `train` has started suffers the faults that are meant for it. It watches for
 * their steps itself and then stands still, in the middle of what it does, until its supervisor has
 * killed or stopped the process: so nothing of a later moment leaves it.
 */
import type { SuddenFault } from "../protocol/injected-fault.js";
import { cutConnections, watchConnections } from "../runtime/process/connection-cut.js";
import type { StragglerChange } from "../runtime/straggling/straggling-steps.js";
import { InjectedFaults } from "./injected-faults.js";
import { type MemberWord, onSupervisorWord, tellSupervisor } from "./supervised.js";

/** A supervisor that does not come to kill this process is not waited for longer. */
const killPatienceMs = 10_000;

/** What is to be called with each step that a chunk of this member has reached. */
export function sufferedFaults(): (step: number) => void {
  const faults = new InjectedFaults(suffer);
  onSupervisorWord((word) => {
    if (word.type !== "suffer") return;
    if (word.faults.some(({ kind }) => kind === "cut")) watchConnections();
    faults.expect(word.faults);
  });
  return (step) => faults.reached(step);
}

/** Tells the supervisor when a worker begins to straggle on purpose, and when that is over. */
export function tellStraggling({ straggler: fault, straggles, step }: StragglerChange): void {
  const type = straggles ? "suffers" : "recovers";
  tellSupervisor({ type, fault, step } satisfies MemberWord);
}

function suffer(fault: SuddenFault, step: number): void {
  const { kind, forMs } = fault;
  tellSupervisor({ type: "suffers", fault, step } satisfies MemberWord);
  if (kind === "cut") {
    cutConnections(forMs ?? 0);
  } else if (kind === "pause") {
    standStill(forMs ?? 0);
  } else {
    standStill(killPatienceMs);
    process.kill(process.pid, "SIGKILL");
  }
}

/** Blocks this thread. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

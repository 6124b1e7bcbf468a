/**
 * What follows from a run's choices before it begins: which account is kept of the work, and who
 * deals it.
 *
 * Invariant: the same choices and the same members give the same, in any coordinator.
 */
import { IdSource } from "../../protocol/ids.js";
import { BatchPool } from "../work/batch-pool.js";
import { Cursor } from "../work/cursor.js";
import type { RunSetup } from "../work/run-setup.js";
import type { WorkAccount, WorkDealer, WorkFloor, WorkRecord } from "../work/work-floor.js";

/**
 * The account of the work, and how one is made who deals it in the present phase. The resumed
 * checkpoint may have sealed steps that no worker took, which are gone for those who go on; and
 * where it is of other ways to keep pace all stand before the step that its global steps come to.
 *
 * @param record all of the account as it was, where a coordinator goes on amid the work.
 */
export function wayOfDealing(
  floor: WorkFloor,
  { resume, sealedStep = -1 }: Pick<RunSetup, "resume" | "sealedStep">,
  term: number,
  record: WorkRecord | null = null,
): { readonly account: WorkAccount; deal(): WorkDealer } {
  const { spec, pace } = floor;
  const fromStep = record === null ? (resume?.plan?.phase.phaseFromStep ?? 0) : 0;
  const ids = new IdSource(term);
  const kept = record ?? resume?.cursor;
  const skipsSealed = pace.meetsAtBoundaries && record === null;
  if (spec.feed === "static") {
    const account = new Cursor(spec, pace, kept, ids);
    if (skipsSealed) account.standBefore(sealedStep + 1);
    // What is left is laid out for the phase's pace also where all stand at its first step.
    if (fromStep > 0 && account.boundary <= fromStep) account.keepPace(pace, fromStep);
    // Those who come anew stand where the phase begins, too.
    account.standBefore(fromStep);
    return { account, deal: () => floor.pace.dealRanges(floor, account) };
  }
  const account = new BatchPool(spec, pace, kept, ids);
  if (skipsSealed) account.standBefore(sealedStep + 1);
  account.standBefore(fromStep);
  return { account, deal: () => floor.pace.dealBatches(floor, account) };
}

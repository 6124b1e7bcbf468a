/**
 * What follows from a run's choices before it begins: who holds which chunk, which every view says;
 * which account is kept of the work, and who deals it.
 *
 * Invariant: the same choices and the same members give the same, in any coordinator.
 */
import { IdSource } from "../../protocol/ids.js";
import { placeChunks } from "../../protocol/placement.js";
import { paceOf } from "../sync/modes.js";
import { BatchPool } from "../work/batch-pool.js";
import { Cursor } from "../work/cursor.js";
import type { RunSetup } from "../work/run-setup.js";
import type { WorkAccount, WorkDealer, WorkFloor } from "../work/work-floor.js";
import type { Member } from "./roster.js";
import { ViewRounds } from "./view-rounds.js";

/** The views of a run, whose chunks are placed on these servers; no worker is in yet. */
export function viewsOf(
  { spec, layout }: RunSetup,
  term: number,
  members: readonly Member[],
): ViewRounds {
  const { primaries } = placeChunks({
    chunks: layout.chunks,
    servers: members.map(({ rank }) => rank),
    virtualNodes: spec.virtualNodes,
    loadBound: spec.loadBound,
  });
  const servers = members.map(({ rank, incarnation, address, frames }) => {
    return { index: rank, incarnation, address, frames };
  });
  const replicas = primaries.map((primary) => [primary]);
  return new ViewRounds({ run: spec.run, servers, replicas }, paceOf(spec, 0), term);
}

/**
 * The account of the work and who deals it. The resumed checkpoint may have sealed steps that no
 * worker took, which are gone for those who go on.
 */
export function wayOfDealing(
  floor: WorkFloor,
  { resume, sealedStep = -1 }: Pick<RunSetup, "resume" | "sealedStep">,
  term: number,
): { readonly account: WorkAccount; readonly dealer: WorkDealer } {
  const { spec, pace } = floor;
  const ids = new IdSource(term);
  const kept = resume?.cursor;
  if (spec.feed === "static") {
    const account = new Cursor(spec, pace, kept, ids);
    if (pace.meetsAtBoundaries) account.standBefore(sealedStep + 1);
    return { account, dealer: pace.dealRanges(floor, account) };
  }
  const account = new BatchPool(spec, pace, kept, ids);
  if (pace.meetsAtBoundaries) account.standBefore(sealedStep + 1);
  return { account, dealer: pace.dealBatches(floor, account) };
}

/**
 * What a server says: the headers of its replies, and its answer to a view, put together from what
 * its chunks hold.
 */

import type { Departure } from "../../protocol/assignment-report.js";
import { termOf } from "../../protocol/ids.js";
import { type ChunkHeader, emptyHeader, type MemberMessage } from "../../protocol/messages.js";
import type { View } from "../../protocol/view.js";
import type { ChunkState, Waiter } from "./chunk-state.js";
import type { PushVerdict } from "./entry.js";

/** The sender of a push asks for the chunk to start the next step with. */
export function waiterFor(push: ChunkHeader, channel: number, verdict: PushVerdict): Waiter {
  return {
    rank: push.rank,
    incarnation: push.incarnation,
    channel,
    fence: push.fence,
    startStep: push.step + 1,
    pushedStep: push.step,
    pull: 0,
    wantsWeights: push.wantsReply,
    ...verdict,
  };
}

/** The sender of a pull asks for the chunk to start that step with; of step -1, for no step. */
export function waiterForPull(pull: ChunkHeader, channel: number): Waiter {
  return {
    rank: pull.rank,
    incarnation: pull.incarnation,
    channel,
    fence: pull.fence,
    startStep: pull.step,
    pushedStep: -1,
    pull: pull.pull,
    wantsWeights: true,
    outcome: "none",
    staleness: 0,
    detail: "",
    scale: null,
  };
}

/**
 * The header of the reply that gives a waiter its chunk. `isMerged` says that a push may have been
 * merged with a later step than its own.
 */
export function replyTo(
  waiter: Waiter,
  view: View,
  state: ChunkState,
  isMerged: boolean,
): ChunkHeader {
  const { pushedStep, outcome } = waiter;
  const mayLeap = pushedStep >= 0 && (isMerged || outcome === "dropped");
  return {
    ...emptyHeader,
    kind: "reply",
    run: view.run,
    generation: view.generation,
    term: termOf(view.number),
    rank: waiter.rank,
    incarnation: waiter.incarnation,
    phase: view.phase,
    step: waiter.pushedStep,
    pull: waiter.pull,
    chunk: state.index,
    version: state.version,
    examples: state.examples,
    fence: view.fences[state.index]!,
    outcome: waiter.outcome,
    // A worker that was late goes on with the step that is open by now.
    staleness: mayLeap ? Math.max(0, state.sealedStep - pushedStep) : waiter.staleness,
    scale: waiter.scale,
    detail: waiter.detail,
  };
}

/** How far those had come, in entries, whom a view has no more; asked before it seals any. */
export function departuresOf(view: View, led: readonly ChunkState[]): Departure[] {
  if (led.length === 0) return [];
  return view.departing.map(({ rank, incarnation, fromStep }) => {
    const steps = led.map((state) => Math.max(fromStep - 1, state.reached(rank, incarnation)));
    const used = Math.max(...led.map((state) => state.usedBy(rank, incarnation)));
    return { rank, incarnation, stepMin: Math.min(...steps), stepMax: Math.max(...steps), used };
  });
}

/** The answer to a view that has been put in force. */
export function answerTo(
  view: View,
  states: readonly ChunkState[],
  departed: readonly Departure[],
): MemberMessage & { readonly type: "viewAck" } {
  const clocks = states.flatMap((state) => state.clocksOf(view.workers));
  return {
    type: "viewAck",
    view: view.number,
    // What is being committed is sealed: a joiner would come too late for it.
    sealedStep: Math.max(
      -1,
      ...states.map(({ pending, sealedStep }) => pending?.sealedStep ?? sealedStep),
    ),
    clockMin: clocks.length === 0 ? 0 : Math.min(...clocks),
    version: states.length === 0 ? -1 : Math.min(...states.map(({ version }) => version)),
    departed,
  };
}

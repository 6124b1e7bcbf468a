/**
 * What happened in a simulated run as a transcript that a person reads from top to bottom: what was
 * drawn, then in the order of time each fault, loss, view and checkpoint, and what did not hold.
 */

import type { ClusterPlan } from "./cluster-plan.js";
import type { Fault } from "./fault-plan.js";
import type { RunSchedule } from "./schedule.js";
import type { SeedVerdict } from "./simulate-seed.js";

/** The transcript of a run whose trace was kept. */
export function storyOf(schedule: RunSchedule, verdict: SeedVerdict): string {
  const { seed, mode, parts } = schedule;
  const drawn = parts.flatMap((part, index) => describePart(part, index, parts.length));
  const held = verdict.violations.map(({ kind, sentence }) => `${kind}: ${sentence}`);
  const ends = verdict.outcomes.map((outcome, index) => `Part ${index + 1} ended: ${outcome}.`);
  return [
    `Seed ${seed} of mode ${mode}`,
    "",
    "What was drawn",
    ...drawn,
    "",
    "What happened (milliseconds of virtual time, who, what)",
    ...verdict.trace,
    "",
    ...ends,
    held.length === 0 ? "Everything that must hold did." : "What did not hold",
    ...held.map((line) => `  ${line}`),
    "",
  ].join("\n");
}

function describePart(part: ClusterPlan, index: number, count: number): string[] {
  const { spec, layout, network, interruptMs, lateMs, slowness, refusals, failedSaves } = part;
  const { servers, replicas, workersMax, epochs, trainExamples, batchSize, maxSteps } = spec;
  const { compression, updateRule, feed, evaluateEvery, checkpointEvery, protocol } = spec;
  const every = (cadence: typeof evaluateEvery | typeof checkpointEvery) =>
    cadence === null ? "never" : `every ${cadence.count} ${cadence.unit}s`;
  const late = lateMs.flatMap((ms, rank) => (ms > 0 ? `worker ${rank} at ${ms.toFixed(0)}` : []));
  const slow = slowness.flatMap((by, rank) => (by > 1 ? `worker ${rank}` : []));
  const begins = part.workersAtStart ?? workersMax;
  const lines = [
    `Part ${index + 1} of ${count}: ${workersMax} workers (begins with ${begins}, goes on with ` +
      `${spec.workersMin}), ${servers} servers, ${part.standbys} standbys, ` +
      `${replicas} replicas of ${layout.chunks.length} chunks with ${layout.values} values`,
    `  protocol ${JSON.stringify(protocol)}, feed ${feed}, ${epochs} epochs of ` +
      `${trainExamples} examples, batches of ${batchSize}` +
      (maxSteps === null ? "" : `, ${maxSteps} steps at most`),
    `  ${updateRule.name}; pushes as ${compression.push.codec}, pulls as ` +
      `${compression.pull.codec}; evaluated ${every(evaluateEvery)}, ` +
      `kept ${every(checkpointEvery)}`,
    `  network: ${network.delayMsMin} to ${network.delayMsMax} ms, messages as ` +
      `${network.wire}; a step takes up to ${part.stepMsMax} ms`,
  ];
  if (interruptMs !== null) lines.push(`  interrupted at ${interruptMs.toFixed(0)}`);
  if (late.length > 0) lines.push(`  late: ${late.join(", ")}`);
  if (slow.length > 0) lines.push(`  slow: ${slow.join(", ")}`);
  if (refusals > 0) lines.push(`  ${refusals} batches are refused`);
  if (failedSaves > 0) lines.push(`  ${failedSaves} checkpoints can't be written`);
  const faults = part.faults.map((fault) => {
    return `  at ${fault.atMs.toFixed(0)}: ${faultSentence(fault)}`;
  });
  return [...lines, ...faults];
}

/** A fault in a sentence. */
export function faultSentence(fault: Fault): string {
  switch (fault.kind) {
    case "kill": {
      const { node, isSilent, restartMs, lateMs = 0 } = fault;
      const told = isSilent ? ", and nothing says so" : "";
      const again = restartMs === null ? "" : `; it is started again after ${ms(restartMs)}`;
      const late = lateMs > 0 ? `; what it had sent is late by ${ms(lateMs)}` : "";
      return `${node} is killed${told}${again}${late}`;
    }
    case "freeze": {
      const how = fault.isSuspended === true ? "is suspended" : "stands still";
      return `${fault.node} ${how} for ${ms(fault.durationMs)}`;
    }
    case "moment": {
      const { role, node, message, nth, afterMs, strike, then = [] } = fault;
      const when = afterMs < 0 ? "before" : afterMs === 0 ? "right after" : `${ms(afterMs)} after`;
      const whose = node ?? `a ${role}`;
      const what = faultSentence({ atMs: 0, node: node ?? `that ${role}`, ...strike });
      const next = then.map(
        (one) => `; ${one.atMs.toFixed(0)} ms after that: ${faultSentence(one)}`,
      );
      return `${when} ${message} ${nth} of ${whose} from there on, ${what}${next.join("")}`;
    }
    case "block":
      return `nothing passes from ${fault.from} to ${fault.to} for ${ms(fault.durationMs)}`;
    case "break":
      return `the connections between ${fault.left} and ${fault.right} break`;
    case "leaveBehind": {
      const what = `${fault.from} takes its connections to ${fault.to} for broken`;
      return `${what}; what it had sent arrives ${ms(fault.lateMs)} later`;
    }
    case "swallow":
      return `what ${fault.from} sends to ${fault.to} by their present connections is lost`;
    case "mute":
      return `what ${fault.node} sends to workers by their present connections is lost`;
    case "loseAnswer":
      return `${fault.count} answers to calls of ${fault.node} are lost`;
    case "repeat":
      return `${fault.node} asks everything twice for ${ms(fault.durationMs)}`;
    case "staleView":
      return `${fault.node} is told an earlier view again`;
    case "lateWorker":
      return `worker-${fault.rank} is started, unless it runs`;
    case "amidSave":
      return `once copies for a checkpoint are sent, ${faultSentence(fault.fault)}`;
    case "joinServer":
      return `server-${fault.index} comes`;
    case "drain":
      return `${fault.role}-${fault.rank} is asked to leave`;
    case "switch":
      return `somebody asks for ${fault.mode}`;
    case "storeSlow":
      return `the store takes up to ${ms(fault.mostMs)} longer a message, ${ms(fault.durationMs)}`;
    case "storeAway":
      return `the store is away for ${ms(fault.durationMs)}`;
    case "storeCut":
      return `nothing passes between ${fault.node} and the store for ${ms(fault.durationMs)}`;
    case "storeLosesAnswers":
      return `the answers to the next ${fault.count} calls of the store are lost`;
    case "stranger":
      return `a stranger knocks, whose ${fault.wrong} is wrong (server-${fault.server} is near)`;
    case "signal": {
      const { node, restartMs } = fault;
      const again = restartMs === null ? "" : `; another takes its place after ${ms(restartMs)}`;
      return `${node} is told to end${again}`;
    }
    default:
      return fault satisfies never;
  }
}

function ms(durationMs: number): string {
  return `${durationMs.toFixed(0)} ms`;
}

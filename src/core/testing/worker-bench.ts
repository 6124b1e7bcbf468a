/** A worker's machine, walked by hand: what it is given, and what it wants done in short. */
import { layOut } from "../../protocol/layout.js";
import { type Assignment, type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { sampleSpec } from "../../protocol/testing/sample-run.js";
import { firstPhase, type View } from "../../protocol/view.js";
import { Worker } from "../worker/worker.js";
import type { WorkerEffect, WorkerEvent } from "../worker/worker-events.js";

/** Three chunks of one value. */
export const layout = layOut([{ name: "w", shape: [3], group: "weight" }], 1);
/** Batches of four. */
export const spec = { ...sampleSpec, run: "r", batchSize: 4 };
/** The first view: one server, one worker. */
export const view: View = {
  run: "r",
  number: 1,
  generation: 0,
  ...firstPhase(spec.protocol),
  servers: [{ index: 0, incarnation: 1, address: "server", frames: null }],
  workers: [{ rank: 0, incarnation: 7, fromStep: 0 }],
  ...{ candidates: [], departing: [] },
  replicas: [[0], [0], [0]],
  fences: [1, 1, 1],
};
/** Ten examples in three steps. */
export const assignment: Assignment = {
  id: 1,
  epoch: 0,
  start: 0,
  end: 10,
  firstStep: 0,
  lastStep: 3,
};
/** What each step comes to. */
export const outcome = { lossSum: 1, correct: 0, inputSeconds: 0, waitSeconds: 0 };

/** A machine whose effects are kept, in short. */
export class Bench {
  readonly machine = new Worker({ rank: 0, incarnation: 7 });
  nowMs = 0;
  readonly #version = new Map<number, number>();
  /** By chunk the number of its last pull. */
  readonly #pulls = new Map<number, number>();

  give(event: WorkerEvent): WorkerEffect[] {
    this.nowMs += 10;
    const effects = this.machine.step(event, this.nowMs);
    for (const effect of effects) {
      if (effect.type === "pull") this.#pulls.set(effect.header.chunk, effect.header.pull);
    }
    return effects;
  }

  /** To where a worker has its assignment, and computes its first step. */
  begin(
    feed: RunSpec["feed"] = "static",
    compression = spec.compression,
    protocol = spec.protocol,
  ): WorkerEffect[] {
    const own = { ...spec, feed, compression, protocol };
    this.give({
      type: "message",
      message: { type: "prepare", spec: own, residuals: false, layout },
    });
    this.give({ type: "prepared", run: "r", layout, engine: "toy", algorithms: [] });
    const present = { ...view, ...firstPhase(protocol) };
    this.give({ type: "message", message: { type: "view", view: present } });
    for (const chunk of [0, 1, 2]) this.reply(-1, chunk);
    return this.give({ type: "message", message: { type: "work", assignment } });
  }

  /** An answer to a push, or with a step of -1 to the chunk's last pull. */
  reply(step: number, chunk: number, examples = 0): WorkerEffect[] {
    const version = (this.#version.get(chunk) ?? -1) + 1;
    this.#version.set(chunk, version);
    const pull = step === -1 ? this.#pulls.get(chunk)! : 0;
    const tags = { run: "r", rank: 0, incarnation: 7, step, chunk, version, pull, examples };
    const header: ChunkHeader = { ...emptyHeader, ...tags, kind: "reply", outcome: "applied" };
    return this.give({ type: "reply", header });
  }

  /** Says the whole step to be computed; what that brings about last. */
  compute(step: number): WorkerEffect[] {
    for (const chunk of [2, 1, 0]) this.give({ type: "chunkReady", step, chunk });
    return this.give({ type: "computed", step, outcome });
  }
}

/** The checkpoints of a model cluster: at rest, and of cuts (model-cut.ts). */
import assert from "node:assert/strict";
import type { ChunkMarks } from "../../protocol/messages.js";
import { modelVersion } from "../../protocol/model-version.js";
import { chunksOfServer } from "../../protocol/view.js";
import type { RunSetup, SaveRequest, TrainingSnapshot } from "../work/run-setup.js";
import type { ModelCheckpoint, ModelCluster } from "./model-cluster.js";
import { ModelCut } from "./model-cut.js";
import type { ModelServer } from "./model-members.js";
import type { ModelValue } from "./model-values.js";

/** What carries them out. */
export class ModelSaves {
  readonly #cluster: ModelCluster;
  #cut: ModelCut | null = null;

  constructor(cluster: ModelCluster) {
    this.#cluster = cluster;
  }

  /** What the one of a cut keeps of the coordinator. */
  account(snapshot: TrainingSnapshot): void {
    this.#cut?.account(snapshot);
  }

  /** What is asked of servers is given up. */
  abandon(): void {
    this.#cut?.abandon();
  }

  /** Begins one. */
  begin(request: SaveRequest, setup: RunSetup): void {
    const cluster = this.#cluster;
    assert.equal(setup.spec.run, cluster.coordinator.spec?.run);
    cluster.saves.push({ atMs: cluster.nowMs, leisureMs: request.leisureMs });
    if (request.isCut) {
      this.#cut = new ModelCut(request, {
        network: cluster.network,
        serverOf: (index) => this.#serverOf(index),
        tell: (event) => cluster.tell(event),
        done: (...found) => this.#write(request, ...found),
      });
      this.#cut.begin();
      return;
    }
    this.#saveAtRest(request);
  }

  #saveAtRest(request: SaveRequest): void {
    const cluster = this.#cluster;
    const counted = new Set(request.view.workers.map(({ incarnation }) => incarnation));
    for (const worker of cluster.workers()) {
      if (!worker.alive || !counted.has(worker.incarnation)) continue;
      const isBusy = /comput|of the new weights|to evaluate|giving/;
      assert.doesNotMatch(worker.activity(), isBusy, "all rest");
    }
    const snapshot: TrainingSnapshot = structuredClone(request.snapshot);
    cluster.network.after(cluster.network.between(1, 10), () => {
      const values: ModelValue[] = [];
      const marks: ChunkMarks[] = [];
      for (const { index } of request.view.servers) {
        const server = this.#serverOf(index);
        if (server === undefined) {
          this.#fail(request, `server-${index} has not answered`);
          return;
        }
        for (const chunk of chunksOfServer(request.view, index)) {
          values[chunk] = server.values.get(chunk)!;
          marks[chunk] = server.marksOf(chunk);
        }
      }
      const held = modelVersion(marks.map(({ version }) => version));
      assert.ok((request.version ?? held) === held, "what is saved at the end was evaluated");
      if (request.why === "checkpoint") cluster.tell({ type: "copied" });
      this.#write(request, snapshot, values, marks);
    });
  }

  #write(
    { step, why, residuals }: SaveRequest,
    snapshot: TrainingSnapshot,
    values: readonly ModelValue[],
    marks: readonly ChunkMarks[],
  ): void {
    const cluster = this.#cluster;
    const { writeMs, saveProblem } = cluster.plan;
    const checkpoint: ModelCheckpoint = { step, why, snapshot, values, marks, residuals };
    cluster.network.after(writeMs ?? cluster.network.between(10, 100), () => {
      if (saveProblem !== undefined) {
        this.#fail({ step }, saveProblem);
        return;
      }
      cluster.keep(checkpoint);
      const version = Math.min(...marks.map((one) => one.version));
      cluster.tell({ type: "saved", step, version, problem: null });
    });
  }

  #fail({ step }: Pick<SaveRequest, "step">, problem: string): void {
    this.#cluster.tell({ type: "saved", step, version: 0, problem });
  }

  #serverOf(index: number): ModelServer | undefined {
    return this.#cluster.servers().find((server) => server.alive && server.rank === index);
  }
}

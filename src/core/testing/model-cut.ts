/**
 * The cut of a model cluster: has servers mark their chunks and take what is late, each at a moment
 * of its own, as the coordinator's host does over links (host/state-collection.ts).
 */
import assert from "node:assert/strict";
import { cutLimitsOf, tornAt } from "../../protocol/cut.js";
import type { ChunkMarks } from "../../protocol/messages.js";
import { chunksOfServer } from "../../protocol/view.js";
import type { CoordinatorEvent } from "../coordinator/coordinator-events.js";
import type { SaveRequest, TrainingSnapshot } from "../work/run-setup.js";
import type { ModelServer } from "./model-members.js";
import type { ModelNetwork } from "./model-network.js";
import type { ModelValue } from "./model-values.js";

/** What a cut of a model cluster stands in. */
export interface CutScene {
  readonly network: ModelNetwork;
  serverOf(index: number): ModelServer | undefined;
  tell(event: CoordinatorEvent): void;
  /** All of it is there. */
  done(snapshot: TrainingSnapshot, values: ModelValue[], marks: ChunkMarks[]): void;
}

/** One cut. */
export class ModelCut {
  readonly #scene: CutScene;
  readonly #request: SaveRequest;
  /** By chunk its server. */
  readonly #givers: ModelServer[] = [];
  readonly #marks: ChunkMarks[] = [];
  #snapshot: TrainingSnapshot | null = null;
  #isCopied = false;
  #isOver = false;

  constructor(request: SaveRequest, scene: CutScene) {
    this.#request = request;
    this.#scene = scene;
  }

  /** Asks every server. */
  begin(): void {
    const { view } = this.#request;
    for (const { index } of view.servers) {
      const server = this.#scene.serverOf(index);
      if (server === undefined) {
        this.#fail(`server-${index} has not answered`);
        return;
      }
      for (const chunk of chunksOfServer(view, index)) this.#givers[chunk] = server;
    }
    let left = this.#givers.length;
    this.#each((server, chunk) => {
      this.#marks[chunk] = server.mark(chunk);
      if (--left > 0) return;
      const limits = cutLimitsOf(this.#marks.map(({ applied }) => applied));
      this.#scene.tell({ type: "marked", limits });
      this.#each((one, index) => {
        one.cutAt(index, limits, (marks) => this.#onWhole(index, marks));
      });
    });
  }

  /** Does something at each chunk's server, in no order. */
  #each(action: (server: ModelServer, chunk: number) => void): void {
    for (const [chunk, server] of this.#givers.entries()) {
      this.#scene.network.after(this.#scene.network.between(1, 40), () => {
        if (this.#isOver) return;
        if (server.alive) action(server, chunk);
        else this.#fail(`server-${server.rank} has not answered`);
      });
    }
  }

  #onWhole(chunk: number, marks: ChunkMarks): void {
    if (this.#isOver) return;
    this.#marks[chunk] = marks;
    if (this.#givers.some((server, index) => server.copies.of(index)?.isWhole !== true)) return;
    this.#isCopied = true;
    this.#scene.tell({ type: "copied" });
    this.#endIfWhole();
  }

  /** The coordinator's part. */
  account(snapshot: TrainingSnapshot): void {
    assert.ok(this.#isCopied, "the account follows the copies");
    this.#snapshot = structuredClone(snapshot);
    this.#endIfWhole();
  }

  #endIfWhole(): void {
    if (this.#snapshot === null || !this.#isCopied || this.#isOver) return;
    this.#isOver = true;
    const torn = tornAt(
      this.#request.view.workers,
      this.#marks.map(({ applied }) => applied),
    );
    const values = this.#givers.map((server, chunk) => server.copies.of(chunk)!.value);
    const tornSteps = this.#snapshot.tornSteps + torn;
    this.#scene.done({ ...this.#snapshot, tornSteps }, values, this.#marks);
  }

  /** What is asked of servers is given up. */
  abandon(): void {
    this.#fail("the servers are asked no more");
  }

  #fail(problem: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const server of new Set(this.#givers)) if (server.alive) server.endCut();
    const { step } = this.#request;
    this.#scene.tell({ type: "saved", step, version: 0, problem, isLost: true });
  }
}

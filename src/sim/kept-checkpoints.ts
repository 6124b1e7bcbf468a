/**
 * The checkpoints of a simulated run, written and read by the store's real code on a simulated
 * disk; beside them what the ledger knew when each was written, by which it is known whether what
 * is read is what was written.
 */
import type { Layout } from "../protocol/layout.js";
import type { RunSpec } from "../protocol/run-spec.js";
import type { Random } from "../random.js";
import { readCheckpoint, writeCheckpoint } from "../store/checkpoint/checkpoint.js";
import {
  latestCheckpoint,
  pruneCheckpoints,
  readSound,
  retireLater,
} from "../store/checkpoint/checkpoint-folder.js";
import type { SavedCheckpoint } from "./saved-checkpoint.js";
import { SimulatedDisk } from "./simulated-disk.js";
import { digestOf } from "./toy-model.js";

const folder = "/run";

/** The checkpoints of one run in all its parts. */
export class KeptCheckpoints {
  readonly disk = new SimulatedDisk();
  /** By step the one that was written last, or begun. */
  readonly #begun = new Map<number, SavedCheckpoint>();
  /** The step of the last that was written to its end; -1 before the first. */
  #lastStep = -1;

  /** The run's folder is there before anything else is. */
  async open(): Promise<void> {
    await this.disk.files.makeFolder(folder);
    await this.disk.files.syncFolder("/");
  }

  /** Writes one; rejects where the disk does not take it. */
  async keep(saved: SavedCheckpoint, spec: RunSpec, layout: Layout): Promise<void> {
    const { files } = this.disk;
    const { globalStep, state, snapshot } = saved;
    const { weights, marks, residuals } = state;
    this.#begun.set(globalStep, saved);
    const facts = {
      ...{ created: "2000-01-01T00:00:00.000Z", spec, globalStep, chunks: marks, machine: {} },
      examples: Math.min(...marks.map(({ examples }) => examples)),
      cursor: JSON.parse(JSON.stringify(snapshot)),
    };
    const content = { facts, layout, weights, state: state.state, residuals };
    await writeCheckpoint(folder, content, files);
    this.#lastStep = globalStep;
    await retireLater(folder, globalStep, files);
    await pruneCheckpoints(folder, 2, files);
  }

  /**
   * The one that the run goes on from after its machine went down; null where there is none. What
   * is wrong with what is left is complained of.
   */
  async afterCrash(
    random: Random,
    complain: (kind: string, sentence: string) => void,
  ): Promise<SavedCheckpoint | null> {
    this.disk.crash(random);
    this.disk.pause = async () => {};
    this.disk.writesLeft = Number.POSITIVE_INFINITY;
    const { files } = this.disk;
    await this.open();
    const latest = await latestCheckpoint(folder, files);
    const point = { ...latest!, runDirectory: folder, skipped: [], isExact: false };
    const read = (path: string) => readCheckpoint(path, files);
    const found = latest === null ? null : await readSound(point, read, "--resume", files);
    const step = found?.point.step ?? -1;
    if (step < this.#lastStep) {
      complain("a checkpoint was lost", `of step ${this.#lastStep}, and ${step} is found`);
    }
    if (found === null) return null;
    const saved = this.#begun.get(step);
    const isSame = saved !== undefined && isAlike(found.value.weights, saved.state.weights);
    if (!isSame)
      complain("a checkpoint is another", `what is read of step ${step} is other values`);
    await retireLater(folder, step, files);
    this.#lastStep = step;
    return saved ?? null;
  }
}

function isAlike(left: Float32Array, right: Float32Array): boolean {
  return digestOf(left.slice()) === digestOf(right.slice());
}

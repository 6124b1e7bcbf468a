/**
 * The checkpoints of a simulated run, written and read by the store's real code on a simulated
 * disk; beside them what the ledger knew when each was written, by which it is known whether what
 * is read is what was written, and of the line that the run is on: a run that has gone back has
 * given up what came after, and a coordinator that slept may write some of that late.
 */
import type { Random } from "../random.js";
import { addCheckpoint } from "../store/checkpoint/add-checkpoint.js";
import { readCheckpoint } from "../store/checkpoint/checkpoint.js";
import { latestCheckpoint, readSound, retireLater } from "../store/checkpoint/checkpoint-folder.js";
import type { Files } from "../store/files.js";
import type { ClusterPlan } from "./cluster-plan.js";
import type { SavedCheckpoint } from "./saved-checkpoint.js";
import { SimulatedDisk } from "./simulated-disk.js";
import { digestOf } from "./toy-model.js";

const folder = "/run";

type Complain = (kind: string, sentence: string) => void;

/** The run has gone back to a step, and goes on as this generation. */
interface Return {
  readonly generation: number;
  readonly step: number;
}

/** The checkpoints of one run in all its parts. */
export class KeptCheckpoints {
  readonly disk = new SimulatedDisk();
  /** By step those that were written, or begun, in their order. */
  readonly #begun = new Map<number, SavedCheckpoint[]>();
  /** The step of the last that was written to its end; -1 before the first. */
  #lastStep = -1;
  /** Of the present part of the run. */
  #returns: Return[] = [];

  /** A part of the run begins: its folder is there before anything else is. */
  async open(): Promise<void> {
    // Real time, in which it is loaded for the first reading, is none that a simulated world has.
    await import("../store/checkpoint/manifest-form.js");
    this.#returns = [];
    await this.disk.files.makeFolder(folder);
    await this.disk.files.syncFolder("/");
  }

  /**
   * Writes one; rejects where the disk does not take it.
   * @param isPresent told at the end whether its writer is the present coordinator.
   */
  async keep(
    saved: SavedCheckpoint,
    { spec, layout }: Pick<ClusterPlan, "spec" | "layout">,
    files: Files,
    isPresent: () => boolean,
  ): Promise<void> {
    const { globalStep, state, snapshot } = saved;
    const { weights, marks, residuals } = state;
    this.#begun.set(globalStep, [...(this.#begun.get(globalStep) ?? []), saved]);
    const facts = {
      ...{ created: "2000-01-01T00:00:00.000Z", spec, globalStep, chunks: marks, machine: {} },
      examples: Math.min(...marks.map(({ examples }) => examples)),
      cursor: JSON.parse(JSON.stringify(snapshot)),
    };
    const content = { facts, layout, weights, state: state.state, residuals };
    await addCheckpoint(folder, content, 2, files);
    if (isPresent()) this.#lastStep = globalStep;
  }

  /**
   * The one that the run goes on from after its machine went down; null where there is none. What
   * is wrong with what is left is complained of.
   */
  async afterCrash(random: Random, complain: Complain): Promise<SavedCheckpoint | null> {
    this.disk.crash(random);
    const { files } = this.disk;
    await this.open();
    return this.#read(files, complain);
  }

  /**
   * The one that another coordinator finds, with which the run goes on as this generation; null
   * where there is none. What is wrong with it is complained of.
   */
  async latest(
    generation: number,
    files: Files,
    complain: Complain,
  ): Promise<SavedCheckpoint | null> {
    const found = await this.#read(files, complain);
    const step = found?.globalStep ?? -1;
    const givenUp = this.#returns.find((one) => {
      return found !== null && found.generation < one.generation && step > one.step;
    });
    if (givenUp !== undefined) {
      const since = `was given up when the run went back to ${givenUp.step}`;
      complain("went on from what was given up", `the checkpoint of step ${step} ${since}`);
    }
    this.#returns.push({ generation, step });
    return found;
  }

  async #read(files: Files, complain: Complain): Promise<SavedCheckpoint | null> {
    const latest = await latestCheckpoint(folder, files);
    const point = { ...latest!, runDirectory: folder, skipped: [], isExact: false };
    const read = (path: string) => readCheckpoint(path, files);
    const found = latest === null ? null : await readSound(point, read, "--resume", files);
    const step = found?.point.step ?? -1;
    if (step < this.#lastStep) {
      complain("a checkpoint was lost", `of step ${this.#lastStep}, and ${step} is found`);
    }
    if (found === null) return null;
    const saved = this.#begun
      .get(step)
      ?.findLast(({ state }) => isAlike(found.value.weights, state.weights));
    if (saved === undefined) {
      complain("a checkpoint is another", `what is read of step ${step} is other values`);
    }
    await retireLater(folder, step, files);
    this.#lastStep = step;
    return saved ?? null;
  }
}

function isAlike(left: Float32Array, right: Float32Array): boolean {
  return digestOf(left.slice()) === digestOf(right.slice());
}

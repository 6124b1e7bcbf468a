/**
 * What the reference engine asks of a layer's arithmetic: a kernel made once for a node, with all
 * its arrays at hand, so that a step allocates nothing.
 *
 * Invariant: a kernel overwrites what it is to produce, whole, for the first `n` examples; it never
 * adds to what was there. Where two nodes feed gradients into one, the executor does the adding.
 */
import type { StepSeed } from "../engine.js";
import type { Shape } from "../layer-kind.js";
import type { Layer } from "../layers.js";
import { Panel } from "./matrix.js";

/**
 * Scratch memory that the nodes of a model share, since they run one at a time. It grows while the
 * nodes are bound; what it holds lasts for one call of a kernel.
 */
export class Workspace {
  readonly panel = new Panel();
  #pictures = new Float32Array(0);

  /** Room for pictures with a margin around them. */
  get pictures(): Float32Array {
    return this.#pictures;
  }

  /** Makes room for pictures of so many values in all. */
  reservePictures(values: number): void {
    if (values > this.#pictures.length) this.#pictures = new Float32Array(values);
  }
}

/** A node's arrays. Activations and their gradients are [batchMax, ...shape]. */
export interface KernelContext<L extends Layer = Layer> {
  readonly layer: L;
  readonly name: string;
  readonly batchMax: number;
  readonly workspace: Workspace;
  /** Shape of one example, for each input. */
  readonly inputShapes: readonly Shape[];
  readonly outputShape: Shape;
  /** Values of one example, for each input. */
  readonly inputValues: readonly number[];
  /** Values of one example of the output. */
  readonly outputValues: number;
  readonly inputs: readonly Float32Array[];
  readonly output: Float32Array;
  readonly outputGradient: Float32Array;
  /** Where the gradient of each input goes; undefined where nothing below is trained. */
  readonly inputGradients: readonly (Float32Array | undefined)[];
  /** The tensors by role. */
  readonly parameters: Readonly<Record<string, Float32Array>>;
  /** Gradients of the tensors by role; for buffers and counters, their statistics. */
  readonly gradients: Readonly<Record<string, Float32Array>>;
}

/** The arithmetic of one node. */
export interface LayerKernel {
  /** Output from inputs. `seed` names the step's randomness; undefined means evaluation. */
  forward(n: number, seed: StepSeed | undefined): void;
  /** Gradients of the tensors from the output's gradient. Absent where there are none. */
  backwardTensors?(n: number): void;
  /** Gradients of the inputs that want one, from the output's gradient; after those of tensors. */
  backwardInputs(n: number): void;
}

/** Makes the kernel of one node. */
export type KernelFactory<L extends Layer = Layer> = (context: KernelContext<L>) => LayerKernel;

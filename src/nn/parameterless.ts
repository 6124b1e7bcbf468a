/**
 * The layers that own no tensors: ReLU y = max(x, 0), Flatten, Dropout (Srivastava et al. 2014, in
 * the inverted form: what is kept is scaled by 1 / (1 - rate) while training, so that evaluation is
 * the identity), and Add, which sums two nodes of one shape.
 */
import { assert } from "../assert.js";
import { type LayerKind, type Shape, valuesIn } from "./layer-kind.js";

/** y = max(x, 0), value by value. */
export interface ReluLayer {
  readonly kind: "relu";
}

/** All of an example's values in one row. */
export interface FlattenLayer {
  readonly kind: "flatten";
}

/** Each value is dropped with probability `rate`, in [0, 1), while training. */
export interface DropoutLayer {
  readonly kind: "dropout";
  readonly rate: number;
}

/** The sum of two nodes. */
export interface AddLayer {
  readonly kind: "add";
}

const none = () => [];

/** Shape of ReLU: that of its input. */
export const relu: LayerKind<ReluLayer> = {
  inputCount: 1,
  outputShape: (_layer, inputs) => only(inputs),
  tensors: none,
};

/** Shape of Flatten: one extent. */
export const flatten: LayerKind<FlattenLayer> = {
  inputCount: 1,
  outputShape: (_layer, inputs) => [valuesIn(only(inputs))],
  tensors: none,
};

/** Shape of Dropout: that of its input. */
export const dropout: LayerKind<DropoutLayer> = {
  inputCount: 1,
  outputShape(layer, inputs) {
    assert(layer.rate >= 0 && layer.rate < 1, "dropout rate in [0, 1)", { rate: layer.rate });
    return only(inputs);
  },
  tensors: none,
};

/** Shape of Add: that of both inputs. */
export const add: LayerKind<AddLayer> = {
  inputCount: 2,
  outputShape(_layer, inputs) {
    const [left, right] = inputs;
    assert(String(left) === String(right), "add takes two equal shapes", { left, right });
    return left as Shape;
  },
  tensors: none,
};

function only(inputs: readonly Shape[]): Shape {
  return inputs[0] as Shape;
}

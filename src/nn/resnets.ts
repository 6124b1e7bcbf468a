/**
 * Residual networks (He et al. 2016, arXiv 1512.03385): a stem, stages of blocks that halve the
 * picture and widen the channels, global average pool, one fully connected layer.
 *
 * resnet18, 34 and 50 have the ImageNet form's four stages, and either stem: that of ImageNet, a
 * 7x7 convolution of stride 2 and a pool of stride 2, or for small pictures a 3x3 convolution of
 * stride 1 and no pool. resnet20, 32, 44 and 56 are section 4.2's for CIFAR, 16-32-64 channels in 3
 * stages of n blocks, with the small stem. Where a block changes the shape its shortcut is a
 * projection, a 1x1 convolution with batch normalisation, in both families (section 4.2 itself pads
 * with zeros, which has no parameters). A bottleneck's stride is at its 3x3 convolution, as in
 * torchvision.
 *
 * Invariant: tensors have torchvision's names in its order; convolutions have no bias and start
 * he-normal by fan out.
 */
import type { Stem } from "../protocol/run-spec.js";
import type { Shape } from "./layer-kind.js";
import type { Layer } from "./layers.js";
import { GraphBuilder, inputId, type ModelGraph } from "./model.js";

/** What a residual network has to fit. */
export interface ResnetFit {
  /** Pictures (C, H, W) of any size; either stem takes one pixel. */
  readonly inputShape: Shape;
  readonly classes: number;
  /** Null for the plan's own, which is for small pictures. */
  readonly stem: Stem | null;
}

/** What tells residual networks apart. */
export interface ResnetPlan {
  readonly block: "basic" | "bottleneck";
  /** Channels inside the blocks of the first stage; each further stage has twice as many. */
  readonly channels: number;
  /** Blocks of each stage. */
  readonly stages: readonly number[];
  /** Whether the stem can be chosen; else it is that for small pictures. */
  readonly hasStems: boolean;
}

/** The residual networks by name. */
export const resnetPlans: Readonly<Record<string, ResnetPlan>> = {
  resnet18: { block: "basic", channels: 64, stages: [2, 2, 2, 2], hasStems: true },
  resnet34: { block: "basic", channels: 64, stages: [3, 4, 6, 3], hasStems: true },
  resnet50: { block: "bottleneck", channels: 64, stages: [3, 4, 6, 3], hasStems: true },
  resnet20: { block: "basic", channels: 16, stages: [3, 3, 3], hasStems: false },
  resnet32: { block: "basic", channels: 16, stages: [5, 5, 5], hasStems: false },
  resnet44: { block: "basic", channels: 16, stages: [7, 7, 7], hasStems: false },
  resnet56: { block: "basic", channels: 16, stages: [9, 9, 9], hasStems: false },
};

/** A bottleneck's output has this many times the channels inside it. */
const bottleneckExpansion = 4;

/** The graph of a residual network over pictures [C, H, W]. */
export function buildResnet(
  name: string,
  plan: ResnetPlan,
  { inputShape, classes, stem }: ResnetFit,
): ModelGraph {
  const builder = new GraphBuilder(name, inputShape);
  let from = builder.chain(inputId, stemLayers(plan.channels, stem ?? "cifar"));
  let width = plan.channels;
  plan.stages.forEach((blocks, stage) => {
    const inside = plan.channels * 2 ** stage;
    const outputs = plan.block === "basic" ? inside : bottleneckExpansion * inside;
    for (let block = 0; block < blocks; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const projected = stride !== 1 || width !== outputs;
      from = addBlock(builder, `layer${stage + 1}.${block}`, from, {
        layers: plan.block === "basic" ? basic(inside, stride) : bottleneck(inside, stride),
        projection: projected ? convolution(outputs, 1, stride) : null,
      });
      width = outputs;
    }
  });
  const output = builder.chain(from, [
    ["avgpool", { kind: "global-avg-pool" }],
    ["fc", { kind: "linear", outputs: classes }],
  ]);
  return builder.finish(output, "cross-entropy");
}

function stemLayers(channels: number, stem: Stem): [name: string, layer: Layer][] {
  const isLarge = stem === "imagenet";
  const layers: [string, Layer][] = [
    ["conv1", isLarge ? convolution(channels, 7, 2) : convolution(channels, 3)],
    ["bn1", { kind: "batch-norm" }],
    ["relu", { kind: "relu" }],
  ];
  const pool = { kind: "max-pool", kernel: 3, stride: 2, padding: 1 } as const;
  return isLarge ? [...layers, ["maxpool", pool]] : layers;
}

/** Convolutions with normalisation after each and ReLU between, plus the shortcut, then ReLU. */
function addBlock(
  builder: GraphBuilder,
  name: string,
  from: number,
  block: { readonly layers: readonly Layer[]; readonly projection: Layer | null },
): number {
  let branch = from;
  block.layers.forEach((layer, index) => {
    if (index > 0) branch = builder.add(`${name}.relu${index}`, { kind: "relu" }, [branch]);
    branch = builder.add(`${name}.conv${index + 1}`, layer, [branch]);
    branch = builder.add(`${name}.bn${index + 1}`, { kind: "batch-norm" }, [branch]);
  });
  let shortcut = from;
  if (block.projection !== null) {
    shortcut = builder.chain(from, [
      [`${name}.downsample.0`, block.projection],
      [`${name}.downsample.1`, { kind: "batch-norm" }],
    ]);
  }
  const sum = builder.add(`${name}.add`, { kind: "add" }, [branch, shortcut]);
  return builder.add(`${name}.relu`, { kind: "relu" }, [sum]);
}

function basic(channels: number, stride: number): Layer[] {
  return [convolution(channels, 3, stride), convolution(channels, 3)];
}

function bottleneck(channels: number, stride: number): Layer[] {
  return [
    convolution(channels, 1),
    convolution(channels, 3, stride),
    convolution(bottleneckExpansion * channels, 1),
  ];
}

/** Keeps the picture's extents at stride 1. */
function convolution(outputs: number, kernel: number, stride = 1): Layer {
  const padding = (kernel - 1) / 2;
  return { kind: "conv2d", outputs, kernel, stride, padding, bias: false, start: "he-normal" };
}

/** What `paceline bench engine` measures: one model in one type on so many threads. */
import { assert } from "../../assert.js";
import { InputPipeline } from "../../data/pipeline.js";
import type { Executor } from "../../nn/engine.js";
import { createEngine } from "../../nn/engines.js";
import { type Shape, valuesIn } from "../../nn/layer-kind.js";
import type { ModelGraph } from "../../nn/model.js";
import { buildModel, stemmedModels } from "../../nn/models.js";
import { resnetPlans } from "../../nn/resnets.js";
import { bindStandalone } from "../../nn/standalone.js";
import type { EngineChoice, Stem } from "../../protocol/run-spec.js";
import { Random } from "../../random.js";

/** One configuration; plain data, so that it can be handed to another process. */
export interface Subject {
  readonly model: string;
  /** Null for the model's own beginning. */
  readonly stem: Stem | null;
  readonly dtype: "f32" | "bf16";
  readonly batch: number;
  readonly threads: number;
  readonly engine: EngineChoice;
  /** Where choices of kernels are kept while the benchmark runs. */
  readonly kernelCache: string | null;
}

/** The name of a configuration in rows, such as resnet18-cifar/f32/b64/t2. */
export function subjectName({ model, stem, dtype, batch, threads }: Subject): string {
  const title = stemmedModels.includes(model) ? `${model}-${stem ?? "cifar"}` : model;
  return `${title}/${dtype}/b${batch}/t${threads}`;
}

/**
 * The model; a residual one has the classes and pictures of CIFAR-100, or ImageNet's with
 * its stem.
 */
export function graphOf({ model, stem }: Pick<Subject, "model" | "stem">): ModelGraph {
  if (stem === "imagenet") {
    return buildModel(model, { stem, classes: 1000, inputShape: [3, 224, 224] });
  }
  return buildModel(model, Object.hasOwn(resnetPlans, model) ? { stem, classes: 100 } : { stem });
}

/** A configuration that is ready to run. */
export interface BoundSubject {
  readonly graph: ModelGraph;
  readonly executor: Executor;
  /** What computes, in words. */
  readonly reason: string;
  /** Seconds that so many training steps take. */
  steps(count: number): number;
  /** Seconds that it takes to prepare so many batches: crop, flip, normalise. */
  prepare(count: number): number;
  close(): void;
}

/**
 * Binds a configuration and makes its batch: random pictures, random labels.
 * @throws PacelineError `usage` when the engine, or the model with this stem, is unavailable.
 */
export function bindSubject(subject: Subject): BoundSubject {
  const { batch, dtype, threads } = subject;
  const graph = graphOf(subject);
  const kernels = { mode: "measured", cacheFile: subject.kernelCache, recorded: [] } as const;
  const { engine, reason } = createEngine(subject.engine, { dtype, threads, kernels });
  const { executor } = bindStandalone(engine, graph, 1, batch);
  const random = new Random(1, "pictures");
  const x = Float32Array.from({ length: batch * valuesIn(graph.inputShape) }, () =>
    random.normal(),
  );
  const y = Int32Array.from({ length: batch }, () => random.below(graph.classes));
  // Made when it is wanted: a process whose memory is measured does without.
  let preparation: ((count: number) => number) | null = null;
  return {
    graph,
    executor,
    reason,
    steps: (count) =>
      secondsOf(count, () => {
        executor.step({ x, y, n: batch }, [], () => {});
      }),
    prepare(count) {
      preparation ??= preparationOf(graph.inputShape, batch);
      return preparation(count);
    },
    close: () => executor.close(),
  };
}

/** The steps of `paceline train --augment crop,flip`, on bytes that are no file's. */
function preparationOf(shape: Shape, batch: number): (count: number) => number {
  const [channels = 0, height = 0, width = 0] = shape;
  assert(shape.length === 3, "a model takes pictures", { shape });
  const each = Array.from({ length: channels }, () => 0.5);
  const augment = { cropPadding: 4, flip: true, standardise: false };
  const facts = { shape: [channels, height, width], mean: each, std: each, augment } as const;
  const pipeline = new InputPipeline(facts);
  const random = new Random(1, "bytes");
  const pixels = Uint8Array.from({ length: batch * pipeline.valueCount }, () => random.below(256));
  const values = new Float32Array(pixels.length);
  return (count) => secondsOf(count, () => pipeline.fill(pixels, batch, values, random));
}

function secondsOf(count: number, action: () => void): number {
  const startedMs = performance.now();
  for (let index = 0; index < count; index++) action();
  return (performance.now() - startedMs) / 1000;
}

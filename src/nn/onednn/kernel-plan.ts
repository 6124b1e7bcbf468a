/**
 * The choices for a model's convolutions. A run that goes on takes what it has recorded; else what
 * this machine's cache holds; else all is measured, the largest convolutions first, for some
 * seconds at the most, and kept. Where nothing may be measured or kept the rule decides.
 *
 * A model is planned for its usual batch; rests and evaluations take that batch's choices, so that
 * their bits do not depend on who comes first.
 *
 * Invariant: processes of one machine that share a cache, a library and a number of threads choose
 * alike, however often and in whatever order they start.
 */
import { cpus } from "node:os";
import { sentenceOf } from "../../system-reason.js";
import type { ModelGraph } from "../model.js";
import { inputId } from "../model.js";
import { type ConvolutionPlace, candidatesFor, flopsOf, placeOf, titleOf } from "./algorithms.js";
import type { DataType, Dnnl } from "./dnnl.js";
import { addKernels, readKernels } from "./kernel-cache.js";
import {
  choicesOfLines,
  chooseKernels,
  type KernelChoice,
  type KernelTiming,
  lineOfChoice,
  ruledKernels,
} from "./kernel-choice.js";
import { timeKernels } from "./kernel-timing.js";

/** Where choices come from. */
export interface KernelSource {
  readonly mode: "measured" | "rule";
  /** The machine's cache; without one the rule decides. */
  readonly cacheFile: string | null;
  /** Lines of the run that is resumed. */
  readonly recorded: readonly string[];
}

/** The rule alone: what holds where nobody says anything. */
export const ruleOnly: KernelSource = { mode: "rule", cacheFile: null, recorded: [] };

/** What a plan is made for. */
export interface PlannedModel {
  readonly graph: ModelGraph;
  /** Examples of the usual batch. */
  readonly n: number;
  readonly type: DataType;
  readonly threads: number;
}

/** The choices of a model. */
export interface KernelPlan {
  /** For any number of examples. */
  choiceOf(place: ConvolutionPlace): KernelChoice;
  /** A line for each convolution that there was a choice for. */
  readonly lines: readonly string[];
}

/** Measures one convolution; null where that is not done at this time of `performance.now`. */
export type KernelMeasure = (
  dnnl: Dnnl,
  place: ConvolutionPlace,
  deadlineMs: number,
) => readonly KernelTiming[] | null;

/**
 * The longest that one model's convolutions are measured for; the last one that is begun may take
 * as long again.
 */
export const measuringMsMax = 4000;

const measureKernels: KernelMeasure = (dnnl, place, deadlineMs) =>
  timeKernels(dnnl, place, { repeats: 3, milliseconds: 60 }, deadlineMs);

/** What a machine's choices are kept under. */
export function machineKey(
  { version, instructionSet }: Pick<Dnnl, "version" | "instructionSet">,
  threads: number,
): string {
  const processor = cpus()[0]?.model.trim() ?? "unknown processor";
  return `${processor}, oneDNN ${version}, ${instructionSet}, ${threads} threads`;
}

/** Chooses for every convolution of a model. */
export function planKernels(
  dnnl: Dnnl,
  model: PlannedModel,
  { mode, cacheFile, recorded }: KernelSource = ruleOnly,
  measure: KernelMeasure = measureKernels,
): KernelPlan {
  const places = placesOf(model).filter((place) => candidatesFor(place, dnnl).length > 1);
  const choices = choicesOfLines(recorded);
  const missing = () => places.filter((place) => !choices.has(titleOf(place)));
  const adopt = (lines: readonly string[]) => {
    for (const [title, choice] of choicesOfLines(lines)) {
      if (!choices.has(title)) choices.set(title, choice);
    }
  };
  let reason = mode === "rule" ? "as asked for" : "there is no folder to keep measurements in";
  if (mode === "measured" && cacheFile !== null && missing().length > 0) {
    const machine = machineKey(dnnl, model.threads);
    try {
      adopt(readKernels(cacheFile, machine).lines);
      if (missing().length > 0) {
        const fill = (known: readonly string[], renew: () => void) => {
          adopt(known);
          return measured(dnnl, missing(), measure, renew);
        };
        adopt(addKernels(cacheFile, machine, fill));
      }
    } catch (thrown) {
      reason = `measurements can't be kept (${sentenceOf(thrown)})`;
    }
  }
  const ruled = (place: ConvolutionPlace) => ruledKernels(place, dnnl, reason);
  const chosen = places.map((place) => ({
    place,
    choice: choices.get(titleOf(place)) ?? ruled(place),
  }));
  const byTitle = new Map(chosen.map(({ place, choice }) => [titleOf(place), choice]));
  return {
    choiceOf: (place) => byTitle.get(titleOf({ ...place, n: model.n })) ?? ruled(place),
    lines: chosen.map(({ place, choice }) => lineOfChoice(place, choice)).sort(),
  };
}

/** Lines for these convolutions; by the rule for those that no time is left for. */
function measured(
  dnnl: Dnnl,
  places: readonly ConvolutionPlace[],
  measure: KernelMeasure,
  renew: () => void,
): string[] {
  const endMs = performance.now() + measuringMsMax;
  const ordered = places.toSorted((left, right) => flopsOf(right) - flopsOf(left));
  return ordered.map((place) => {
    renew();
    const isOver = performance.now() > endMs;
    const timings = isOver ? null : measure(dnnl, place, endMs + measuringMsMax);
    const choice =
      timings === null
        ? ruledKernels(place, dnnl, "the time for measuring ran out")
        : chooseKernels(place, timings);
    return lineOfChoice(place, choice);
  });
}

/** The distinct convolutions of the usual batch. */
function placesOf({ graph, n, type }: PlannedModel): ConvolutionPlace[] {
  const places = new Map<string, ConvolutionPlace>();
  for (const { layer, inputs } of graph.nodes) {
    if (layer.kind !== "conv2d") continue;
    const [input = inputId] = inputs;
    const shape = input === inputId ? graph.inputShape : graph.nodes[input - 1]?.shape;
    const place = placeOf(layer, shape, { n, type });
    places.set(titleOf(place), place);
  }
  return [...places.values()];
}

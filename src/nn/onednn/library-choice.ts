/**
 * Which library computes a model where both versions are here: the one whose training step is
 * faster on this machine. It is chosen for a whole model, type, batch and number of threads, since
 * arrays in one library's blocks mean nothing to the other: each convolution that changed sides
 * would pay for two copies by way of row-major arrays. Within a library kernels are chosen one by
 * one (kernel-plan.ts).
 *
 * The choice is measured, kept and recorded as those are, as a line of text.
 */
import { createHash } from "node:crypto";
import { sentenceOf } from "../../system-reason.js";
import type { Dnnl } from "./dnnl.js";
import { addKernels, readKernels } from "./kernel-cache.js";
import { libraryMarker } from "./kernel-choice.js";
import { type KernelSource, machineKey, type PlannedModel } from "./kernel-plan.js";

/** A library and, where there was a choice, the line that tells of it. */
export interface ChosenLibrary {
  readonly dnnl: Dnnl;
  readonly line: string | null;
}

/** A model bound to a library, to be measured. */
export interface StepTrial {
  /** One training step. */
  step(): void;
  close(): void;
}

/** Most steps that count with each library, and after how long no further one is begun. */
const measuring = { rounds: 5, milliseconds: 1500 };

/** What a library may take of the time of one before it for it to be chosen. */
const mostOfFirst = 0.95;

/**
 * One of the libraries, the first unless another is known or measured to be faster.
 * @param trial binds the model to a library.
 */
export function chooseLibrary(
  libraries: readonly [Dnnl, ...Dnnl[]],
  model: PlannedModel,
  { mode, cacheFile, recorded }: KernelSource,
  trial: (dnnl: Dnnl) => StepTrial,
): ChosenLibrary {
  const [first] = libraries;
  if (libraries.length === 1) return { dnnl: first, line: null };
  const title = titleOf(model);
  const found = (lines: readonly string[]): ChosenLibrary | null => {
    const own = lines.filter((line) => line.startsWith(`${title}: oneDNN `));
    const named = libraries.filter(({ version }) =>
      own.some((line) => line.startsWith(`${title}: oneDNN ${version} `)),
    );
    // Lines of machines that chose differently decide nothing.
    const [dnnl, ...others] = named;
    const line = own.find((one) => one.startsWith(`${title}: oneDNN ${dnnl?.version} `));
    return dnnl !== undefined && others.length === 0 && line !== undefined ? { dnnl, line } : null;
  };
  const ruled = (why: string) => {
    const line = `${title}: oneDNN ${first.version} (by the rule: ${why})`;
    return found(recorded) ?? { dnnl: first, line };
  };
  if (mode === "rule") return ruled("as asked for");
  if (cacheFile === null) return ruled("there is no folder to keep measurements in");
  const version = libraries.map((one) => one.version).join(" and ");
  const machine = machineKey({ version, instructionSet: first.instructionSet }, model.threads);
  const measure = (known: readonly string[]) => {
    return found(known) === null ? [measured(title, libraries, trial)] : [];
  };
  const kept = () => found(readKernels(cacheFile, machine).lines);
  try {
    const chosen = found(recorded) ?? kept() ?? found(addKernels(cacheFile, machine, measure));
    return chosen ?? ruled("the cache contradicts itself");
  } catch (thrown) {
    return ruled(`measurements can't be kept (${sentenceOf(thrown)})`);
  }
}

/** The line that the fastest library gets for what each took. */
export function lineOfLibraries(
  title: string,
  steps: readonly { readonly version: string; readonly seconds: number }[],
): string {
  const [first, ...others] = steps as [(typeof steps)[number], ...(typeof steps)[number][]];
  const faster = others.find(({ seconds }) => seconds < mostOfFirst * first.seconds);
  const told = steps.map(({ version, seconds }) => {
    return `${version} ${(1000 * seconds).toFixed(2)} ms`;
  });
  const { version } = faster ?? first;
  return `${title}: oneDNN ${version} (measured: a step with ${told.join(", with ")})`;
}

function measured(
  title: string,
  libraries: readonly Dnnl[],
  trial: (dnnl: Dnnl) => StepTrial,
): string {
  // One after the other, so that no more memory is taken than the run will need.
  const steps = libraries.map((dnnl) => {
    const { step, close } = trial(dnnl);
    step();
    let bestMs = Number.POSITIVE_INFINITY;
    const endMs = performance.now() + measuring.milliseconds;
    for (let round = 0; round < measuring.rounds; round++) {
      if (round > 0 && performance.now() > endMs) break;
      const startedMs = performance.now();
      step();
      bestMs = Math.min(bestMs, performance.now() - startedMs);
    }
    close();
    return { version: dnnl.version, seconds: bestMs / 1000 };
  });
  return lineOfLibraries(title, steps);
}

/** The model by its name and a print of its layers, as names may stand for other shapes. */
function titleOf({ graph, n, type, threads }: PlannedModel): string {
  const layers = JSON.stringify([graph.inputShape, graph.nodes]);
  const print = createHash("sha256").update(layers).digest("hex").slice(0, 8);
  return `${libraryMarker}${graph.name} (${print}) ${type} batch ${n} threads ${threads}`;
}

/**
 * Looks at a checkpoint as a doubter would: every byte of its files, whether the manifest
 * agrees with itself and with the model it names, and whether the values can be computed with. All
 * that is wrong is told, not the first fault alone; nothing is written.
 */
import { basename } from "node:path";
import { PacelineError } from "../../errors.js";
import {
  chunkValuesMax,
  type Layout,
  layOut,
  parameterGroups,
  type TensorSpec,
  tensorDifference,
} from "../../protocol/layout.js";
import { servedRule } from "../../protocol/local/local-steps.js";
import type { Residuals } from "../../protocol/residuals.js";
import { modelTitle, type RunSpec } from "../../protocol/run-spec.js";
import { diskFiles, type Files } from "../files.js";
import { orMissing, readResiduals, readState, readWeights } from "./checkpoint.js";
import { readManifest } from "./checkpoint-folder.js";
import { type CheckpointManifest, residualRanks } from "./manifest.js";
import { quoted } from "./safetensors-header.js";
import { workerVectors } from "./worker-vectors.js";

/** What was found. */
export interface CheckedCheckpoint {
  readonly path: string;
  /** Null where the manifest can't be read. */
  readonly manifest: CheckpointManifest | null;
  /** A sentence for each fault, with the value and the remedy; none for a sound checkpoint. */
  readonly problems: readonly string[];
}

/** What a run spec demands of a checkpoint. It comes from who knows models and update rules. */
export interface Demands {
  readonly tensors: readonly TensorSpec[];
  readonly stateParts: number;
}

/** Answers the demands of a spec; a PacelineError where its model can't be built. */
export type DemandsOf = (spec: RunSpec) => Demands;

/** What a tensor's values are like. */
export interface ValueFacts {
  /** The least, the mean, the largest and the Euclidean norm; null where a value is not finite. */
  readonly min: number | null;
  readonly mean: number | null;
  readonly max: number | null;
  readonly norm: number | null;
  /** How many are not finite. */
  readonly nonFinite: number;
}

/** Reads all of a checkpoint and tells what is wrong with it; a fault is never thrown. */
export async function checkCheckpoint(
  path: string,
  demandsOf: DemandsOf,
  files: Files = diskFiles,
): Promise<CheckedCheckpoint> {
  const problems: string[] = [];
  const attempt = async <T>(reading: Promise<T>): Promise<T | null> => {
    try {
      return await reading;
    } catch (thrown) {
      if (!(thrown instanceof PacelineError)) throw thrown;
      problems.push(thrown.message);
      return null;
    }
  };
  const manifest = await attempt(orMissing(readManifest(path, files)));
  if (manifest === null) return { path, manifest, problems };
  problems.push(...manifestFaults(manifest, path, demandsOf));
  const weights = await attempt(readWeights(path, manifest, files));
  if (weights !== null) problems.push(...valueFaults(weights, manifest, path, null));
  const state = await attempt(readState(path, manifest, files));
  for (const [part, vector] of (state ?? []).entries()) {
    problems.push(...valueFaults(vector, manifest, path, part));
  }
  const residuals = await attempt(readResiduals(path, manifest, files));
  for (const one of residuals ?? []) problems.push(...residualFaults(one, manifest, path));
  return { path, manifest, problems };
}

/**
 * Refuses, with a `checkpoint` error, a checkpoint whose manifest disagrees with itself or with the
 * model it names.
 */
export function demandOwnModel(
  manifest: CheckpointManifest,
  path: string,
  demandsOf: DemandsOf,
): void {
  const [fault] = manifestFaults(manifest, path, demandsOf);
  if (fault !== undefined) throw new PacelineError("checkpoint", fault);
}

/** The first value that a model can't be computed with, as a sentence; null if there is none. */
export function valueFault(
  { name, group }: Layout["tensors"][number],
  values: Float32Array,
): string | null {
  const whole = group === "counter";
  // By index: an iterator would make an object for each of millions of values.
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    if (Number.isFinite(value) && !(whole && (value < 0 || !Number.isSafeInteger(value)))) continue;
    const place = `tensor ${quoted(name)} holds ${value} at value ${index} of ${values.length}`;
    if (!Number.isFinite(value)) return `${place}: the run had diverged`;
    return `${place}, and a counter is a whole number of at least 0`;
  }
  return null;
}

/** Sums in double precision, in the order of the values. */
export function valueFacts(values: Float32Array): ValueFacts {
  let [min, max, sum, squares, nonFinite] = [Infinity, -Infinity, 0, 0, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) nonFinite += 1;
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    squares += value * value;
  }
  const isTold = nonFinite === 0 && values.length > 0;
  const told = (value: number): number | null => (isTold ? value : null);
  return {
    min: told(min),
    mean: told(sum / values.length),
    max: told(max),
    norm: told(Math.sqrt(squares)),
    nonFinite,
  };
}

function manifestFaults(
  manifest: CheckpointManifest,
  path: string,
  demandsOf: DemandsOf,
): readonly string[] {
  const { layout, spec, globalStep } = manifest;
  const faults: string[] = [];
  const fault = (what: string) =>
    faults.push(`${path} contradicts itself: ${what}; choose another checkpoint`);
  const [, step] = /^(?:\.old-)?step-(\d+)$/.exec(basename(path)) ?? [];
  if (step !== undefined && Number(step) !== globalStep) {
    fault(`its folder says step ${Number(step)} and its manifest ${globalStep}`);
  }
  for (const one of layoutFaults(manifest)) fault(one);
  const stranger = residualRanks(manifest).find((rank) => rank >= spec.workersMax);
  if (stranger !== undefined) {
    const most = `${spec.workersMax} worker${spec.workersMax === 1 ? "" : "s"}`;
    fault(`it holds residuals of worker ${stranger}, and its run had ${most}`);
  }
  const demands = demandsOrFault(spec, path, demandsOf);
  if (typeof demands === "string") return [...faults, demands];
  const difference = tensorDifference(demands.tensors, layout.tensors);
  if (difference !== null) {
    faults.push(
      `${path} is not of model ${quoted(modelTitle(spec))} as this Paceline builds it: ` +
        `${difference.replace("the run's", "the model")}; choose another checkpoint`,
    );
  }
  if (demands.stateParts !== manifest.stateParts) {
    const rule = servedRule(spec).name;
    fault(`it holds ${manifest.stateParts} parts of state, and ${rule} has ${demands.stateParts}`);
  }
  return faults;
}

/** What the layout claims is counted before it is laid out, so that a lie makes nothing large. */
function layoutFaults({ layout, chunks }: CheckpointManifest): string[] {
  const { tensors, chunkValues, fingerprint } = layout;
  if (chunkValues > chunkValuesMax) {
    return [`its chunks have ${chunkValues} values; at most ${chunkValuesMax} are allowed`];
  }
  const counts = parameterGroups.map((group) => {
    const members = tensors.filter((tensor) => tensor.group === group);
    return Math.ceil(members.reduce((sum, { length }) => sum + length, 0) / chunkValues);
  });
  const count = counts.reduce((sum, one) => sum + one, 0);
  if (count !== chunks.length) return [`it has marks of ${chunks.length} chunks, not of ${count}`];
  const own = layOut(tensors, chunkValues);
  const astray = own.tensors.find(({ offset }, at) => offset !== tensors[at]!.offset);
  if (astray !== undefined) {
    return [`tensor ${quoted(astray.name)} does not start at value ${astray.offset}`];
  }
  if (own.fingerprint === fingerprint) return [];
  return [`its layout's fingerprint is ${quoted(fingerprint)}, not ${own.fingerprint}`];
}

function demandsOrFault(spec: RunSpec, path: string, demandsOf: DemandsOf): Demands | string {
  try {
    return demandsOf(spec);
  } catch (thrown) {
    if (!(thrown instanceof PacelineError)) throw thrown;
    return `${path} is of a model that can't be built here: ${thrown.message}`;
  }
}

/** Of the weights, or of one part of the state, which is zero for buffers and counters. */
function valueFaults(
  vector: Float32Array,
  { layout }: CheckpointManifest,
  path: string,
  part: number | null,
): string[] {
  const where = part === null ? "" : ` in part ${part + 1} of the state`;
  return layout.tensors.flatMap((tensor) => {
    const { offset, length, group } = tensor;
    const rule = { ...tensor, group: part === null ? group : ("weight" as const) };
    const fault = valueFault(rule, vector.subarray(offset, offset + length));
    if (fault === null) return [];
    return [`${path}: ${fault}${where}; choose an earlier checkpoint`];
  });
}

function residualFaults(
  { rank, values }: Residuals,
  { spec, layout }: CheckpointManifest,
  path: string,
): string[] {
  return workerVectors(spec, layout).flatMap(({ title, tensors, offset: start }) =>
    tensors.flatMap((tensor) => {
      const [from, to] = [start + tensor.offset, start + tensor.offset + tensor.length];
      const fault = valueFault({ ...tensor, group: "weight" }, values.subarray(from, to));
      if (fault === null) return [];
      return [`${path}: ${fault} in the ${title} of worker ${rank}; choose an earlier checkpoint`];
    }),
  );
}

/** What `paceline doctor` says of the kernels that compute convolutions here, and why these. */
import { availableParallelism } from "node:os";
import { createEngine } from "../../nn/engines.js";
import { buildModel } from "../../nn/models.js";
import { keptKernels, kernelCacheFile } from "../../nn/onednn/kernel-cache.js";
import { tellsChoice } from "../../nn/onednn/kernel-choice.js";
import { openAllDnnl } from "../../nn/onednn/library.js";
import { bindStandalone } from "../../nn/standalone.js";
import type { Finding } from "./doctor.js";

/** A model with the 3x3 convolutions of residual networks, and its usual batch. */
const tried = { model: "resnet20", batch: 64 };

/** Chooses for a small residual network as a run would, and tells what is kept in the cache. */
export function kernelsFinding(cacheDir: string): Finding {
  const name = "kernels";
  const libraries = openAllDnnl();
  const [first] = libraries;
  if (first === undefined) {
    const text = "the reference engine has one kernel for each layer: nothing to choose";
    return { name, state: "ok", text };
  }
  const cacheFile = kernelCacheFile(cacheDir);
  const types = first.dnnl.hasBf16 ? (["f32", "bf16"] as const) : (["f32"] as const);
  const notes = types.flatMap((dtype) => notesOf(dtype, cacheFile));
  const choices = notes.filter(tellsChoice);
  if (choices.length === 0) {
    const { version, instructionSet } = first.dnnl;
    const used = [...new Set(notes.flatMap((note) => note.match(/\S*(jit|gemm)\S*/g) ?? []))];
    const kernels = used.map((one) => one.replace(/,$/, "")).sort();
    const text =
      `oneDNN ${version} on ${instructionSet} has one way for each convolution ` +
      `(${[...new Set(kernels)].join(", ")}): nothing to choose`;
    return { name, state: "ok", text };
  }
  const kept = Object.entries(keptKernels(cacheFile));
  const count = kept.reduce((sum, [, { lines }]) => sum + lines.length, 0);
  const last = kept.map(([, { measured }]) => measured ?? "").sort();
  const where =
    count === 0
      ? `nothing is cached in ${cacheFile}`
      : `${count} choices are cached in ${cacheFile}, the last measured ${last.at(-1)}`;
  const text = `chosen for ${tried.model}, batch ${tried.batch}; ${where}`;
  return { name, state: count === 0 ? "warning" : "ok", text, lines: choices };
}

function notesOf(dtype: "f32" | "bf16", cacheFile: string): readonly string[] {
  const kernels = { mode: "measured", cacheFile, recorded: [] } as const;
  const request = { dtype, threads: availableParallelism(), kernels };
  const { engine } = createEngine("onednn", request);
  const { executor } = bindStandalone(engine, buildModel(tried.model), 1, tried.batch);
  const notes = executor.prepare(tried.batch);
  executor.close();
  return notes;
}

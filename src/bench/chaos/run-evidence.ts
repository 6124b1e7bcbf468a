/**
 * What a run has left that tells whether anything was lost: the steps and answered pushes of every
 * worker's process, from their traces, and what the servers counted, from the last checkpoint.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readTrace } from "../../runtime/trace/trace-file.js";

/** What workers say of themselves, by the pid of each process. */
export interface WorkerEvidence {
  /** Moments at which steps began, in milliseconds since 1970, ascending. */
  readonly begins: Map<number, number[]>;
  /** By chunk: how many of the process's pushes were answered. */
  readonly answered: Map<number, Map<number, number>>;
}

/** Reads the traces of all workers of a folder. */
export async function readWorkers(folder: string): Promise<WorkerEvidence> {
  const begins = new Map<number, number[]>();
  const answered = new Map<number, Map<number, number>>();
  for (const name of await readdir(folder)) {
    const chunks = new Map<string, number>();
    for await (const { name: what, ph, pid, tid, ts, args } of readTrace(join(folder, name))) {
      const track = `${pid}/${tid}`;
      if (what === "thread_name") {
        const chunk = /^chunk (\d+)$/.exec(args?.name ?? "")?.[1];
        if (chunk !== undefined) chunks.set(track, Number(chunk));
      }
      if (ph !== "X" || ts === undefined) continue;
      if (/^step \d+$/.test(what)) of(begins, pid, () => []).push(ts / 1000);
      const chunk = chunks.get(track);
      if (chunk === undefined || !what.startsWith("push of step ")) continue;
      const counts = of(answered, pid, () => new Map<number, number>());
      counts.set(chunk, (counts.get(chunk) ?? 0) + 1);
    }
  }
  for (const moments of begins.values()) moments.sort((left, right) => left - right);
  return { begins, answered };
}

/** What the servers counted, as the last checkpoint has it. */
export interface ServerEvidence {
  readonly step: number;
  /** SHA-256 of the weights. */
  readonly weights: string;
  /** By chunk: examples that its weights have seen. */
  readonly examples: readonly number[];
  /** Of all epochs, those under way too. */
  readonly counted: number;
  /** By chunk: how often it was updated. */
  readonly versions: readonly number[];
}

/** Reads the last checkpoint of a run's folder. */
export async function readCheckpoint(folder: string): Promise<ServerEvidence> {
  const checkpoints = join(folder, "checkpoints");
  const names = (await readdir(checkpoints)).filter((name) => name.startsWith("step-"));
  const step = Math.max(...names.map((name) => Number(name.slice("step-".length))));
  const path = join(checkpoints, `step-${step}`);
  const manifest = JSON.parse(await readFile(join(path, "manifest.json"), "utf8")) as Manifest;
  const weights = await readFile(join(path, "model.safetensors"));
  const { epochs, openEpochs } = manifest.cursor;
  return {
    step,
    weights: createHash("sha256").update(weights).digest("hex"),
    examples: manifest.chunks.map(({ examples }) => examples),
    counted: [...epochs, ...openEpochs].reduce((sum, { examples }) => sum + examples, 0),
    versions: manifest.chunks.map(({ version }) => version),
  };
}

interface Manifest {
  readonly cursor: {
    readonly epochs: readonly { readonly examples: number }[];
    readonly openEpochs: readonly { readonly examples: number }[];
  };
  readonly chunks: readonly { readonly version: number; readonly examples: number }[];
}

function of<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const there = map.get(key) ?? make();
  map.set(key, there);
  return there;
}

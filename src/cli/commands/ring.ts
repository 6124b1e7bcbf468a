/** `paceline ring`: where each chunk of a model goes, the load of each server, and what moves. */

import { PacelineError } from "../../errors.js";
import { buildModel, stemmedModels } from "../../nn/models.js";
import type { ResolvedOptions } from "../../options/resolved-options.js";
import { layOut } from "../../protocol/layout.js";
import {
  movesBetween,
  type Placement,
  placeChunks,
  ringName,
} from "../../protocol/placement/placement.js";
import { didYouMean } from "../../suggest.js";

/** What `paceline ring --json` prints; loads and moves are counted in values. */
export interface RingReport {
  readonly loads: Readonly<Record<string, number>>;
  /** By server that gains: how many values, and from which servers. Empty unless one is removed. */
  readonly moved: Readonly<Record<string, number>>;
  readonly chunks: number;
  readonly values: number;
  /** Load of each server after the removal. */
  readonly loadsAfter?: Readonly<Record<string, number>>;
}

/** Places a model's chunks, then again without the server of this name. */
export function ringReport(options: ResolvedOptions, removed: string | null): RingReport {
  const { chunkValues } = options;
  const model = options.model ?? "logistic";
  // A config file may set the stem of a model that a flag has overridden.
  const stem = stemmedModels.includes(model) ? options.stem : null;
  const layout = layOut(buildModel(model, { stem }).tensors, chunkValues);
  const servers = Array.from({ length: options.servers.min }, (_, index) => index);
  const { virtualNodes, loadBound } = options;
  const place = (among: readonly number[]) =>
    placeChunks({ chunks: layout.chunks, servers: among, virtualNodes, loadBound });
  const before = place(servers);
  const report = {
    loads: loadsOf(before),
    moved: {},
    chunks: layout.chunks.length,
    values: layout.values,
  };
  if (removed === null) return report;
  const after = place(withoutServer(servers, removed));
  const moved: Record<string, number> = {};
  for (const { chunk, to } of movesBetween(before.primaries, after.primaries)) {
    const name = ringName(to);
    moved[name] = (moved[name] ?? 0) + layout.chunks[chunk]!.length;
  }
  const sorted = Object.fromEntries(
    Object.entries(moved).sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })),
  );
  return { ...report, moved: sorted, loadsAfter: loadsOf(after) };
}

/** The report as a table for people. */
export function printRing(report: RingReport, removed: string | null): string {
  const lines = [`${report.chunks} chunks, ${report.values} values`];
  const mean = report.values / Object.keys(report.loads).length;
  for (const [server, load] of Object.entries(report.loads)) {
    const share = mean === 0 ? 0 : Math.round((100 * load) / mean);
    const gained = report.moved[server];
    const move = server === removed ? "  removed" : gained === undefined ? "" : `  +${gained}`;
    lines.push(`${server.padEnd(10)} ${String(load).padStart(10)}  ${share}% of the mean${move}`);
  }
  if (removed !== null) {
    const total = Object.values(report.moved).reduce((sum, count) => sum + count, 0);
    lines.push(`removing ${removed} moves ${total} of ${report.values} values`);
  }
  return `${lines.join("\n")}\n`;
}

function loadsOf(placement: Placement): Record<string, number> {
  return Object.fromEntries(
    [...placement.loads].map(([index, { values }]) => [ringName(index), values]),
  );
}

function withoutServer(servers: readonly number[], removed: string): number[] {
  const rest = servers.filter((index) => ringName(index) !== removed);
  if (rest.length === servers.length) {
    const hint = didYouMean(removed, servers.map(ringName));
    const last = ringName(servers.length - 1);
    const sentence = `--remove ${removed} names no server${hint}; write one of server0 to ${last}`;
    throw new PacelineError("usage", sentence);
  }
  if (rest.length > 0) return rest;
  throw new PacelineError("usage", `--remove ${removed} leaves no server; raise --servers`);
}

/**
 * `--trace`: each member writes a file of spans, and when the run is over they become one. What
 * goes wrong with a trace is said and ends no run.
 */

import { basename, dirname, join } from "node:path";
import { toPacelineError } from "../../errors.js";
import type { MemberRole } from "../../protocol/identity.js";
import { diskFiles } from "../../store/files.js";
import { joinTraces, TraceFile } from "./trace-file.js";

/** This process's part of a trace, begun or continued; null where none is wanted. */
export async function openProcessTrace(traceFile: string | null): Promise<TraceFile | null> {
  if (traceFile === null) return null;
  await diskFiles.makeFolder(dirname(traceFile));
  const name = basename(traceFile, ".json");
  const { timeOrigin: originMs } = performance;
  return TraceFile.open(traceFile, { name, pid: process.pid, originMs });
}

/** Ends it. */
export async function closeProcessTrace(
  trace: TraceFile | null,
  log: (text: string) => void,
): Promise<void> {
  try {
    await trace?.close();
  } catch (thrown) {
    log(`the trace is incomplete: ${toPacelineError(thrown).message}`);
  }
}

/** For a compute thread's options: its spans become part of the process's trace. */
export function computeSpansTo(trace: TraceFile | null) {
  if (trace === null) return {};
  const { timeOrigin } = performance;
  return {
    onSpan: ({ name, startMs, endMs }: { name: string; startMs: number; endMs: number }) =>
      trace.span("compute", name, startMs - timeOrigin, endMs - timeOrigin),
  };
}

/** The trace files of a run's members, which are joined into one at the end. */
export class RunTrace {
  readonly #folder: string;
  readonly #into: string;
  readonly #begunMs = Date.now();

  /** @param runPath the run's folder. */
  constructor(runPath: string) {
    this.#folder = join(runPath, "trace");
    this.#into = join(runPath, "trace.json");
  }

  /** What a member is told on its command line. */
  argumentsOf(role: MemberRole, rank: number): string[] {
    return ["--trace-file", join(this.#folder, `${role}-${rank}.json`)];
  }

  /** Makes one file of those that the members have left. */
  async join(log: (text: string) => void): Promise<void> {
    try {
      await joinTraces(this.#folder, this.#into, this.#begunMs);
      await diskFiles.remove(this.#folder);
    } catch (thrown) {
      const { message } = toPacelineError(thrown);
      log(`${this.#into} is incomplete, see ${this.#folder}: ${message}`);
    }
  }
}

/**
 * Brings the records of a job's run here: into the folder of the cell's run, and what happened, as
 * sentences, into the cell's log. The result comes last, so that where it is the others are.
 * Checkpoints stay with the cluster.
 */
import { join } from "node:path";
import type { JobRecord } from "../../protocol/run-events.js";
import { type Files, writeTextAtomically } from "../../store/files.js";
import type { SuiteFolder } from "../suite-state.js";
import type { JobCluster } from "./job-cluster.js";

const fileNames: readonly (readonly [record: JobRecord, name: string])[] = [
  ["config", "config.yaml"],
  ["events", "events.jsonl"],
  ["metrics", "metrics.jsonl"],
  ["result", "result.json"],
];

/** Resolves to the lines of the log. */
export async function fetchRecords(
  job: string,
  cluster: Pick<JobCluster, "read">,
  folder: SuiteFolder,
  cell: string,
  files: Files,
): Promise<string[]> {
  const path = folder.runPath(cell);
  await files.makeFolder(path);
  let lines: string[] = [];
  for (const [record, name] of fileNames) {
    const text = await cluster.read(job, record);
    if (record === "events") {
      lines = sentencesIn(text);
      await writeTextAtomically(
        files,
        folder.logPath(cell),
        lines.map((line) => `${line}\n`).join(""),
      );
    }
    // A job that could not begin has left none.
    if (text !== "") await writeTextAtomically(files, join(path, name), text);
  }
  return lines;
}

/** What happened and when, as far as it can be read. */
function sentencesIn(events: string): string[] {
  return events.split("\n").flatMap((line) => {
    try {
      const { time, text } = JSON.parse(line) as Record<string, unknown>;
      return typeof text === "string" ? [`${time} ${text}`] : [];
    } catch {
      return [];
    }
  });
}

/**
 * What happened in a job, a part at a time: whole lines of its run's events.jsonl, from a byte on,
 * so that one who follows it asks for what is behind the last part, also after a restart of the
 * coordinator. Its result, figures and options are read in the same way; nothing else of its folder
 * is.
 */
import { join } from "node:path";
import type { JobEvents, JobRecord } from "../../protocol/run-events.js";
import { isMissing } from "../../store/file-errors.js";
import { diskFiles, type Files, openLog } from "../../store/files.js";

/** The most bytes of a part. */
const partBytesMax = 512 * 1024;
const lineBreak = 0x0a;
const fileNames: Readonly<Record<JobRecord, string>> = {
  events: "events.jsonl",
  metrics: "metrics.jsonl",
  result: "result.json",
  config: "config.yaml",
};

/** A part of a record of the run in a folder; nothing where there is no file, or nothing more. */
export async function readRecordPart(
  folder: string,
  record: JobRecord,
  from: number,
  files: Files = diskFiles,
): Promise<Pick<JobEvents, "text" | "next">> {
  const path = join(folder, fileNames[record]);
  const file = await openLog(files, path).catch((thrown: unknown) => {
    if (isMissing(thrown)) return null;
    throw thrown;
  });
  if (file === null) return { text: "", next: from };
  try {
    const bytes = Math.min(partBytesMax, file.bytes - from);
    if (bytes <= 0) return { text: "", next: from };
    const part = Buffer.alloc(bytes);
    await file.read(part, from);
    const end = part.lastIndexOf(lineBreak) + 1;
    // A line that fills a whole part is none of ours.
    const taken = end === 0 && bytes === partBytesMax ? bytes : end;
    return { text: end === 0 ? "" : part.toString("utf8", 0, end), next: from + taken };
  } finally {
    await file.close();
  }
}

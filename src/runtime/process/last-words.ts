/** What a member's process said last: the command's one sentence on why it ended, from its log. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Enough for any sentence; a log itself may be long. */
const tailBytes = 8192;
const sign = "paceline: ";

/** The sentence; "" where the log can't be read or ends with anything else. */
export function lastWordsIn(logPath: string): string {
  const lines = tailOf(logPath).trimEnd().split("\n");
  const last = lines.at(-1) ?? "";
  return last.startsWith(sign) ? last.slice(sign.length) : "";
}

function tailOf(path: string): string {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const bytes = Buffer.alloc(Math.min(size, tailBytes));
      const read = readSync(file, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString("utf8", 0, read);
    } finally {
      closeSync(file);
    }
  } catch {
    return "";
  }
}

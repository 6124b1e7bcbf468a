/** Files that are written beside something else, which is left its share of the machine. */
import type { BackgroundPace } from "../host/background-pace.js";
import type { Clock } from "../host/clock.js";
import type { Files } from "../store/files.js";

/**
 * The same files; what is created is written at this pace. A piece's work is what was done since
 * the piece before, such as its checksum.
 */
export function pacedFiles(files: Files, pace: BackgroundPace, clock: Clock): Files {
  return {
    ...files,
    create: async (path) => {
      const file = await files.create(path);
      let sinceMs = clock.nowMs();
      return {
        write: async (bytes) => {
          await file.write(bytes);
          await pace.rest(sinceMs, bytes.length);
          sinceMs = clock.nowMs();
        },
        sync: () => file.sync(),
        close: () => file.close(),
      };
    },
  };
}

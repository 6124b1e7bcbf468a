/**
 * Standard output and standard error of a process that has more to do than to be read: a reader may
 * go away (head, a closed terminal), and the disk under a log may be full. Neither ends what the
 * process does; what was lost is said when it ends.
 */
import { writeSync } from "node:fs";
import { errorCodes } from "../errors.js";
import { systemReason } from "../system-reason.js";

/** The part of a stream that this needs. */
export interface OutputStream {
  write(text: string | Uint8Array, ...rest: unknown[]): boolean;
  on(event: "error", listener: (error: NodeJS.ErrnoException) => void): unknown;
  readonly fd?: number;
}

/** What could not be written to a stream. */
export interface OutputLoss {
  writes: number;
  /** The platform's name of the last error. */
  code: string;
}

/** Readers that have seen enough, and terminals that are gone, are no loss to tell of. */
const goneCodes: readonly string[] = ["EPIPE", "EIO", "ERR_STREAM_DESTROYED"];

/** Lets a stream fail without ending the process; what is written later is tried all the same. */
export function guardOutput(
  stream: OutputStream,
  writeNow: (fd: number, text: string | Uint8Array) => unknown = (fd, text) =>
    writeSync(fd, Buffer.from(text as string)),
): OutputLoss {
  const loss: OutputLoss = { writes: 0, code: "" };
  const write = stream.write.bind(stream);
  const note = (thrown: unknown) => {
    loss.writes += 1;
    loss.code = (thrown as NodeJS.ErrnoException | null)?.code ?? "unknown";
  };
  const isGone = () => goneCodes.includes(loss.code);
  stream.on("error", note);
  stream.write = (text, ...rest) => {
    if (loss.writes === 0) {
      try {
        return write(text, ...rest);
      } catch (thrown) {
        note(thrown);
        return false;
      }
    }
    // The stream takes nothing any more; a disk may have room again.
    if (stream.fd === undefined || isGone()) return false;
    try {
      writeNow(stream.fd, text);
      return true;
    } catch (thrown) {
      note(thrown);
      return false;
    }
  };
  return loss;
}

/**
 * Guards both streams of a process and says, when it ends, what a full disk has swallowed. A
 * command whose result is what it prints has then failed.
 * @param keepsResult true of a command whose result is in a folder as well.
 */
export function guardProcessOutput(keepsResult: () => boolean, self: NodeJS.Process = process) {
  const losses = [
    ["standard output", guardOutput(self.stdout as OutputStream)],
    ["standard error", guardOutput(self.stderr as OutputStream)],
  ] as const;
  self.once("exit", () => {
    for (const [name, { writes, code }] of losses) {
      if (writes === 0 || goneCodes.includes(code)) continue;
      const count = `${writes} write${writes === 1 ? "" : "s"}`;
      const what = `${count} to ${name} could not be made (${systemReason({ code }) ?? code})`;
      const isKept = keepsResult();
      const remedy = isKept ? "see the run's folder for what is lost" : "free some space";
      self.stderr.write(`paceline: ${what}; ${remedy}\n`);
      if (!isKept && name === "standard output") self.exitCode ||= errorCodes.storage.exitCode;
    }
  });
}

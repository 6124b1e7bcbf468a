/** `paceline status`. */
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "./options.js";

/** Runs the command; resolves to the exit code. */
export async function status(_options: ResolvedOptions, _io: CommandIo): Promise<number> {
  throw new PacelineError("internal", "paceline status is not part of this build");
}

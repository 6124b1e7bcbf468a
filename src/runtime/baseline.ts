/** `paceline baseline`. */
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "./options.js";

/** Runs the command; resolves to the exit code. */
export async function baseline(_options: ResolvedOptions, _io: CommandIo): Promise<number> {
  throw new PacelineError("internal", "paceline baseline is not part of this build");
}

/** `paceline train`. */
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "./options.js";

/** Runs the command; resolves to the exit code. */
export async function train(_options: ResolvedOptions, _io: CommandIo): Promise<number> {
  throw new PacelineError("internal", "paceline train is not part of this build");
}

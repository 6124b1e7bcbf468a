/** `paceline coordinator`, `paceline server` and `paceline worker`. */
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "./options.js";

/** Runs the role until its end; resolves to the exit code. */
export async function runCoordinator(_options: ResolvedOptions, _io: CommandIo): Promise<number> {
  throw new PacelineError("internal", "paceline coordinator is not part of this build");
}

/** Runs the role until its end; resolves to the exit code. */
export async function runServer(_options: ResolvedOptions, _io: CommandIo): Promise<number> {
  throw new PacelineError("internal", "paceline server is not part of this build");
}

/** Runs the role until its end; resolves to the exit code. */
export async function runWorker(_options: ResolvedOptions, _io: CommandIo): Promise<number> {
  throw new PacelineError("internal", "paceline worker is not part of this build");
}

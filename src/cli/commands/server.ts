/** `paceline server`: holds a shard for a coordinator's runs. */
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { startServer } from "../../runtime/start-server.js";
import { memberLog, withMember } from "../member-command.js";
import { serverSettingsOf } from "../role-settings.js";
import { sufferedFaults } from "../suffered-faults.js";
import { exitWithParent, isSupervised } from "../supervised.js";

/** Runs the command; resolves to the exit code. */
export async function server(options: ResolvedOptions, io: CommandIo): Promise<number> {
  exitWithParent();
  const log = memberLog(io, "server");
  const start = () =>
    startServer(serverSettingsOf(options), { log, onChunkStep: sufferedFaults() });
  const { drainWithinMs, healthSocket } = options;
  const manners = { isSupervised: isSupervised(), drainWithinMs, log };
  const { exitCode, end } = await withMember({ role: "server", healthSocket }, start, manners);
  if (options.json) io.stdout.write(`${JSON.stringify(end)}\n`);
  return exitCode;
}

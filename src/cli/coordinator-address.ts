/** What commands that ask a coordinator something are given. */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { failureOfAll, PacelineError, toPacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import { isLocked } from "../store/runs/folder-lock.js";
import type { Transport } from "../transport/transport.js";

type Reach = Partial<Pick<ResolvedOptions, "tls" | "tokenFile">>;

/** What the command reads and writes. */
export interface AdminCall {
  readonly options: Pick<ResolvedOptions, "coordinator" | "ioTimeoutMs" | "json"> & Reach;
  readonly io: Pick<CommandIo, "stdout">;
}

/**
 * The address given; of several, as a coordinator with standbys has, the first that answers.
 * @throws PacelineError `usage` where none is given, and, of several, where none answers.
 */
export async function coordinatorAddress(
  { coordinator }: AdminCall["options"],
  transport: Transport,
): Promise<string> {
  if (coordinator === null) {
    throw new PacelineError("usage", "where does the coordinator listen? Give --coordinator");
  }
  const addresses = coordinator.split(",");
  if (addresses.length === 1) return coordinator;
  const failures: PacelineError[] = [];
  for (const address of addresses) {
    try {
      await transport.status(address);
      return address;
    } catch (thrown) {
      failures.push(toPacelineError(thrown));
    }
  }
  throw failureOfAll(failures);
}

/**
 * Where the coordinator of a run listens, as the run's folder says.
 * @throws PacelineError `usage` where there is no such run, or no coordinator carries it out.
 */
export async function coordinatorOfRun(run: string, runDir: string): Promise<string> {
  const named = join(runDir, run);
  for (const path of basename(run) === run ? [named, run] : [run]) {
    const text = await readFile(join(path, "cluster.json"), "utf8").catch(() => null);
    if (text === null) continue;
    const found = addressIn(text);
    if (found !== null && !(await isLocked(path))) {
      const remedy = `paceline resume ${JSON.stringify(path)} goes on with it`;
      throw new PacelineError("usage", `no coordinator carries out ${path} any more; ${remedy}`);
    }
    if (found !== null) return found;
    throw new PacelineError("usage", `${path} names no coordinator; give --coordinator`);
  }
  const where = `no run ${JSON.stringify(run)} with a cluster.json in ${runDir}`;
  throw new PacelineError("usage", `${where}; see paceline runs ls, or give --coordinator`);
}

function addressIn(text: string): string | null {
  try {
    const { members } = JSON.parse(text) as { members: { role: string; address: string }[] };
    return members.find(({ role }) => role === "coordinator")?.address || null;
  } catch {
    return null;
  }
}

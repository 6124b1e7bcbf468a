/**
 * A run whose coordinator died: `paceline coordinator` goes on with it in place, where --resume
 * names the run, or the command that began it is given again with its name. What the run was given
 * comes from its folder; only what concerns the process may be said anew.
 */
import { lstat, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve as resolvePath } from "node:path";
import { PacelineError } from "../errors.js";
import { readConfigFile } from "../options/config-file.js";
import type { OptionKey } from "../options/options.js";
import { type Given, type Resolution, resolve, type Written } from "../options/resolve.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import { parseHostPort } from "../protocol/host-port.js";
import { isBrokenOff } from "../runtime/run-return.js";
import { changedOptions, ofStart } from "./resumed-run.js";

/** The run, and where its members look for a coordinator. */
export interface BrokenOffRun {
  readonly folder: string;
  /** The file that its options are from. */
  readonly path: string;
  readonly values: Written;
  /** The port that the coordinator had; null where that is not kept. */
  readonly port: number | null;
}

/** What a coordinator's process is told, and not its run. */
const ofProcess: readonly OptionKey[] = [
  ...(["host", "insecure", "transport", "dataDir", "cacheDir", "keep", "savePatienceMs"] as const),
  ...(["startTimeoutMs", "ioTimeoutMs", "leaseMs", "rankGraceMs", "serverGraceMs"] as const),
  ...(["logEvery", "metricsJson"] as const),
];

/** The broken-off run that the options mean; null where they mean none. */
export async function findBrokenOffRun({
  resume,
  name,
  runDir,
  serve,
}: Pick<ResolvedOptions, "resume" | "name" | "runDir" | "serve">): Promise<BrokenOffRun | null> {
  const wanted = resume ?? name;
  if (serve || wanted === null || wanted === "auto" || (resume !== null && name !== null)) {
    return null;
  }
  for (const folder of [join(runDir, wanted), resolvePath(wanted)]) {
    const path = join(folder, "config.yaml");
    const isFile = await lstat(path).then(
      (found) => found.isFile(),
      () => false,
    );
    // A command that begins a run means a name, and no path.
    if (!isFile || (resume === null && folder !== join(runDir, wanted))) continue;
    const written = readConfigFile(path);
    // The members of `train` end with it: none of them looks for another coordinator.
    if (!written.has("serve") || !(await isBrokenOff(folder))) return null;
    const values = new Map([...written].filter(([key]) => !ofStart.includes(key)));
    return { folder, path, values, port: await portIn(folder) };
  }
  return null;
}

/**
 * The options under which another coordinator goes on in place.
 * @throws PacelineError `usage` where something is said that the run was given otherwise.
 */
export function optionsInPlace(run: BrokenOffRun, given: Given): Resolution {
  const { options, origins } = resolve("coordinator", { ...given, run });
  const name = basename(resolvePath(run.folder));
  const changed = changedOptions("coordinator", run, { options, origins });
  const refused = changed.filter(({ key }) => !ofProcess.includes(key)).map(({ text }) => text);
  if (refused.length > 0) {
    const sentence = `run ${name} goes on in place with what it was given`;
    const remedy = "leave that out, or choose another --name";
    throw new PacelineError("usage", `${sentence}, but ${refused.join(", ")}: ${remedy}`);
  }
  const isPortSaid = ["flag", "set", "environment", "file"].includes(origins.port.kind);
  const port = isPortSaid && options.port !== 0 ? options.port : (run.port ?? options.port);
  const place = { runDir: dirname(run.folder), name, resume: null };
  return { origins, options: { ...options, ...place, port } };
}

/** Where the coordinator listened, as the run's list of processes has it. */
async function portIn(folder: string): Promise<number | null> {
  try {
    const text = await readFile(join(folder, "cluster.json"), "utf8");
    const { members } = JSON.parse(text) as { members: { role: string; address: string }[] };
    const address = members.find(({ role }) => role === "coordinator")?.address ?? "";
    const place = parseHostPort(address);
    return "problem" in place ? null : place.port;
  } catch {
    return null;
  }
}

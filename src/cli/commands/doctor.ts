/** `paceline doctor`: whether this machine has what a run needs. */

import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { freemem, totalmem } from "node:os";
import { dirname, resolve } from "node:path";
import { datasetIsHere } from "../../data/dataset.js";
import { toPacelineError } from "../../errors.js";
import { createEngine } from "../../nn/engines.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { joinHostPort } from "../../protocol/host-port.js";
import { cpuQuota, usableCores } from "../../runtime/process/cores.js";
import { withoutSecret } from "../../store/remote/remote-store.js";
import { reasonOf } from "../../system-reason.js";
import { kernelsFinding } from "./doctor-kernels.js";

/** One thing looked at. A warning does not stop a run. */
export interface Finding {
  readonly name: string;
  readonly state: "ok" | "warning" | "problem";
  readonly text: string;
  /** What stands behind it, where that takes more than a line. */
  readonly lines?: readonly string[];
}

const gigabyte = 1024 ** 3;
const nodeMajorMin = 20;

/** Looks at everything and prints it; exit code 0 without problems, else 1. */
export async function doctor(options: ResolvedOptions, io: CommandIo): Promise<number> {
  const findings = await examine(options);
  const ok = findings.every(({ state }) => state !== "problem");
  if (options.json) {
    io.stdout.write(`${JSON.stringify({ ok, findings })}\n`);
  } else {
    const marks = { ok: "ok     ", warning: "warning", problem: "PROBLEM" };
    for (const { name, state, text, lines = [] } of findings) {
      io.stdout.write(`${marks[state]}  ${name.padEnd(10)} ${text}\n`);
      for (const line of lines) io.stdout.write(`${" ".repeat(20)} ${line}\n`);
    }
  }
  return ok ? 0 : 1;
}

/** Everything that doctor looks at. */
export async function examine(options: ResolvedOptions): Promise<Finding[]> {
  return [
    nodeFinding(process.versions.node),
    { name: "platform", state: "ok", text: `${process.platform} ${process.arch}` },
    coresFinding(usableCores(), cpuQuota()),
    memoryFinding(freemem(), totalmem(), process.constrainedMemory() ?? 0),
    await diskFinding(options.runDir),
    engineFinding(),
    kernelsFinding(options.cacheDir),
    await dataFinding(options),
    await portFinding(options.host, options.port),
  ];
}

function nodeFinding(version: string): Finding {
  const isOld = Number(version.split(".")[0]) < nodeMajorMin;
  const remedy = isOld ? `; install Node.js ${nodeMajorMin} or later` : "";
  return { name: "node", state: isOld ? "problem" : "ok", text: `${version}${remedy}` };
}

/** What doctor says of cores, and of the control group's limit where there is one. */
export function coresFinding(cores: number, quota: number | null): Finding {
  const few = cores < 2;
  const limit = quota === null ? "" : ` (a control group limits this process to ${quota})`;
  const text = few
    ? `${cores}${limit}; workers share it; expect no speed-up`
    : `${cores} cores${limit}`;
  return { name: "cores", state: few ? "warning" : "ok", text };
}

/**
 * What doctor says of memory, in bytes.
 * @param limit of the control group; 0, or more than there is, without one.
 */
export function memoryFinding(free: number, total: number, limit: number): Finding {
  const isLimited = limit > 0 && limit < total;
  const room = isLimited ? Math.min(free, limit) : free;
  const limited = isLimited
    ? ` (a control group limits this process to ${inGigabytes(limit)})`
    : "";
  const text = `${inGigabytes(free)} free of ${inGigabytes(total)}${limited}`;
  if (room >= gigabyte / 2) return { name: "memory", state: "ok", text };
  return {
    name: "memory",
    state: "warning",
    text: `${text}; close some programs or lower --workers`,
  };
}

async function diskFinding(runDir: string): Promise<Finding> {
  let folder = resolve(runDir);
  while (!existsSync(folder)) folder = dirname(folder);
  try {
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    const text = `${inGigabytes(free)} free for ${runDir}`;
    if (free >= gigabyte) return { name: "disk", state: "ok", text };
    return {
      name: "disk",
      state: "warning",
      text: `${text}; free some space or choose another --run-dir`,
    };
  } catch (thrown) {
    const { message } = toPacelineError(thrown);
    const text = `${runDir} cannot be inspected (${message}); give another --run-dir`;
    return { name: "disk", state: "problem", text };
  }
}

function engineFinding(): Finding {
  const request = { dtype: "bf16", threads: usableCores() } as const;
  const { engine, reason, warning } = createEngine("auto", request);
  const text = warning === null ? reason : `${reason}; ${warning}`;
  return { name: "engine", state: engine.name === "onednn" ? "ok" : "warning", text };
}

async function dataFinding(options: ResolvedOptions): Promise<Finding> {
  const data = options.data ?? "mnist";
  const { dataDir, cacheDir } = options;
  const place = dataDir === null ? cacheDir : `${withoutSecret(dataDir)} or ${cacheDir}`;
  try {
    const isHere = await datasetIsHere(data, { dataDir, cacheDir });
    if (isHere) return { name: "data", state: "ok", text: `${data} is on this machine` };
    const text = `${data} is not in ${place}; the first run fetches it`;
    return { name: "data", state: "warning", text };
  } catch (thrown) {
    return { name: "data", state: "problem", text: toPacelineError(thrown).message };
  }
}

/** Tries the port by listening on it for a moment. */
function portFinding(host: string, port: number): Promise<Finding> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", (error) => {
      const problem = `${joinHostPort(host, port)} can't be used (${reasonOf(error)})`;
      done({ name: "port", state: "problem", text: `${problem}; give another --port` });
    });
    server.listen({ host, port, exclusive: true }, () => {
      server.close(() =>
        done({ name: "port", state: "ok", text: `${joinHostPort(host, port)} is free` }),
      );
    });
  });
}

function inGigabytes(bytes: number): string {
  return `${(bytes / gigabyte).toFixed(1)} GiB`;
}

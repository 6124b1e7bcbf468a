/** From resolved options to what each role's `start` takes. */
import { PacelineError } from "../errors.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import {
  faultText,
  type InjectedFault,
  type InjectedStraggler,
  isStraggler,
} from "../protocol/injected-fault.js";
import type { ReachSettings } from "../runtime/role-settings.js";
import type { CoordinatorSettings } from "../runtime/run-carrier.js";
import type { ServerSettings } from "../runtime/start-server.js";
import type { WorkerSettings } from "../runtime/start-worker.js";

/** A coordinator's. */
export function coordinatorSettingsOf(options: ResolvedOptions): CoordinatorSettings {
  const { host, port, insecure, leaseMs, rankGraceMs, serverGraceMs, waitForWorkersMs } = options;
  const patience = { leaseMs, rankGraceMs, serverGraceMs, waitForWorkersMs };
  return { ...reachOf(options), host, port, insecure, ...patience };
}

/** A server's. */
export function serverSettingsOf(options: ResolvedOptions): ServerSettings {
  const { host, port, insecure, advertise, rank, kernels, traceFile, coordinatorGraceMs } = options;
  const own = { host, port, insecure, advertise, rank, kernels, traceFile, coordinatorGraceMs };
  return { ...reachOf(options), ...own, coordinator: options.coordinator ?? "" };
}

/** A worker's. */
export function workerSettingsOf(options: ResolvedOptions): WorkerSettings {
  const { rank, threads, kernels, dataDir, cacheDir, traceFile, coordinatorGraceMs } = options;
  const own = { rank, threads, kernels, dataDir, cacheDir, traceFile, coordinatorGraceMs };
  const stragglers = demandStragglers(options.inject);
  const coordinator = options.coordinator ?? "";
  return { ...reachOf(options), ...own, stragglers, coordinator };
}

/** A worker is slow by itself; to be killed or stopped it needs a supervisor. */
function demandStragglers(faults: readonly InjectedFault[]): readonly InjectedStraggler[] {
  const other = faults.find((fault) => !isStraggler(fault));
  if (other === undefined) return faults.filter(isStraggler);
  const what = `--inject ${faultText(other)} is performed by the supervisor of all members`;
  throw new PacelineError("usage", `${what}; give it to paceline train, a worker takes stragglers`);
}

function reachOf(options: ResolvedOptions): ReachSettings {
  const { transport, startTimeoutMs, ioTimeoutMs, tls, tokenFile } = options;
  return { transport, startTimeoutMs, ioTimeoutMs, tls, tokenFile };
}

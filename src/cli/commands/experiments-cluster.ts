/** `paceline experiments run matrix.yaml --coordinator HOST:PORT`: a suite on a live cluster. */
import { printable } from "../../report/progress.js";
import { ClusterSuite } from "../../study/cluster/cluster-suite.js";
import type { JobCluster } from "../../study/cluster/job-cluster.js";
import { adminTransport } from "../admin-transport.js";
import { coordinatorAddress } from "../coordinator-address.js";
import { ServedCluster } from "../jobs/served-cluster.js";
import type { Call } from "./command-plan.js";
import { carryOutSuite, commandTail, type Suite } from "./experiments-suite.js";

/** Runs the suite; resolves to the exit code. */
export async function runAtCoordinator(suite: Suite, call: Call): Promise<number> {
  const { options, io } = call;
  const transport = adminTransport(options);
  try {
    const find = () => coordinatorAddress(options, transport);
    const cluster = new ServedCluster({ transport, address: await find(), find, io });
    const code = await runOnCluster(suite, call, cluster);
    const tail = commandTail(suite, call);
    if (code === 0) io.stderr.write(`all done; next: paceline experiments report ${tail}\n`);
    return code;
  } finally {
    await transport.close();
  }
}

/** The same on a cluster that is reached already. */
export async function runOnCluster(
  suite: Suite,
  call: Pick<Call, "flags" | "io" | "options">,
  cluster: JobCluster,
): Promise<number> {
  const size = await cluster.size();
  const run = new ClusterSuite({
    ...suite,
    matrixPath: suite.path,
    ...{ cluster, size },
    log: (line) => void call.io.stderr.write(`${printable(line)}\n`),
    isoTime: () => new Date().toISOString(),
  });
  return carryOutSuite(run, suite, call);
}

/**
 * A run whose servers are reached over links: each server advertises the address of a shaping
 * proxy, through which every chunk to or from it goes, those of the initial weights too.
 *
 * A server has one link in each direction, as with one network card, and all workers share it:
 * where many push to one, its card is what they wait for, and it is what more servers are added
 * for. Workers' own cards are taken to be free, so with more servers than workers the rows are
 * better than such a network would be. The coordinator's sessions carry no values and go directly.
 */

import { type ShapingProxy, startShapingProxy } from "../../transport/shaping/shaping-proxy.js";
import type { Link } from "../harness/link.js";
import { RunProcess } from "./run-process.js";

/** The commands of one run. */
export interface LinkedRun {
  readonly link: Link;
  readonly servers: number;
  readonly workers: number;
  readonly transport: string;
  /** What the coordinator is told, from the model to the run's name. */
  readonly words: readonly string[];
  /** What every process is told besides. */
  readonly shared: readonly string[];
  /** What workers are told besides. */
  readonly ofWorkers: readonly string[];
}

/** Carries a run out; resolves to what the workers said. */
export async function carryOutOverLink(run: LinkedRun): Promise<readonly string[]> {
  const started: RunProcess[] = [];
  const proxies: ShapingProxy[] = [];
  const keep = (one: RunProcess) => {
    started.push(one);
    return one;
  };
  const { transport } = run;
  const member = { processes: run.servers + run.workers, transport };
  const shared = ["--transport", transport, ...run.shared];
  const startMember = (...words: readonly string[]) =>
    keep(new RunProcess([...words, ...shared], member));
  try {
    const coordinator = keep(
      new RunProcess(["coordinator", "--port", "0", ...run.words, ...shared]),
    );
    const address = await coordinator.hear(/coordinator listens on (\S+:\d+)\n/);
    const reach = ["--coordinator", address];
    for (let rank = 0; rank < run.servers; rank++) {
      const { bitsPerSecond, delayMs } = run.link;
      const proxy = await startShapingProxy({ bytesPerSecond: bitsPerSecond / 8, delayMs });
      proxies.push(proxy);
      const advertised = ["--port", "0", "--advertise", proxy.address];
      const server = startMember("server", ...reach, "--rank", `${rank}`, ...advertised);
      proxy.aim(await server.hear(/server listens on (\S+:\d+)\n/));
    }
    const workers = Array.from({ length: run.workers }, (_, rank) =>
      startMember("worker", ...reach, "--rank", `${rank}`, ...run.ofWorkers),
    );
    for (const one of started) await one.end();
    return workers.map(({ said }) => said);
  } finally {
    for (const one of started) await one.kill();
    for (const proxy of proxies) await proxy.close();
  }
}

/**
 * `paceline coordinator --store etcd://...`: one of several that are started with the same words
 * and an address each. One leads; the others stand by, and one of them goes on with the run, or
 * with all the jobs of a cluster that serves, where the leader ends.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import { joinHostPort } from "../protocol/host-port.js";
import { processClock } from "../runtime/process/process-clock.js";
import { isBrokenOff } from "../runtime/run-return.js";
import type { CoordinatorStates } from "../store/coordinator-state.js";
import { parseEtcdAddress } from "../store/etcd/etcd-address.js";
import { EtcdClient } from "../store/etcd/etcd-client.js";
import { etcdServingStore, etcdStates } from "../store/etcd/etcd-states.js";
import { campaign, type LeaderFacts, type Leadership } from "../store/etcd/leadership.js";
import { wholePath } from "../store/files.js";
import type { ServingStore } from "../store/serving-store.js";
import { MadeSockets } from "../transport/grpc/endable-target.js";
import type { Life } from "./health-socket.js";
import { openStoreTls } from "./store-tls.js";

/** A lead, won. */
interface Led {
  /** Resolves with the reason when this process leads no longer. */
  readonly lost: Promise<string>;
  /** Lays the lead down. */
  resign(): Promise<void>;
}

/** The lead over the jobs of a cluster. */
export interface ServingLead extends Led {
  readonly store: ServingStore;
}

/** The lead over a run. */
export interface Lead extends Led {
  readonly states: CoordinatorStates;
  /** Another coordinator has begun the run, and it is not over. */
  readonly goesOn: boolean;
  /** It is over: nothing is left to lead. */
  readonly isOver: boolean;
}

/** Where a coordinator that stands by says so. */
export interface StandbyIo extends Pick<CommandIo, "stderr"> {
  /** What it says when it is asked whether it lives; nobody asks if left out. */
  readonly life?: Life;
}

/** One member of an etcd may take so long to answer. */
const answerMsMax = 2000;
/** What is led by those that serve: no run can have this name. */
const servingKey = ".serving";

/**
 * Waits for the lead over the options' run; null where `signal` ended the wait.
 * @throws PacelineError `usage` where the run has no name, `storage` where another cluster uses the
 *   prefix.
 */
export async function standBy(
  options: ResolvedOptions,
  io: StandbyIo,
  signal: AbortSignal,
): Promise<Lead | null> {
  const { name, runDir, resume } = options;
  if (name === null || resume !== null) {
    const sentence = "coordinators that stand by need --name, the same for all, and no --resume";
    throw new PacelineError("usage", `${sentence}; add --name, such as --name digits`);
  }
  const led = await elect(options, io, signal, { key: name, what: `run ${name}` });
  if (led === null) return null;
  const { leadership, lost, resign } = led;
  const states = etcdStates(leadership);
  const folder = wholePath(join(runDir, name));
  try {
    const goesOn = await isBrokenOff(folder, states);
    const isOver = !goesOn && (await states.read(folder)) !== null;
    return { states, goesOn, isOver, lost, resign };
  } catch (thrown) {
    await resign();
    throw thrown;
  }
}

/**
 * Waits for the lead over the jobs of the options' etcd and prefix; null where `signal` ended the
 * wait.
 * @throws PacelineError `storage` where another cluster uses the prefix.
 */
export async function standByToServe(
  options: ResolvedOptions,
  io: StandbyIo,
  signal: AbortSignal,
): Promise<ServingLead | null> {
  const led = await elect(options, io, signal, { key: servingKey, what: "the cluster's jobs" });
  if (led === null) return null;
  const { leadership, lost, resign } = led;
  const store = etcdServingStore(leadership, options.store);
  return { store, lost, resign };
}

/** What is led: the key under the prefix, and its name for people. */
interface Seat {
  readonly key: string;
  readonly what: string;
}

async function elect(
  { leaseMs, host, port, store, storeTls }: ResolvedOptions,
  io: StandbyIo,
  signal: AbortSignal,
  { key, what }: Seat,
): Promise<(Led & { readonly leadership: Leadership }) | null> {
  const { endpoints, prefix } = parseEtcdAddress(store);
  const say = (text: string) => void io.stderr.write(`${text}\n`);
  const live = (isReady: boolean, state: string) => {
    Object.assign(io.life ?? {}, { isReady, state });
  };
  live(false, "waits for the store");
  const tls = storeTls === null ? null : openStoreTls(storeTls, say);
  const client = new EtcdClient(endpoints, answerMsMax, tls, new MadeSockets());
  const facts = { address: joinHostPort(host, port), host: hostname(), pid: process.pid };
  let isAway = false;
  const hooks = {
    onLeader: (leader: LeaderFacts) => {
      isAway = false;
      live(true, `stands by: the coordinator at ${leader.address} leads`);
      say(`stands by: the coordinator at ${leader.address} (pid ${leader.pid}) leads`);
    },
    onAway: ({ message }: PacelineError) => {
      if (!isAway) say(`${message}; it is waited for`);
      live(false, "waits for the store");
      isAway = true;
    },
    signal,
  };
  const parts = { client, prefix: `${prefix}/${key}`, clock: processClock, leaseMs };
  const leadership = await campaign(parts, facts, hooks).catch((thrown: unknown) => {
    client.close();
    throw thrown;
  });
  if (leadership === null) {
    client.close();
    return null;
  }
  live(false, `leads ${what}`);
  say(`leads ${what}`);
  const resign = async (): Promise<void> => {
    await leadership.resign();
    client.close();
  };
  return { leadership, lost: leadership.lost, resign };
}

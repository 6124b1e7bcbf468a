/** A server: holds a shard of the parameters for a coordinator's runs. */
import { PacelineError } from "../errors.js";
import { ServerHost } from "../host/server-host.js";
import { HeardTerm } from "../host/session/heard-term.js";
import { Arena, arenaValuesMax } from "../kernels/arena.js";
import type { KernelsChoice } from "../kernels/choice.js";
import { joinHostPort } from "../protocol/host-port.js";
import { emptyHeader } from "../protocol/messages.js";
import type { ViewServer } from "../protocol/view.js";
import { createRouter } from "../transport/frames/routes.js";
import { type ServedChunks, serveChunksEverywhere } from "../transport/frames/served-chunks.js";
import type {
  ChunkAcceptor,
  ChunkChannel,
  ChunkReceiver,
  Transport,
} from "../transport/transport.js";
import { layoutOf } from "./compute/initial-state.js";
import {
  type MemberSettings,
  type RunningMember,
  registrationOf,
  sessionConfigOf,
} from "./member-part.js";
import { processClock } from "./process/process-clock.js";
import {
  demandLoopback,
  type ListenSettings,
  type RoleParts,
  roleDefaults,
} from "./role-settings.js";
import { openTransport } from "./role-transport.js";
import { ServerLives } from "./server-lives.js";
import { closeProcessTrace, openProcessTrace } from "./trace/process-trace.js";

/** Where a server listens, and whose runs it serves. */
export interface ServerSettings extends MemberSettings, ListenSettings {
  /** Its index; any that is free if left out. */
  readonly rank?: number | null;
  /** host:port that others call where it is not the one listened on. */
  readonly advertise?: string | null;
  /** What folds and applies; `auto` if left out. */
  readonly kernels?: KernelsChoice;
  /** The file that spans of its updates go to; none if left out. */
  readonly traceFile?: string | null;
}

/** A server that runs. */
export interface RunningServer extends RunningMember {
  /** host:port that others call. */
  readonly address: string;
}

/**
 * Starts a server: it listens, then registers, trying until the coordinator is there, and registers
 * again when it has been given up. Resolves once it listens.
 * @throws PacelineError `usage` where settings are wrong or the port can't be had.
 */
export async function startServer(
  settings: ServerSettings,
  parts: RoleParts = {},
): Promise<RunningServer> {
  const { log = () => {}, clock = processClock } = parts;
  const config = sessionConfigOf("server", settings);
  if (parts.transport === undefined) {
    demandLoopback(settings, log);
    demandReachable(settings);
  }
  const { ioTimeoutMs } = config;
  const transport = parts.transport ?? openTransport("server", settings, log);
  const trace = await openProcessTrace(settings.traceFile ?? null);
  let lives: ServerLives | null = null;
  const accept: ChunkAcceptor = (channel) => lives?.host?.accept(channel) ?? refuseAll(channel);
  const closeTransport = async () => parts.transport ?? (await transport.close());
  const served = await serve(settings, parts, transport, accept).catch(async (thrown: unknown) => {
    await closeProcessTrace(trace, log);
    await closeTransport();
    throw thrown;
  });
  const { address, frames } = served;
  const { kernels = "auto", rank = null } = settings;
  const router = createRouter(settings.transport ?? roleDefaults.transport, log);
  const route = parts.transport === undefined ? router : ({ address }: ViewServer) => address;
  const heard = new HeardTerm();
  const present = new ServerLives(
    {
      ...{ transport, clock, config, heard, log },
      requestOf: (index) => ({ ...registrationOf("server", index), address, frames }),
      open: (index, onStop, known) =>
        new ServerHost({
          ...{
            clock,
            index,
            heard: known,
            kernels,
            trace,
            log,
            layoutOf,
            transport,
            ioTimeoutMs,
            route,
          },
          openArena: () => new Arena(arenaValuesMax),
          onStop,
          onApplied: ({ version }) => parts.onChunkStep?.(version),
        }),
    },
    rank,
  );
  lives = present;
  return {
    address,
    ended: present.ended,
    interrupt: (reason) => present.part.leave(reason),
    drain: (reason) => present.drain(reason),
    isMember: () => present.part.isMember(),
    takesPart: () => present.part.takesPart(),
    close: async () => {
      present.close();
      await closeProcessTrace(trace, log);
      await served.close();
      await closeTransport();
    },
  };
}

async function serve(
  settings: ServerSettings,
  { transport: given, log = () => {} }: RoleParts,
  transport: Transport,
  accept: ChunkAcceptor,
): Promise<Pick<ServedChunks, "address" | "frames" | "close">> {
  const { host = roleDefaults.host, port = roleDefaults.serverPort, advertise = null } = settings;
  const address = joinHostPort(host, port);
  if (given !== undefined) {
    const listener = await transport.serveChunks(address, accept);
    return { address: listener.address, frames: null, close: () => listener.close() };
  }
  const choice = settings.transport ?? roleDefaults.transport;
  const request = { address, advertise, choice, accept, log };
  const served = await serveChunksEverywhere(transport, request);
  log(`server listens on ${served.bound}`);
  if (served.frames?.unix) log(`and on the Unix socket ${served.frames.unix}`);
  return served;
}

/** A server that listens on every address has none by which others could call it. */
function demandReachable({ host = "", port = 0, advertise = null }: ServerSettings): void {
  if (advertise !== null || !["0.0.0.0", "::", "[::]"].includes(host)) return;
  throw new PacelineError(
    "usage",
    `--host ${host} listens on every address, but members need one to connect to: ` +
      `give it with --advertise ADDRESS:${port === 0 ? "PORT and give --port" : port}`,
  );
}

/** A server that has no rank yet serves no run: it asks each caller to try again. */
function refuseAll(channel: ChunkChannel): ChunkReceiver {
  const detail = "this server is not registered yet";
  return {
    onHeader: () => null,
    onChunk: () => channel.send({ ...emptyHeader, kind: "refusal", detail }, null),
    onClose: () => {},
  };
}

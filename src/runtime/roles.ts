/** `paceline coordinator`, `paceline server` and `paceline worker`: one role a process. */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type ErrorCode, errorCodes, PacelineError } from "../errors.js";
import { HeardTerm } from "../host/heard-term.js";
import { MemberSession, register, type SessionConfig } from "../host/member-session.js";
import { ServerHost } from "../host/server-host.js";
import { WorkerHost } from "../host/worker-host.js";
import { arenaValuesMax } from "../kernels/arena.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";
import type { MemberRole } from "../protocol/identity.js";
import type { CoordinatorMessage, RegisterRequest } from "../protocol/messages.js";
import { emptyHeader, protocolVersion } from "../protocol/messages.js";
import { metricsLine } from "../store/runs/experiment-file.js";
import { createMemberTransport } from "../transport/frames/member-transport.js";
import { createRouter, withPatience } from "../transport/frames/routes.js";
import { serveChunksEverywhere } from "../transport/frames/served-chunks.js";
import type { ChunkChannel, ChunkReceiver, Transport } from "../transport/transport.js";
import { createCentralCompute } from "./compute/central-compute.js";
import { createComputeThread } from "./compute/compute-thread.js";
import { layoutOf } from "./compute/initial-state.js";
import type { AskForExamples } from "./compute/sent-examples.js";
import { CoordinatorProcess, demandLoopback, signalExitCode } from "./coordinator-process.js";
import { processClock } from "./process/process-clock.js";
import { onSignals } from "./process/signals.js";
import { exitWithParent } from "./process/supervised.js";
import { closeProcessTrace, computeSpansTo, openProcessTrace } from "./trace/process-trace.js";
import { workerMetrics } from "./worker-metrics.js";

/** Coordinates one run, or with --serve one after the other; resolves to the exit code. */
export async function runCoordinator(options: ResolvedOptions, io: CommandIo): Promise<number> {
  const transport = createMemberTransport({ ioTimeoutMs: options.ioTimeoutMs });
  const coordinator = new CoordinatorProcess({
    options,
    io,
    transport,
    serve: options.serve,
    speaksForWorkers: false,
  });
  const release = onSignals((signal) => {
    if (!coordinator.interrupt(signal)) process.exit(signalExitCode(signal));
  });
  try {
    const address = await coordinator.listen();
    io.stderr.write(`coordinator listens on ${address}\n`);
    if (options.serve) return await coordinator.serve();
    return await coordinator.carryOut(options, io.configText);
  } finally {
    release();
    await coordinator.close();
  }
}

/** Holds a shard for a coordinator's runs; resolves to the exit code. */
export async function runServer(options: ResolvedOptions, io: CommandIo): Promise<number> {
  exitWithParent();
  demandLoopback(options);
  demandReachable(options);
  const log = logger(io, "server");
  const transport = createMemberTransport({ ioTimeoutMs: options.ioTimeoutMs });
  const trace = await openProcessTrace(options);
  let host: ServerHost | null = null;
  let endSession = () => {};
  const served = await serveChunksEverywhere(transport, {
    address: `${options.host}:${options.port}`,
    advertise: options.advertise,
    choice: options.transport,
    accept: (channel) => (host === null ? refuseAll(channel) : host.accept(channel)),
    log,
  });
  try {
    log(`server listens on ${served.bound}`);
    if (served.frames?.unix) log(`and on the Unix socket ${served.frames.unix}`);
    const { address, frames } = served;
    const request = { ...requestOf("server", options), address, frames };
    return await new Promise<number>((resolve, reject) => {
      void takePart(transport, options, request, log, new HeardTerm(), (rank) => {
        host = new ServerHost({
          clock: processClock,
          index: rank,
          arenaValues: arenaValuesMax,
          kernels: options.kernels,
          layoutOf,
          onStop: (message) => !message.stay && resolve(exitCodeOf(message)),
          trace,
          log,
        });
        return { host, lost: reject, ended: resolve };
      }).then((close) => {
        endSession = close;
      }, reject);
    });
  } finally {
    endSession();
    (host as ServerHost | null)?.close();
    await closeProcessTrace(trace, log);
    await served.close();
    await transport.close();
  }
}

/** Trains for a coordinator's runs; resolves to the exit code. */
export async function runWorker(options: ResolvedOptions, io: CommandIo): Promise<number> {
  exitWithParent();
  const log = logger(io, "worker");
  const transport = createMemberTransport({ ioTimeoutMs: options.ioTimeoutMs });
  const { dataDir, cacheDir, ioTimeoutMs, threads } = options;
  const ask: AskForExamples = (request, onBlock) =>
    transport.readExamples(options.coordinator ?? "", request, onBlock);
  const source = { ask, ioTimeoutMs };
  const route = createRouter(options.transport, log);
  const patience = { patienceMs: ioTimeoutMs, nowMs: () => processClock.nowMs() };
  const trace = await openProcessTrace(options);
  const thread = { dataDir, cacheDir, threads, log, ...computeSpansTo(trace) };
  const heard = new HeardTerm();
  let host: WorkerHost | null = null;
  let endSession = () => {};
  const live = async (rank: number | null): Promise<number> => {
    await host?.close();
    const request = { ...requestOf("worker", options), rank };
    return new Promise<number>((resolve, reject) => {
      void takePart(transport, options, request, log, heard, (given, incarnation) => {
        const own = new WorkerHost({
          transport,
          route: withPatience(route, { ...patience, end: reject }),
          clock: processClock,
          rank: given,
          incarnation,
          compute: createCentralCompute(createComputeThread(thread), source),
          kernels: options.kernels,
          trace,
          onFinish: (end) => {
            const metrics = workerMetrics(given, end);
            if (end.outcome === "done" && metrics !== null) {
              io.stdout.write(`${metricsLine(metrics)}\n`);
            }
            if (!end.stay) resolve(exitCodeOf(end));
          },
          log,
        });
        host = own;
        const lost = (error: PacelineError) => {
          if (error.code !== "refused") return reject(error);
          log(`${error.message}; registering again`);
          live(given).then(resolve, reject);
        };
        return { host: own, lost, ended: resolve };
      }).then((close) => {
        endSession = close;
      }, reject);
    });
  };
  try {
    return await live(options.rank);
  } finally {
    endSession();
    await (host as WorkerHost | null)?.close();
    await closeProcessTrace(trace, log);
    await transport.close();
  }
}

interface Participant {
  readonly host: ServerHost | WorkerHost;
  lost(error: PacelineError): void;
  ended(exitCode: number): void;
}

/**
 * Registers and keeps a session for the participant that `make` creates; resolves to what gives
 * that up where it has not ended.
 */
async function takePart(
  transport: Transport,
  options: ResolvedOptions,
  request: RegisterRequest,
  log: (text: string) => void,
  heard: HeardTerm,
  make: (rank: number, incarnation: number) => Participant,
): Promise<() => void> {
  const { role } = request;
  if (options.coordinator === null) {
    throw new PacelineError("usage", `a ${role} needs --coordinator, such as 127.0.0.1:8000`);
  }
  const config: SessionConfig = {
    coordinator: options.coordinator,
    startTimeoutMs: options.startTimeoutMs,
    ioTimeoutMs: options.ioTimeoutMs,
  };
  const reply = await register(transport, processClock, config, request, log, heard);
  const { rank, incarnation } = reply;
  log(`${role === "worker" ? "Worker" : "Server"} ${rank} registered with ID ${rank}`);
  const participant = make(rank, incarnation);
  const { host } = participant;
  const over = { done: false };
  const session: MemberSession = new MemberSession(
    {
      transport,
      clock: processClock,
      config,
      handler: {
        onMessage: (message) => {
          host.onMessage(message);
          if (message.type === "stop" && !message.stay) void leave();
        },
        heartbeat: () => host.heartbeat(),
        onLost: (error) => {
          release();
          if (!over.done) participant.lost(error);
        },
        log,
      },
      heard,
    },
    { role, rank, incarnation },
    reply.heartbeatIntervalMs,
  );
  host.attach(session);
  const leave = async () => {
    over.done = true;
    await session.drain(2000);
    session.close();
    release();
  };
  const release = onSignals((signal) => {
    if (over.done) process.exit(signalExitCode(signal));
    over.done = true;
    log(`${signal}: leaving`);
    const { server, worker } = host.heartbeat();
    session.send({ type: "leave", reason: signal, server, worker });
    void leave().then(() => participant.ended(signalExitCode(signal)));
  });
  return () => {
    // A goodbye that is under way ends by itself.
    if (over.done) return;
    over.done = true;
    session.close();
    release();
  };
}

/** A server that listens on every address has none by which others could call it. */
function demandReachable({ host, port, advertise }: ResolvedOptions): void {
  if (advertise !== null || !["0.0.0.0", "::", "[::]"].includes(host)) return;
  throw new PacelineError(
    "usage",
    `--host ${host} is every address of this machine, but others have to call one: ` +
      `say which with --advertise ADDRESS:${port === 0 ? "PORT and give --port" : port}`,
  );
}

function requestOf(role: MemberRole, { rank }: ResolvedOptions): RegisterRequest {
  const from = { pid: process.pid, host: hostname(), address: "", frames: null };
  const attempt = randomUUID();
  return { protocol: protocolVersion, role, rank, incarnation: null, ...from, attempt };
}

/** A member ends well when its run did, or when the run's failure is not its own. */
function exitCodeOf(end: Pick<CoordinatorMessage & { type: "stop" }, "outcome">): number {
  const code: ErrorCode = "member_lost";
  return end.outcome === "failed" ? errorCodes[code].exitCode : 0;
}

function logger(io: CommandIo, role: string): (text: string) => void {
  return (text) => void io.stderr.write(`${new Date().toISOString()} ${role}: ${text}\n`);
}

/** A server that has no rank yet serves no run: whoever asks is told to come again. */
function refuseAll(channel: ChunkChannel): ChunkReceiver {
  const detail = "this server is not registered yet";
  return {
    onHeader: () => null,
    onChunk: () => channel.send({ ...emptyHeader, kind: "refusal", detail }, null),
    onClose: () => {},
  };
}

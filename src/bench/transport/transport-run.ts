/**
 * What a transport takes: chunks of a model go to another process and come back (`echo`), or go
 * there and the last is answered (`push`). Sockets that only echo the bytes, and a bare stream of
 * the gRPC library, are the limits beside which they are measured.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert } from "../../assert.js";
import type { PacelineError } from "../../errors.js";
import { emptyHeader } from "../../protocol/messages.js";
import { framesAddress, pathAddress } from "../../transport/addresses.js";
import { createMemberTransport } from "../../transport/frames/member-transport.js";
import { MemoryNetwork } from "../../transport/memory/memory.js";
import type { ChunkChannel, Transport } from "../../transport/transport.js";
import { payloadBytesMax } from "../../transport/wire/limits.js";
import type { BenchResult, BenchTask } from "../harness/bench-option.js";
import { type BenchmarkCase, type Peer, runBenchmark } from "../harness/benchmark.js";
import { LineProcess } from "../harness/peer-process.js";
import { bareStreamPeer } from "./bare-stream.js";
import { EchoAcceptor } from "./echo-acceptor.js";
import { echoPeer } from "./echo-peer.js";
import type { MeasuredTransport, TransportMeasures } from "./transport-bench.js";

/** Round trips of one measurement; the middle one counts. */
const tripsPerTurn = 11;

/** Measures every transport, echoing and pushing; by network also with a delay. */
export async function runTransportBench(
  measures: TransportMeasures,
  task: BenchTask,
): Promise<BenchResult> {
  const { transports, connections, bytes, delayMs, rounds, peers } = measures;
  const cases: BenchmarkCase[] = [];
  for (const kind of transports) {
    for (const count of connections) {
      const end = count === 1 ? "" : `/c${count}`;
      const transfer = { kind, bytes, connections: count, delayMs: 0 };
      cases.push(
        caseOf(`echo/${kind}${end}`, { ...transfer, isEcho: true }, echoPeersOf(kind, bytes)),
        caseOf(`push/${kind}${end}`, { ...transfer, isEcho: false }, pushPeersOf(kind, bytes)),
      );
      if (delayMs === 0 || kind === "memory" || kind === "unix") continue;
      const slow = { ...transfer, delayMs, isEcho: false };
      cases.push(caseOf(`push/${kind}${end}/${delayMs}ms`, slow, []));
    }
  }
  const settings = { peers, turns: rounds, log: task.log };
  return { report: await runBenchmark("transport", cases, settings), appendix: [] };
}

function echoPeersOf(kind: MeasuredTransport, bytes: number): Peer[] {
  return kind === "memory" ? [] : [echoPeer(kind === "unix" ? "unix" : "tcp", bytes)];
}

function pushPeersOf(kind: MeasuredTransport, bytes: number): Peer[] {
  return kind === "grpc" ? [bareStreamPeer(bytes)] : [];
}

interface Transfer {
  readonly kind: MeasuredTransport;
  readonly bytes: number;
  readonly connections: number;
  /** One way, through a proxy. */
  readonly delayMs: number;
  readonly isEcho: boolean;
}

function caseOf(name: string, transfer: Transfer, peers: readonly Peer[]): BenchmarkCase {
  const far = new FarSide(transfer);
  let trips: Trips | null = null;
  return {
    name,
    unit: "ms",
    better: "lower",
    peers,
    async setUp() {
      const { transport, address } = await far.start();
      trips = new Trips(transport, address, transfer);
      await trips.take();
    },
    async run() {
      assert(trips !== null, "a transport is measured after it was set up");
      const times: number[] = [];
      for (let trip = 0; trip < tripsPerTurn; trip++) times.push(await trips.take());
      return times.sort((left, right) => left - right)[tripsPerTurn >> 1]!;
    },
    tearDown: () => far.stop(),
  };
}

/** The side that answers: another process, or in memory this one. */
class FarSide {
  readonly #transfer: Transfer;
  readonly #closing: (() => unknown)[] = [];

  constructor(transfer: Transfer) {
    this.#transfer = transfer;
  }

  async start(): Promise<{ transport: Transport; address: string }> {
    const { kind, bytes, delayMs } = this.#transfer;
    if (kind === "memory") {
      const network = new MemoryNetwork();
      const transport = network.createTransport("near");
      const acceptor = new EchoAcceptor(bytes);
      await network.createTransport("far").serveChunks("far", acceptor.accept);
      return { transport, address: "far" };
    }
    const folder = await mkdtemp(join(tmpdir(), "paceline-echo-"));
    this.#closing.push(() => rm(folder, { recursive: true, force: true }));
    const listen = kind === "unix" ? pathAddress(join(folder, "far")) : "127.0.0.1:0";
    let address = await this.#startChild({ listen, bytes });
    if (delayMs > 0) address = await this.#startChild({ target: address, delayMs });
    const transport = createMemberTransport();
    this.#closing.push(() => transport.close());
    return { transport, address: kind === "tcp" ? framesAddress(address) : address };
  }

  async stop(): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
  }

  async #startChild(task: object): Promise<string> {
    const entry = fileURLToPath(new URL("./transport-child.js", import.meta.url));
    const child = new LineProcess(process.execPath, [entry]);
    this.#closing.push(() => child.close());
    return ((await child.ask(task)) as { address: string }).address;
  }
}

/** The side that sends and times. */
class Trips {
  readonly #channels: ChunkChannel[];
  readonly #gradient: Uint8Array;
  readonly #isEcho: boolean;
  #number = 0;
  #missing = 0;
  #done: () => void = () => {};
  #broken: (error: PacelineError) => void = () => {};

  constructor(transport: Transport, address: string, transfer: Transfer) {
    const { bytes, connections, isEcho } = transfer;
    const parameters = new Uint8Array(new SharedArrayBuffer(bytes));
    this.#gradient = new Uint8Array(new SharedArrayBuffer(bytes)).fill(3);
    this.#isEcho = isEcho;
    this.#channels = Array.from({ length: connections }, () => {
      const channel = transport.openChunks(address, {
        onHeader: ({ chunk }, payloadBytes) =>
          parameters.subarray(chunk * payloadBytesMax, chunk * payloadBytesMax + payloadBytes),
        onChunk: (_, payload) => this.#arrived(payload?.length ?? 0),
        onClose: (error) => this.#broken(error),
      });
      channel.send({ ...emptyHeader, kind: "hello" }, null);
      return channel;
    });
  }

  /** Sends everything once; resolves to the milliseconds until it is back, or answered. */
  take(): Promise<number> {
    const startedMs = performance.now();
    const { length } = this.#gradient;
    const chunks = Math.ceil(length / payloadBytesMax);
    this.#number += 1;
    this.#missing = this.#isEcho ? length : Math.min(chunks, this.#channels.length);
    return new Promise((resolve, reject) => {
      this.#done = () => resolve(performance.now() - startedMs);
      this.#broken = reject;
      for (let chunk = 0; chunk < chunks; chunk++) {
        const start = chunk * payloadBytesMax;
        const wantsReply = this.#isEcho || chunk >= chunks - this.#channels.length;
        const header = { ...emptyHeader, kind: "push", run: "bench", wantsReply } as const;
        this.#channels[chunk % this.#channels.length]!.send(
          { ...header, step: this.#number, chunk, version: this.#isEcho ? 1 : 0 },
          this.#gradient.subarray(start, Math.min(start + payloadBytesMax, length)),
        );
      }
    });
  }

  #arrived(bytes: number): void {
    this.#missing -= this.#isEcho ? bytes : 1;
    if (this.#missing === 0) this.#done();
  }
}

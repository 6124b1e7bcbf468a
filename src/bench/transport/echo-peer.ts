/** The limit that a socket sets: a process beside this one that sends the same bytes back. */
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, type NetConnectOpts, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert } from "../../assert.js";
import type { Peer } from "../harness/benchmark.js";
import { LineProcess } from "../harness/peer-process.js";

/** Bytes of one write, as a chunk has. */
const writeBytes = 1 << 20;
/** Round trips of one measurement; the middle one counts. */
const tripsPerTurn = 11;

/** Milliseconds until so many bytes have gone to the echo and come back. */
export function echoPeer(kind: "unix" | "tcp", bytes: number): Peer {
  let folder: string | null = null;
  let process: LineProcess | null = null;
  let echo: EchoClient | null = null;
  return {
    name: `bare-${kind}-echo`,
    async setUp() {
      folder = await mkdtemp(join(tmpdir(), "paceline-echo-"));
      const path = kind === "unix" ? join(folder, "echo") : null;
      const entry = fileURLToPath(new URL("./echo-child.js", import.meta.url));
      process = new LineProcess(globalThis.process.execPath, [entry]);
      const { address } = await process.ask({ path });
      const place = path === null ? { host: "127.0.0.1", ...(address as object) } : { path };
      echo = new EchoClient(place as NetConnectOpts, bytes);
      await echo.trip();
    },
    async run() {
      assert(echo !== null, "an echo is measured after it was set up");
      const trips: number[] = [];
      for (let trip = 0; trip < tripsPerTurn; trip++) trips.push(await echo.trip());
      return trips.sort((left, right) => left - right)[tripsPerTurn >> 1]!;
    },
    async tearDown() {
      echo?.close();
      await process?.close();
      if (folder !== null) await rm(folder, { recursive: true, force: true });
    },
  };
}

class EchoClient {
  readonly #bytes: Uint8Array;
  readonly #socket: Socket;
  #missing = 0;
  #back: (() => void) | null = null;
  #broken: ((error: Error) => void) | null = null;

  constructor(place: NetConnectOpts, bytes: number) {
    this.#bytes = new Uint8Array(bytes).fill(1);
    const onread = {
      buffer: new Uint8Array(writeBytes),
      callback: (count: number) => {
        this.#missing -= count;
        if (this.#missing === 0) this.#back?.();
        return true;
      },
    };
    this.#socket = createConnection({ ...place, onread });
    this.#socket.setNoDelay(true);
    this.#socket.on("error", (error) => this.#broken?.(error));
  }

  /** Sends everything once; resolves to the milliseconds until the last byte is back. */
  trip(): Promise<number> {
    const startedMs = performance.now();
    this.#missing = this.#bytes.length;
    return new Promise((resolve, reject) => {
      this.#back = () => resolve(performance.now() - startedMs);
      this.#broken = reject;
      for (let start = 0; start < this.#bytes.length; start += writeBytes) {
        this.#socket.write(this.#bytes.subarray(start, start + writeBytes));
      }
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

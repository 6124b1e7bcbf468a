/** The limit that the gRPC library sets: a stream of bare messages to another process. */
import { fileURLToPath } from "node:url";
import { Client, type ClientWritableStream, credentials } from "@grpc/grpc-js";
import { assert } from "../../assert.js";
import { payloadBytesMax } from "../../transport/wire/limits.js";
import type { Peer } from "../harness/benchmark.js";
import { LineProcess } from "../harness/peer-process.js";

/** The path of the one method. */
export const barePath = "/bare.Stream/Take";
const tripsPerTurn = 11;

/** Milliseconds until so many bytes have been taken in messages of 1 MiB, and that was said. */
export function bareStreamPeer(bytes: number): Peer {
  let child: LineProcess | null = null;
  let client: Client | null = null;
  const gradient = Buffer.alloc(bytes, 3);
  return {
    name: "bare-grpc-js-stream",
    async setUp() {
      const entry = fileURLToPath(new URL("./bare-stream-child.js", import.meta.url));
      child = new LineProcess(process.execPath, [entry]);
      const { address } = (await child.ask({})) as { address: string };
      client = new Client(address, credentials.createInsecure());
      await send(client, gradient);
    },
    async run() {
      assert(client !== null, "a stream is measured after it was set up");
      const times: number[] = [];
      for (let trip = 0; trip < tripsPerTurn; trip++) times.push(await send(client, gradient));
      return times.sort((left, right) => left - right)[tripsPerTurn >> 1]!;
    },
    async tearDown() {
      client?.close();
      await child?.close();
    },
  };
}

function send(client: Client, gradient: Buffer): Promise<number> {
  const startedMs = performance.now();
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve, reject) => {
    const call: ClientWritableStream<Buffer> = client.makeClientStreamRequest(
      barePath,
      same,
      same,
      (error) => {
        if (error === null) resolve(performance.now() - startedMs);
        else reject(error);
      },
    );
    for (let start = 0; start < gradient.length; start += payloadBytesMax) {
      call.write(gradient.subarray(start, start + payloadBytesMax));
    }
    call.end();
  });
}

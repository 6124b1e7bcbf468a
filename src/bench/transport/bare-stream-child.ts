/**
 * The process that takes a bare gRPC stream: reads every message and answers when all have come.
 * The first line of input starts it; the answer is the address.
 */
import { createInterface } from "node:readline";
import {
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { barePath } from "./bare-stream.js";

const same = (bytes: Buffer): Buffer => bytes;
const take = {
  path: barePath,
  requestStream: true,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

const server = new Server();
server.addService(
  { take },
  {
    take(call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
      call.on("data", () => {});
      call.on("end", () => answer(null, Buffer.alloc(0)));
    },
  },
);
const lines = createInterface({ input: process.stdin });
lines.once("line", () => {
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error;
    process.stdout.write(`${JSON.stringify({ address: `127.0.0.1:${port}` })}\n`);
  });
});
lines.once("close", () => process.exit(0));

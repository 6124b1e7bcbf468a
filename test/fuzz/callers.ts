/**
 * Says an input to a listener and tells, in words without the numbers of the day, what came back:
 * frames and their sentences, the status of a call, the end of the connection. Two inputs whose
 * answers read alike have most likely gone the same way.
 */
import { connect, type Socket } from "node:net";
import {
  type ClientDuplexStream,
  credentials,
  Client as GrpcClient,
  type StatusObject,
} from "@grpc/grpc-js";
import { protocolVersion } from "../../dist/protocol/messages.js";
import { clientOptions, limitsOf } from "../../dist/transport/grpc/methods.js";
import { decodeFrameHead, frameHeadBytes } from "../../dist/transport/wire/frame-codec.js";
import {
  registerReplyBytes,
  registerRequestBytes,
} from "../../dist/transport/wire/service-codec.js";
import {
  decodeCoordinatorMessage,
  encodeMemberMessage,
} from "../../dist/transport/wire/session-codec.js";
import { greeting, type Input, type Listener } from "./inputs.js";

/** Where each listener is, as host:port. */
export type Addresses = Readonly<Record<Listener, string>>;

/** So long a first answer is waited for; what says nothing by then is taken as it is. */
const answerMs = 1500;
/** So long for more of it. */
const moreMs = 60;
const answersMax = 32;
const same = (bytes: Buffer): Buffer => bytes;

/** Says it; resolves to what came back. */
export function say(input: Input, addresses: Addresses): Promise<string> {
  const address = addresses[input.listener];
  if (input.way === "bytes") return sayBytes(address, input.pieces);
  if (input.way === "frames") return sayBytes(address, [greeting, ...input.pieces]);
  if (input.way === "session") return sayInSession(address, input.pieces);
  return call(address, input.way, input.pieces);
}

/** Without what differs from one run to the next. */
function plain(text: string): string {
  const short = text.replace(/127\.0\.0\.1:\d+/g, "ADDRESS").replace(/\d+(\.\d+)*/g, "N");
  return short.replace(/"[^"]*"/g, "TEXT").slice(0, 160);
}

function sayBytes(address: string, pieces: readonly Buffer[]): Promise<string> {
  const port = Number(address.split(":").at(-1));
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const received: Buffer[] = [];
  let end = "";
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(`${answersIn(Buffer.concat(received))} ${end || "open"}`);
    };
    // A busy machine takes its time to connect.
    let timer = setTimeout(finish, 4 * answerMs);
    socket.on("connect", () => {
      clearTimeout(timer);
      timer = setTimeout(finish, answerMs);
    });
    socket.on("data", (bytes) => {
      received.push(bytes);
      clearTimeout(timer);
      timer = setTimeout(finish, moreMs);
    });
    socket.on("connect", () => writeAll(socket, pieces));
    socket.on("error", ({ message }) => {
      end = plain(message);
    });
    socket.on("end", () => {
      end ||= "ended";
    });
    socket.on("close", finish);
  });
}

function writeAll(socket: Socket, pieces: readonly Buffer[]): void {
  for (const piece of pieces) socket.write(piece);
}

/** The frames of an answer in words; of HTTP/2 the types of its frames. */
function answersIn(bytes: Buffer): string {
  const words: string[] = [];
  if (bytes[0] === greeting[0]) {
    for (let at = greeting.length; at + frameHeadBytes <= bytes.length; ) {
      const head = decodeFrameHead(bytes.subarray(at, at + frameHeadBytes));
      const textsAt = at + frameHeadBytes;
      const detailAt = textsAt + head.runBytes;
      const detail = bytes.toString("utf8", detailAt, detailAt + head.detailBytes);
      words.push(head.signal ?? `${head.header.kind}/${head.header.outcome}`, plain(detail));
      at = detailAt + head.detailBytes + head.payloadBytes;
    }
  } else {
    for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
      words.push(`h${bytes[at + 3]}`);
    }
  }
  return [...new Set(words)].slice(0, answersMax).join(" ");
}

function open(address: string, path: string) {
  const client = new GrpcClient(address, credentials.createInsecure(), {
    ...clientOptions(limitsOf({ ioTimeoutMs: 5000 })),
  });
  return { client, stream: client.makeBidiStreamRequest(path, same, same) };
}

/** Any method may be called as if both sides streamed. */
function call(address: string, path: string, pieces: readonly Buffer[]): Promise<string> {
  const { client, stream } = open(address, path);
  for (const piece of pieces) stream.write(piece);
  if (!/Heartbeat|PushPull/.test(path)) stream.end();
  return outcome(client, stream, () => "answer");
}

/** Registers, opens a session, and says the pieces in it. */
async function sayInSession(address: string, pieces: readonly Buffer[]): Promise<string> {
  const { client, stream } = open(address, "/paceline.v1.Coordinator/Register");
  const request = registerRequestBytes.encode({
    ...{ protocol: protocolVersion, role: "worker", rank: null, incarnation: null, pid: 7 },
    ...{ host: "h", address: "", frames: null, attempt: "" },
  });
  stream.end(request);
  const replies: Buffer[] = [];
  const status = await outcome(client, stream, (bytes) => {
    replies.push(bytes);
    return "answer";
  });
  const reply = replies[0] === undefined ? null : registerReplyBytes.decode(replies[0]);
  if (reply?.accepted !== true) return `not registered: ${reply ? plain(reply.reason) : status}`;
  const session = open(address, "/paceline.v1.Coordinator/Heartbeat");
  const { rank, incarnation } = reply;
  session.stream.write(encodeMemberMessage({ type: "open", role: "worker", rank, incarnation }));
  for (const piece of pieces) session.stream.write(piece);
  return outcome(session.client, session.stream, (bytes) => decodeCoordinatorMessage(bytes).type);
}

function outcome(
  client: GrpcClient,
  stream: ClientDuplexStream<Buffer, Buffer>,
  wordOf: (bytes: Buffer) => string,
): Promise<string> {
  const answers: string[] = [];
  return new Promise((resolve) => {
    const finish = (status: string) => {
      clearTimeout(timer);
      stream.cancel();
      client.close();
      resolve([...new Set(answers)].slice(0, answersMax).concat(status).join(" "));
    };
    let timer = setTimeout(() => finish("open"), 2 * answerMs);
    stream.on("data", (bytes: Buffer) => {
      answers.push(wordOf(bytes));
      clearTimeout(timer);
      timer = setTimeout(() => finish("open"), moreMs);
    });
    stream.on("error", () => {});
    stream.on("status", ({ code, details }: StatusObject) => finish(`${code} ${plain(details)}`));
  });
}

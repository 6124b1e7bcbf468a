/**
 * What a caller says to a listener: bytes on a connection, or messages of a gRPC call. The first
 * are whole and valid, of every kind and method, from a caller that is not a member; others are
 * made of them by mutation. Those that led to an answer which none before had led to are kept as
 * the corpus, a line of JSON each.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { emptyHeader } from "../../dist/protocol/messages.js";
import type { Random } from "../../dist/random.js";
import { coordinatorMethods, parameterServerMethods } from "../../dist/transport/grpc/methods.js";
import { encodeChunk } from "../../dist/transport/wire/chunk-codec.js";
import {
  encodeFrame,
  encodeGreeting,
  encodeSignal,
} from "../../dist/transport/wire/frame-codec.js";
import { pullRequestBytes, registerRequestBytes } from "../../dist/transport/wire/service-codec.js";
import { encodeMemberMessage } from "../../dist/transport/wire/session-codec.js";
import { mutated, mutatedFrame } from "./mutations.js";

/** Which listener is called. */
export type Listener = "coordinator" | "server" | "idle";

/** How it is called: bytes alone, frames behind a greeting, or a method of gRPC by its path. */
export type Way = "bytes" | "frames" | "session" | `/${string}`;

/** One call. */
export interface Input {
  readonly listener: Listener;
  readonly way: Way;
  /** In the order in which they are said. */
  readonly pieces: readonly Buffer[];
}

/** A run that the caller may have heard of; nobody in it has the caller's names and numbers. */
const run = "run-1-of-nobody";
const stranger = { run, rank: 900, incarnation: 2 ** 40 + 3, term: 1, fence: 2 ** 40 + 2 } as const;
const kinds = [
  ...([
    "hello",
    "push",
    "pull",
    "load",
    "save",
    "follow",
    "snapshot",
    "entry",
    "received",
  ] as const),
  ...(["copy", "discard", "mark", "cut", "welcome", "reply", "loaded", "saved", "copied"] as const),
];
const identity = { role: "worker", rank: 900, incarnation: 2 ** 40 + 3 } as const;

function chunkPieces(encode: (header: typeof emptyHeader, payload: Buffer | null) => Buffer) {
  return kinds.map((kind) => {
    const carries = kind === "push" || kind === "load" || kind === "snapshot" || kind === "entry";
    const payload = carries ? Buffer.alloc(64, 1) : null;
    const detail = kind === "hello" || kind === "push" ? "" : '{"applied":[null]}';
    const header = { ...emptyHeader, ...stranger, kind, step: 1, examples: 1, detail };
    return encode(header, payload);
  });
}

/** What a member that has just come says, and what it might say later. */
const said: readonly Buffer[] = [
  encodeMemberMessage({
    ...{ type: "heartbeat", sequence: 1, received: 0, term: 1, activity: "" },
    ...{ server: null, worker: null, reach: [] },
  }),
  encodeMemberMessage({ type: "ready", run, tensors: [], engine: "none", algorithms: [] }),
  encodeMemberMessage({
    type: "viewAck",
    view: 1,
    sealedStep: 1,
    clockMin: 0,
    version: 0,
    departed: [],
  }),
  encodeMemberMessage({ type: "assignmentRefused", assignment: 1, reason: "none" }),
  encodeMemberMessage({ type: "pausing", pause: 1, step: 1 }),
  encodeMemberMessage({ type: "diverged", step: 1, what: "loss" }),
  encodeMemberMessage({ type: "returned", assignment: 1, step: 1, done: null }),
  encodeMemberMessage({ type: "leaving", reason: "none" }),
  encodeMemberMessage({ type: "leave", reason: "none", server: null, worker: null }),
];

/** Methods that a caller without credentials may call with effect, and is right to. */
const withEffect = ["/paceline.v1.Coordinator/Drain", "/paceline.v1.Coordinator/Submit"];

/** Valid calls of every kind. */
export function firstInputs(): Input[] {
  const frames = chunkPieces((header, payload) => {
    const head = encodeFrame(header, payload, "");
    return payload === null ? head : Buffer.concat([head, payload]);
  });
  const messages = chunkPieces((header, payload) => encodeChunk(header, payload));
  const paths = [...Object.values(coordinatorMethods), ...Object.values(parameterServerMethods)];
  const http2 = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const settings = Buffer.from("000000040000000000", "hex");
  const raw = [http2, Buffer.concat([http2, settings]), Buffer.of(0x16, 3, 1, 0, 200), said[0]!];
  return [
    ...frames.map((frame): Input => ({ listener: "server", way: "frames", pieces: [frame] })),
    { listener: "server", way: "frames", pieces: frames },
    { listener: "server", way: "frames", pieces: [encodeSignal("ping"), frames[1]!] },
    ...(["coordinator", "server"] as const).flatMap((listener) =>
      raw.map((bytes): Input => ({ listener, way: "bytes", pieces: [bytes] })),
    ),
    ...paths
      .filter(({ path }) => !withEffect.includes(path))
      .flatMap(({ path }) => callsOf(path as Way, messages)),
    { listener: "idle", way: "session", pieces: said },
    ...said.map((piece): Input => ({ listener: "idle", way: "session", pieces: [piece] })),
  ];
}

function callsOf(way: Way, messages: readonly Buffer[]): Input[] {
  if (way.includes("ParameterServer")) {
    const pull = pullRequestBytes.encode({ ...stranger, generation: 0, chunks: [0, 1] });
    const pieces = way.endsWith("/Pull") ? [pull] : messages;
    return [{ listener: "server", way, pieces }];
  }
  const open = encodeMemberMessage({ type: "open", ...identity });
  const register = registerRequestBytes.encode({
    ...{ protocol: 0, role: "worker", rank: 900, incarnation: null, pid: 7, host: "h" },
    ...{ address: "", frames: null, attempt: "a" },
  });
  const pieces = way.endsWith("/Heartbeat") ? [open, ...said] : [register];
  return [{ listener: "coordinator", way, pieces }];
}

/** The bytes that a frames connection begins with. */
export const greeting = encodeGreeting();

/** Another call, made of one of these. */
export function nextInput(known: readonly Input[], random: Random): Input {
  const pick = <T>(values: readonly T[]): T => values[random.below(values.length)]!;
  const base = pick(known);
  const pieces = [...base.pieces];
  if (random.below(8) === 0 || pieces.length === 0)
    pieces.push(pick(pick(known).pieces) ?? said[0]!);
  if (random.below(8) === 0) pieces.push(...pieces.slice(0, 64));
  const at = random.below(pieces.length);
  const isFrame = base.way === "frames" && random.below(2) === 0;
  const other = pick(pick(known).pieces) ?? Buffer.alloc(1);
  pieces[at] = isFrame ? mutatedFrame(pieces[at]!, random) : mutated(pieces[at]!, random, other);
  return { ...base, pieces: pieces.slice(0, 128) };
}

/** As a line of the corpus. */
export function inputLine({ listener, way, pieces }: Input, answer: string): string {
  const texts = pieces.map((piece) => piece.toString("base64"));
  return JSON.stringify({ listener, way, answer, pieces: texts });
}

const corpusFolder = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "test", "corpus");

/** Where the corpus lies, one file for each listener. */
export function corpusFile(listener: Listener): string {
  return join(corpusFolder, `${listener}.jsonl`);
}

/** The corpus, with the answer that each call had when it was kept. */
export function readCorpus(): (Input & { readonly answer: string })[] {
  return readdirSync(corpusFolder).flatMap((name) =>
    readFileSync(join(corpusFolder, name), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const { pieces, ...rest } = JSON.parse(line);
        return { ...rest, pieces: pieces.map((text: string) => Buffer.from(text, "base64")) };
      }),
  );
}

/**
 * What messages are on their way between two simulated processes: the objects themselves, or the
 * bytes that production writes, encoded where they are sent and decoded where they arrive. So some
 * runs have frames or gRPC messages in their path, and whatever a codec loses shows in their bits.
 */
import type {
  ChunkHeader,
  CoordinatorMessage,
  MemberMessage,
  RegisterReply,
  RegisterRequest,
} from "../protocol/messages.js";
import { decodeChunk, encodeChunk } from "../transport/wire/chunk-codec.js";
import {
  completeHeader,
  decodeFrameHead,
  encodeFrame,
  frameHeadBytes,
} from "../transport/wire/frame-codec.js";
import { registerReplyBytes, registerRequestBytes } from "../transport/wire/service-codec.js";
import {
  decodeCoordinatorMessage,
  decodeMemberMessage,
  encodeCoordinatorMessage,
  encodeMemberMessage,
} from "../transport/wire/session-codec.js";

/** The forms, by name. */
export const wireForms = ["objects", "frames", "grpc"] as const;
/** One of them. */
export type WireForm = (typeof wireForms)[number];

/** A message on its way; `unpack` is called where it arrives. */
export interface Packed<Message> {
  unpack(): Message;
}

/** Packs a chunk message's header, whose payload travels beside it. */
export function packHeader(
  form: WireForm,
  header: ChunkHeader,
  payload: Uint8Array | null,
  runBefore: string,
): Packed<ChunkHeader> {
  switch (form) {
    case "objects":
      return { unpack: () => header };
    case "frames": {
      const bytes = encodeFrame(header, payload, runBefore);
      const head = bytes.subarray(0, frameHeadBytes);
      const texts = bytes.subarray(frameHeadBytes);
      return { unpack: () => completeHeader(decodeFrameHead(head), texts, runBefore) };
    }
    case "grpc": {
      const bytes = encodeChunk(header, payload);
      return { unpack: () => decodeChunk(bytes).header };
    }
    default:
      return form satisfies never;
  }
}

/** Packs what a member says over its session. */
export function packUp(form: WireForm, message: MemberMessage): Packed<MemberMessage> {
  if (form === "objects") return { unpack: () => message };
  const bytes = encodeMemberMessage(message);
  return { unpack: () => decodeMemberMessage(bytes) as MemberMessage };
}

/** Packs what the coordinator says over a session. */
export function packDown(form: WireForm, message: CoordinatorMessage): Packed<CoordinatorMessage> {
  if (form === "objects") return { unpack: () => message };
  const bytes = encodeCoordinatorMessage(message);
  return { unpack: () => decodeCoordinatorMessage(bytes) };
}

/** A registration as it arrives. */
export function asked(form: WireForm, request: RegisterRequest): RegisterRequest {
  return form === "objects"
    ? request
    : registerRequestBytes.decode(registerRequestBytes.encode(request));
}

/** Its answer as it arrives. */
export function answered(form: WireForm, reply: RegisterReply): RegisterReply {
  return form === "objects" ? reply : registerReplyBytes.decode(registerReplyBytes.encode(reply));
}

/**
 * SHA-256 of a text's UTF-8 bytes, by @noble/hashes: the ring's positions must be the same in every
 * process and under simulation, and core reaches no platform module. That function is plain
 * JavaScript: the same bytes give the same digest everywhere. Bytes of files are summed by the
 * platform, where they are read.
 */
import { sha256 } from "@noble/hashes/sha2";

/** The digest as 64 lower-case hexadecimal digits. */
export function sha256Hex(text: string): string {
  const digest = sha256(new TextEncoder().encode(text));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

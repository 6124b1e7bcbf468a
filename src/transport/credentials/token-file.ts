/**
 * The cluster's token: a secret that all its processes read from a file of their own. The first
 * line is what this process sends; every line is accepted, so that a token is changed without a
 * stop: the next one is added below, then put first, then the old one is removed.
 *
 * Comparison takes the same time whatever differs, as digests are compared; no message has it.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { PacelineError } from "../../errors.js";
import { tokenBytesMax, tokenBytesMin } from "../wire/limits.js";
import { readSecurityFile, WatchedFiles } from "./watched-files.js";

interface Tokens {
  readonly sent: string;
  readonly digests: readonly Buffer[];
}

/** A token file in use. */
export class TokenFile {
  readonly path: string;
  readonly #files: WatchedFiles<Tokens>;

  /** Throws "usage" with the remedy where the file can't be used. */
  constructor(path: string, log: (text: string) => void) {
    this.path = path;
    this.#files = new WatchedFiles([path], () => readTokens(path), log);
  }

  /** What this process says. */
  get sent(): string {
    return this.#files.present().sent;
  }

  /** What is wrong with what a peer has said, as a remedy for it; null where nothing is. */
  objection(said: string): PacelineError | null {
    const digest = digestOf(said);
    let isKnown = false;
    for (const one of this.#files.present().digests) {
      isKnown = timingSafeEqual(one, digest) || isKnown;
    }
    if (isKnown) return null;
    const remedy = "give the cluster's with --token-file FILE";
    const sentence =
      said === "" ? "this cluster asks for a token" : "the token is not this cluster's";
    return new PacelineError("refused", `${sentence}: ${remedy}`);
  }
}

function readTokens(path: string): Tokens {
  const lines = readSecurityFile(path, "the token file", true).split(/\r?\n/);
  const tokens = lines.map((line) => line.trim()).filter((line) => line !== "");
  const make = `make one with: (umask 077; openssl rand -hex 32 > ${path})`;
  if (tokens.length === 0) throw usage(`the token file ${path} is empty; ${make}`);
  for (const [index, token] of tokens.entries()) {
    const where = `line ${index + 1} of the token file ${path}`;
    if (token.length < tokenBytesMin || token.length > tokenBytesMax) {
      const allowed = `${tokenBytesMin} to ${tokenBytesMax} characters`;
      throw usage(`${where} has ${token.length} characters, not ${allowed}; ${make}`);
    }
    if (!/^[!-~]+$/.test(token)) {
      throw usage(`${where} has blanks, or characters beyond ASCII; ${make}`);
    }
  }
  return { sent: tokens[0]!, digests: tokens.map(digestOf) };
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

/**
 * The connections that a process has with peers whose certificates were found good, called and
 * calling. Each second they are looked at again: one whose peer is by now revoked, expired or of
 * another authority is given up, and both ends hear why.
 *
 * How long a certificate is good is counted from the handshake by a clock that nobody sets: a time
 * of day that jumps ends no connection. Those that are made later are judged by the time of day.
 */
import { PacelineError } from "../../errors.js";
import { issuerIn } from "./certificate.js";
import type { Peer } from "./security.js";
import type { TlsMaterial } from "./tls-folder.js";

/** How often connections are looked at. */
const lookMs = 1000;

/** A connection that is there. */
interface Watched {
  readonly peer: Peer;
  /** "the certificate of 10.0.0.1:8000", for messages. */
  readonly whose: string;
  letGo(error: PacelineError): void;
}

/** The connections made with one process's certificates. */
export class PeerWatch {
  readonly #present: () => TlsMaterial;
  readonly #log: (text: string) => void;
  readonly #connections = new Set<Watched>();
  #looks: NodeJS.Timeout | null = null;

  constructor(present: () => TlsMaterial, log: (text: string) => void) {
    this.#present = present;
    this.#log = log;
  }

  /**
   * Looks at a connection until `forget` is called.
   * @param letGo ends it; the error can be tried again, as the peer may have another certificate.
   */
  add(peer: Peer, whose: string, letGo: (error: PacelineError) => void): () => void {
    const watched = { peer, whose, letGo };
    this.#connections.add(watched);
    this.#looks ??= setInterval(() => this.#look(), lookMs).unref();
    return () => {
      this.#connections.delete(watched);
      if (this.#connections.size > 0 || this.#looks === null) return;
      clearInterval(this.#looks);
      this.#looks = null;
    };
  }

  #look(): void {
    const material = this.#present();
    const nowMs = performance.now();
    const told = new Set<string>();
    for (const watched of [...this.#connections]) {
      const { peer, whose, letGo } = watched;
      const objection = presentObjection(peer, material, nowMs);
      if (objection === null) continue;
      this.#connections.delete(watched);
      const sentence = `${whose} ${objection}`;
      if (!told.has(sentence)) this.#log(`${sentence}: the connection is ended`);
      told.add(sentence);
      letGo(new PacelineError("unavailable", sentence));
    }
  }
}

/** What is wrong by now with a peer that was found good, to follow whose it is; null if nothing. */
export function presentObjection(
  { certificate, serial, role, goodUntilMs }: Peer,
  { revoked, authorities }: TlsMaterial,
  nowMs: number,
): string | null {
  if (revoked.has(serial)) return revokedSentence(serial, role);
  if (nowMs >= goodUntilMs) {
    const end = new Date(Date.parse(certificate.validTo)).toISOString();
    return `expired at ${end}; renew it with: paceline certs add ${role} --out DIR`;
  }
  if (issuerIn(authorities, certificate) !== null) return null;
  const remedy = "take those that one paceline certs init has made";
  return `is not of this cluster's authority any more; ${remedy}`;
}

/** What is told of a certificate that is revoked. */
export function revokedSentence(serial: string, role: string | null): string {
  const remedy = `make another with: paceline certs add ${role ?? "ROLE"} --out DIR`;
  return `(serial ${serial}) is revoked; ${remedy}`;
}

/**
 * The calling side of TLS: over a bare connection, or one that is being made, to a peer whose
 * certificate has to be of the cluster, of the role that is looked for, and good at the host that
 * was called where it names hosts.
 */
import type { Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { PacelineError, toPacelineError } from "../../errors.js";
import { unreachable } from "../connection-errors.js";
import { encodeGreeting, encodeSignal } from "../wire/frame-codec.js";
import { isGoodAt, readCertificate } from "./certificate.js";
import type { ClusterRole } from "./roles.js";
import { judgePeer, type Peer } from "./security.js";
import type { Certificates } from "./tls-folder.js";

/** Whom a connection is to be with. */
export interface Wanted {
  /** As it was called, for messages. */
  readonly address: string;
  /** Of the address. */
  readonly host: string;
  readonly role: ClusterRole;
}

/** What plain bytes look like where TLS is expected. */
const plainAnswer = /WRONG_VERSION_NUMBER|PACKET_LENGTH|UNEXPECTED_MESSAGE|HTTP_REQUEST|BAD_RECORD/;
/** What the other side says where no certificate, or none it takes, was sent in the handshake. */
const alerted = /ALERT/;

/** How long a peer that is not taken may take to read why. */
const lingerMs = 500;

/**
 * Makes the handshake over a socket; resolves when the peer has been found good. One that is not is
 * told why, as frames tell it, and the socket is ended.
 * @param letGo hears of a peer that was found good and is so no longer; it ends the connection.
 * @throws PacelineError "unavailable" where it can't be reached, "protocol" where it has another
 * role, else "refused" with the remedy.
 */
export function secure(
  socket: Socket,
  tls: Certificates,
  wanted: Wanted,
  letGo: (secured: TLSSocket, error: PacelineError) => void,
): Promise<TLSSocket> {
  const { context, revoked } = tls.present();
  return new Promise((resolve, reject) => {
    const fail = (error: PacelineError): void => {
      reject(error);
      socket.destroy();
    };
    let refusal: PacelineError | null = null;
    const broke = (error?: NodeJS.ErrnoException): void =>
      fail(refusal ?? failureOf(wanted, error));
    socket.on("error", broke);
    const secured = connect({
      socket,
      secureContext: context,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ALPNProtocols: ["h2"],
    });
    secured.on("error", broke);
    secured.once("close", () => broke());
    secured.once("secureConnect", () => {
      try {
        const whose = `the certificate of ${wanted.address}`;
        const peer = demandPeer(secured, revoked, wanted, whose);
        secured.once(
          "close",
          tls.peers.add(peer, whose, (error) => letGo(secured, error)),
        );
        resolve(secured);
      } catch (thrown) {
        const error = toPacelineError(thrown);
        refusal = error;
        sayWhy(secured, error, () => reject(error));
      }
    });
  });
}

/** A peer that is not taken hears why in the one message that both protocols' ports take. */
function sayWhy(secured: TLSSocket, { code, message }: PacelineError, then: () => void): void {
  const limit = setTimeout(() => secured.destroy(), lingerMs);
  secured.once("close", () => clearTimeout(limit));
  const said = Buffer.concat([encodeGreeting(), encodeSignal("fault", code, message)]);
  secured.resume().end(said, then);
}

function demandPeer(
  secured: TLSSocket,
  revoked: ReadonlySet<string>,
  { address, host, role }: Wanted,
  whose: string,
): Peer {
  const peer = judgePeer(secured, revoked, whose);
  if (peer.role !== role) {
    const sentence = `${address} is not a ${role === "server" ? "parameter server" : role}`;
    const found = `its certificate is of the role ${peer.role}`;
    throw new PacelineError("protocol", `${sentence}; check the address: ${found}`);
  }
  if (isGoodAt(peer.certificate, host)) return peer;
  const hosts = readCertificate(peer.certificate).hosts.join(", ");
  const remedy = `make it with: paceline certs add ${role} --out DIR --host ${host}`;
  throw new PacelineError("refused", `the certificate of ${address} is for ${hosts}; ${remedy}`);
}

function failureOf({ address }: Wanted, error?: NodeJS.ErrnoException): PacelineError {
  const code = error?.code ?? "";
  if (plainAnswer.test(code)) {
    const sentence = `${address} answers without TLS`;
    const remedy = "start it with --tls DIR, or call it without --tls";
    return new PacelineError("refused", `${sentence}; ${remedy}`, { cause: error });
  }
  if (alerted.test(code)) {
    const remedy = "are both certificates of one paceline certs init?";
    const sentence = `${address} refused the handshake (${code})`;
    return new PacelineError("refused", `${sentence}; ${remedy}`, { cause: error });
  }
  if (error === undefined || code === "ECONNRESET") {
    const sentence = `${address} ended the connection before TLS was agreed on`;
    return new PacelineError("unavailable", `${sentence}; does it run with --tls?`, {
      cause: error,
    });
  }
  return unreachable(address, code || error.message);
}

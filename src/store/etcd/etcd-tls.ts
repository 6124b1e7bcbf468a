/**
 * TLS to an etcd: its certificate has to be of an authority that is trusted, for the host that is
 * called; where the etcd asks for one (--client-cert-auth) a certificate of one's own is shown. The
 * handshake stands in the place where grpc-js makes its, so that what is wrong is known in words;
 * what it is made with is asked for at each connection, so that files may be renewed.
 */
import { connect as connectInClear, isIP, type Socket } from "node:net";
import { connect, type SecureContext, type TLSSocket } from "node:tls";
import { ChannelCredentials, credentials } from "@grpc/grpc-js";
import { parseHostPort } from "../../protocol/host-port.js";

/** What connections to an etcd are made with. */
export interface EtcdTls {
  /** As it is by now. */
  present(): EtcdMaterial;
}

/** Whom to trust, and what is shown. */
export interface EtcdMaterial {
  readonly context: SecureContext;
  /** False where no certificate of one's own is shown. */
  readonly showsCertificate: boolean;
}

type Given = Parameters<ChannelCredentials["_createSecureConnector"]>;
type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** Credentials for connections to one member of an etcd. */
export class EtcdCredentials extends ChannelCredentials {
  readonly #host: string;
  readonly #tls: EtcdTls;
  /**
   * What was wrong with a connection, to follow who was called; null if nothing. Who gets an answer
   * takes it back.
   */
  trouble: string | null = null;

  /** @param endpoint host:port of the member. */
  constructor(endpoint: string, tls: EtcdTls) {
    super();
    const parsed = parseHostPort(endpoint);
    this.#host = "problem" in parsed ? endpoint : parsed.host;
    this.#tls = tls;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(...given: Given): Connector {
    const plain = credentials.createInsecure()._createSecureConnector(...given);
    return {
      ...plain,
      connect: async (socket) => ({ socket: await this.#secure(socket), secure: true }),
    };
  }

  #secure(socket: Socket): Promise<TLSSocket> {
    const host = this.#host;
    const { context, showsCertificate } = this.#tls.present();
    return new Promise((resolve, reject) => {
      const secured = connect({
        ...{ socket, host, secureContext: context, ALPNProtocols: ["h2"] },
        ...(isIP(host) === 0 ? { servername: host } : {}),
      });
      // Of TLS 1.3 who is called refuses a certificate when the handshake is done on this side.
      secured.on("error", (error: NodeJS.ErrnoException) => {
        this.trouble = troubleOf(error, showsCertificate) ?? this.trouble;
        reject(error);
      });
      secured.once("close", () => reject(new Error("the connection ended in the handshake")));
      secured.once("secureConnect", () => resolve(secured));
    });
  }
}

/**
 * What is wrong where TLS is expected and not spoken, or the other way round, to follow who was
 * called; null where it is neither, or nobody says within the limit. An etcd in clear waits for
 * more of a handshake, so that it is asked in clear as well.
 * @param endpoint host:port of a member that has not answered.
 */
export async function mismatchAt(
  endpoint: string,
  isSecured: boolean,
  limitMs: number,
): Promise<string | null> {
  const parsed = parseHostPort(endpoint);
  if ("problem" in parsed || parsed.port === null) return null;
  const place = { host: parsed.host, port: parsed.port };
  if (isSecured) return (await answersInClear(place, limitMs)) ? inClear : null;
  return (await speaksTls(place, limitMs)) ? "speaks TLS; give --store-tls DIR" : null;
}

const inClear = "answers without TLS; leave --store-tls out, or start it with --cert-file";

interface Place {
  readonly host: string;
  readonly port: number;
}

function speaksTls(place: Place, limitMs: number): Promise<boolean> {
  const socket = connect({ ...place, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  return within(limitMs, socket, (tell) => {
    socket.once("secureConnect", () => tell(true));
    socket.on("error", ({ code = "" }: NodeJS.ErrnoException) => tell(code.includes("ALERT")));
  });
}

function answersInClear(place: Place, limitMs: number): Promise<boolean> {
  const socket = connectInClear(place);
  return within(limitMs, socket, (tell) => {
    socket.on("error", () => tell(false));
    socket.once("close", () => tell(false));
    // What speaks TLS may say so in clear, as a bad request.
    socket.once("data", (bytes) => tell(/^HTTP\/\S+ (?!400)/.test(bytes.toString("latin1"))));
    socket.write("GET /health HTTP/1.0\r\n\r\n");
  });
}

/** What is told first, or false after the limit; the socket is ended. */
function within(
  limitMs: number,
  socket: Socket,
  listen: (tell: (found: boolean) => void) => void,
): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    const limit = setTimeout(() => tell(false), limitMs);
    const tell = (found: boolean): void => {
      clearTimeout(limit);
      resolve(found);
      socket.destroy();
    };
    listen(tell);
  });
}

/** What an error of TLS means, in words; null where it is none of TLS. */
function troubleOf(
  { code = "", message }: NodeJS.ErrnoException,
  showsCertificate: boolean,
): string | null {
  if (/ALERT.*(CERTIFICATE|UNKNOWN_CA|DENIED)|alert.*certificate/i.test(code + message)) {
    // A missing certificate is often called a bad one.
    if (!showsCertificate) {
      return "asks for a certificate; put client.pem and client-key.pem into --store-tls";
    }
    return `does not take the certificate client.pem of --store-tls (${code || message})`;
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `has a certificate for another host; correct --store, or make it for this one`;
  }
  if (code === "CERT_HAS_EXPIRED") return "has a certificate that has expired";
  if (/SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|CERT_|UNTRUSTED/.test(code)) {
    return `has a certificate that is not of an authority in ca.pem of --store-tls (${code})`;
  }
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH|BAD_RECORD/.test(code)) {
    return inClear;
  }
  return null;
}

/**
 * A gRPC connection to one address, plain or encrypted as this process's credentials say. The
 * handshake is Paceline's own (credentials/tls-dial.ts), in the place where grpc-js makes its: so
 * what is wrong with a certificate is known here, and not a line of the library's.
 */
import {
  ChannelCredentials,
  Client,
  connectivityState,
  credentials,
  type Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import { type PacelineError, toPacelineError } from "../../errors.js";
import { isPathAddress, placeOf } from "../addresses.js";
import type { ClusterRole } from "../credentials/roles.js";
import { secure, type Wanted } from "../credentials/tls-dial.js";
import type { Certificates } from "../credentials/tls-folder.js";
import { callMetadata } from "./call-guard.js";
import { MadeSockets } from "./endable-target.js";
import { clientOptions, type GrpcLimits } from "./methods.js";
import { fromServiceError, fromStatus } from "./status-errors.js";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** A connection, and what is the matter with it. */
export class GrpcConnection {
  readonly client: Client;
  readonly #address: string;
  readonly #called: string;
  readonly #limits: GrpcLimits;
  readonly #channel: OwnChannel | null;
  readonly #sockets = new MadeSockets();

  /** @param role the role that the peer must have, where there are certificates. */
  constructor(address: string, role: ClusterRole, limits: GrpcLimits) {
    this.#address = address;
    this.#called = role === "server" ? "parameter server" : role;
    this.#limits = limits;
    const options = clientOptions(limits);
    if (isPathAddress(address)) {
      // Whether a Unix socket can be connected to is known at once.
      this.#channel = null;
      this.client = new Client(address, credentials.createInsecure(), options);
      return;
    }
    const endable = this.#sockets.targetFor(address);
    this.#channel = new OwnChannel(limits.security?.tls ?? null, address, role);
    this.client = new Client(endable.target, this.#channel, { ...options, ...endable.options });
  }

  /** What each call carries beside its message. */
  get metadata(): Metadata {
    return callMetadata(this.#limits.security?.token?.sent ?? null);
  }

  /** What the end of a stream means; `connected` tells whether the other side had answered. */
  ended(status: StatusObject, connected: boolean): PacelineError {
    const known = this.#channel;
    const failure = connected ? known?.lost : (known?.failure ?? known?.lost);
    return failure ?? fromStatus(status, this.#address, this.#called, connected);
  }

  /** What the failure of a call means. */
  failed(error: ServiceError): PacelineError {
    const known = this.#channel?.failure ?? this.#channel?.lost;
    return known ?? fromServiceError(error, this.#address, this.#called);
  }

  /** Ends it: in good order where it stands, at once where it is still being made. */
  close(): void {
    const state = this.client.getChannel().getConnectivityState(false);
    this.client.close();
    if (state !== connectivityState.READY) this.#sockets.end();
  }
}

/** Credentials with a handshake of ours, where there is one; what made the last fail is kept. */
class OwnChannel extends ChannelCredentials {
  failure: PacelineError | null = null;
  /** Why the last connection was ended from here, whose peer had been found good. */
  lost: PacelineError | null = null;
  readonly #secured: { readonly tls: Certificates; readonly wanted: Wanted } | null;

  /** @param tls null where the connection is plain. */
  constructor(tls: Certificates | null, address: string, role: ClusterRole) {
    super();
    const place = tls === null ? null : placeOf(address);
    const host = place?.kind === "port" ? place.host : "";
    this.#secured = tls === null ? null : { tls, wanted: { address, host, role } };
  }

  override _isSecure(): boolean {
    return this.#secured !== null;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...given: Parameters<ChannelCredentials["_createSecureConnector"]>
  ): Connector {
    const plain = credentials.createInsecure()._createSecureConnector(...given);
    return {
      ...plain,
      connect: async (socket) => {
        // A socket that is ended between two steps of the library has no other listener.
        socket.on("error", () => {});
        if (this.#secured === null) return { socket, secure: false };
        try {
          const { tls, wanted } = this.#secured;
          const secured = await secure(socket, tls, wanted, (gone, error) => {
            this.lost = error;
            gone.destroy();
          });
          this.failure = null;
          this.lost = null;
          return { socket: secured, secure: true };
        } catch (thrown) {
          this.failure = toPacelineError(thrown);
          throw this.failure;
        }
      },
    };
  }
}

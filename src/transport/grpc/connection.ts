/**
 * A gRPC connection to one address, plain or encrypted as this process's credentials say. The
 * handshake is Paceline's own (credentials/tls-dial.ts), in the place where grpc-js makes its: so
 * what is wrong with a certificate is known here, and not a line of the library's.
 */
import {
  ChannelCredentials,
  Client,
  credentials,
  type Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import { type PacelineError, toPacelineError } from "../../errors.js";
import { placeOf } from "../addresses.js";
import type { ClusterRole } from "../credentials/roles.js";
import { secure, type Wanted } from "../credentials/tls-dial.js";
import type { Certificates } from "../credentials/tls-folder.js";
import { callMetadata } from "./call-guard.js";
import { clientOptions, type GrpcLimits } from "./methods.js";
import { fromServiceError, fromStatus } from "./status-errors.js";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** A connection, and what is the matter with it. */
export class GrpcConnection {
  readonly client: Client;
  readonly #address: string;
  readonly #called: string;
  readonly #limits: GrpcLimits;
  readonly #secured: SecuredChannel | null;

  /** @param role the role that the peer must have, where there are certificates. */
  constructor(address: string, role: ClusterRole, limits: GrpcLimits) {
    this.#address = address;
    this.#called = role === "server" ? "parameter server" : role;
    this.#limits = limits;
    const tls = limits.security?.tls ?? null;
    const place = tls === null ? null : placeOf(address);
    this.#secured =
      tls === null || place?.kind !== "port"
        ? null
        : new SecuredChannel(tls, { address, host: place.host, role });
    const channel = this.#secured ?? credentials.createInsecure();
    this.client = new Client(address, channel, clientOptions(limits));
  }

  /** What each call carries beside its message. */
  get metadata(): Metadata {
    return callMetadata(this.#limits.security?.token?.sent ?? null);
  }

  /** What the end of a stream means; `connected` tells whether the other side had answered. */
  ended(status: StatusObject, connected: boolean): PacelineError {
    const known = this.#secured;
    const failure = connected ? known?.lost : (known?.failure ?? known?.lost);
    return failure ?? fromStatus(status, this.#address, this.#called, connected);
  }

  /** What the failure of a call means. */
  failed(error: ServiceError): PacelineError {
    const known = this.#secured?.failure ?? this.#secured?.lost;
    return known ?? fromServiceError(error, this.#address, this.#called);
  }
}

/** Credentials with a handshake of ours; what made the last one fail is kept. */
class SecuredChannel extends ChannelCredentials {
  failure: PacelineError | null = null;
  /** Why the last connection was ended from here, whose peer had been found good. */
  lost: PacelineError | null = null;
  readonly #tls: Certificates;
  readonly #wanted: Wanted;

  constructor(tls: Certificates, wanted: Wanted) {
    super();
    this.#tls = tls;
    this.#wanted = wanted;
  }

  override _isSecure(): boolean {
    return true;
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
        try {
          const secured = await secure(socket, this.#tls, this.#wanted, (gone, error) => {
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

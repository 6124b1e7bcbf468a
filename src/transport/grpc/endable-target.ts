/**
 * Names for grpc-js under which the sockets it makes can be ended. Until HTTP/2 is agreed on over a
 * socket the library keeps it to itself, and closing the client leaves it: to the system's
 * time-outs, two minutes where the other side drops what it is sent, and for ever where one accepts
 * and says nothing. What a resolver answers is what the library connects to, in the words of
 * net.connect; so an address with a signal makes a socket that the signal destroys.
 */
import { type ChannelOptions, experimental } from "@grpc/grpc-js";

const scheme = "paceline";
const optionName = "paceline.sockets";
/** Of one address: a further try begins when the one before has ended. */
const signalsMax = 4;

/** What ends the sockets that a client is making. */
export class MadeSockets {
  readonly #controllers = new Map<string, AbortController[]>();
  #isEnded = false;

  /** A target for host:port, and the option by which its sockets are among these. */
  targetFor(address: string): { readonly target: string; readonly options: ChannelOptions } {
    return { target: `${scheme}:${address}`, options: { [optionName]: this } };
  }

  /**
   * The address, with a signal of its own each time that it is connected to: a socket stays among
   * the listeners of its signal when it is gone.
   */
  endable(address: experimental.SubchannelAddress): experimental.SubchannelAddress {
    const key = experimental.subchannelAddressToString(address);
    const controllers = this.#controllers.get(key) ?? [];
    this.#controllers.set(key, controllers);
    const next = (): AbortSignal => {
      const controller = new AbortController();
      if (this.#isEnded) controller.abort();
      controllers.push(controller);
      if (controllers.length > signalsMax) controllers.shift();
      return controller.signal;
    };
    return Object.defineProperty({ ...address }, "signal", { get: next, enumerable: true });
  }

  /** Destroys those that are being made, and have been; no other is made. */
  end(): void {
    this.#isEnded = true;
    for (const controller of [...this.#controllers.values()].flat()) controller.abort();
  }
}

/** Finds addresses as DNS has them. */
class EndableResolver implements experimental.Resolver {
  readonly #found: experimental.Resolver;

  constructor(
    { path }: experimental.GrpcUri,
    listener: experimental.ResolverListener,
    options: ChannelOptions,
  ) {
    const sockets = options[optionName] as MadeSockets;
    const endable = ({ addresses }: experimental.Endpoint): experimental.Endpoint => ({
      addresses: addresses.map((address) => sockets.endable(address)),
    });
    const heard: experimental.ResolverListener = (found, ...more) =>
      listener(found.ok ? { ...found, value: found.value.map(endable) } : found, ...more);
    this.#found = experimental.createResolver({ scheme: "dns", path }, heard, options);
  }

  /** What HTTP/2 calls the other side: host:port, as without this resolver. */
  static getDefaultAuthority({ path }: experimental.GrpcUri): string {
    return path;
  }

  updateResolution(): void {
    this.#found.updateResolution();
  }

  destroy(): void {
    this.#found.destroy();
  }
}

experimental.registerResolver(scheme, EndableResolver);

/**
 * The links of one worker to all its servers, as one that can be delayed and narrowed: a proxy on
 * loopback for each server's place, all of them over one path. So a bandwidth is the worker's, not
 * each link's, as that of a network card.
 *
 * A Unix socket is no network: chunks go by TCP, as frames where the server takes them.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import type { Slowness } from "../../protocol/injected-fault.js";
import type { TransportChoice, ViewServer } from "../../protocol/view.js";
import { framesAddress, placeOf } from "../../transport/addresses.js";
import { ShapedPath } from "../../transport/shaping/shaping-link.js";
import { type ShapingProxy, startShapingProxy } from "../../transport/shaping/shaping-proxy.js";

/** Which way chunks take, and whether it is encrypted. */
export interface ShapedWay {
  readonly transport: TransportChoice;
  readonly tls: boolean;
}

/** Links that take their shape from here. */
export class ShapedLinks {
  readonly #way: ShapedWay;
  readonly #path = new ShapedPath();
  readonly #proxies: ShapingProxy[] = [];

  /** @throws PacelineError `usage` where chunks may only take a Unix socket. */
  constructor(way: ShapedWay) {
    if (way.transport === "unix") throw new PacelineError("usage", unshapedWords);
    this.#way = way;
  }

  /** Makes room for the links to so many servers. */
  async open(servers: number): Promise<void> {
    while (this.#proxies.length < servers) {
      this.#proxies.push(await startShapingProxy({ path: this.#path }));
    }
  }

  /**
   * The address that stands for the server's.
   * @throws PacelineError `usage` where the server does not take what was asked for.
   */
  through({ index, address, frames }: ViewServer): string {
    const { transport, tls } = this.#way;
    const proxy = this.#proxies[index];
    assert(proxy !== undefined, "links are opened first", { index, open: this.#proxies.length });
    const tcp = transport === "grpc" ? "" : (frames?.tcp ?? "");
    if (transport === "tcp" && tcp === "") {
      const what = `--transport tcp: it takes no frames (server ${index} at ${address})`;
      throw new PacelineError("usage", `${what}; take --transport grpc or auto`);
    }
    const target = tcp === "" ? address : tcp;
    const place = placeOf(target);
    if (tls && place.kind === "port" && !/^(127\.[\d.]+|localhost)$/.test(place.host)) {
      const what = `a straggler's links with TLS go to this machine alone, not to ${target}`;
      throw new PacelineError("usage", `${what}; use slow=2x in place of delay and bandwidth`);
    }
    proxy.aim(target);
    return tcp === "" ? proxy.address : framesAddress(proxy.address);
  }

  /** What is sent from here on, either way, is shaped like this. */
  shape({ delayMs, bitsPerSecond }: Slowness): void {
    this.#path.network.setDelay(Math.min(delayMs, delayMsMax));
    this.#path.network.setBandwidth(bitsPerSecond === null ? null : bitsPerSecond / 8);
  }

  /** Ends every connection. */
  async close(): Promise<void> {
    await Promise.all(this.#proxies.splice(0).map((proxy) => proxy.close()));
  }
}

/** A path has no longer delay, however many faults add up. */
const delayMsMax = 60_000;

/** Why a Unix socket can't be shaped, and what to do. */
export const unshapedWords =
  "a straggler's delay and bandwidth are of a network link, and --transport unix has none; " +
  "write --transport auto or tcp, or slow=2x";

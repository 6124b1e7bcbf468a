/**
 * A server's links to the servers whose chunks it has copies of, and to the one that decides who is
 * in a step. It opens one to each primary of such a chunk, so that nobody else can bring it an
 * entry: what comes by a link is from whom the view names.
 */

import { deciderChunk } from "../core/server/step-decisions.js";
import { paceOf } from "../core/sync/modes.js";
import { toPacelineError } from "../errors.js";
import type { ServerReach } from "../protocol/identity.js";
import type { ChunkHeader } from "../protocol/messages.js";
import {
  primaryOf,
  rolesOfServer,
  supersedes,
  type View,
  type ViewServer,
} from "../protocol/view.js";
import type { Transport } from "../transport/transport.js";
import type { Clock } from "./clock.js";
import { ServerLink } from "./server-link.js";

/** What the links need around them. */
export interface ReplicaLinksParts {
  readonly transport: Transport;
  /** Where a server takes chunks; its address if left out. */
  readonly route?: (server: ViewServer) => string;
  readonly clock: Clock;
  readonly ioTimeoutMs?: number;
  readonly index: number;
  log(text: string): void;
}

/** What the links tell the server that has them. */
export interface ReplicaLinksListener {
  onLinked(server: number): void;
  /** Memory for a message's payload, or null to throw it away. */
  onHeader(server: number, header: ChunkHeader, payloadBytes: number): Uint8Array | null;
  onChunk(server: number, header: ChunkHeader): void;
  /** The link is gone, also in the middle of a message. */
  onTrouble(server: number): void;
}

interface Linked {
  readonly link: ServerLink;
  readonly incarnation: number;
}

/** The links of one server in one run. */
export class ReplicaLinks {
  readonly #parts: ReplicaLinksParts;
  readonly #run: string;
  readonly #listener: ReplicaLinksListener;
  readonly #links = new Map<number, Linked>();
  #view: View | null = null;

  constructor(parts: ReplicaLinksParts, run: string, listener: ReplicaLinksListener) {
    this.#parts = parts;
    this.#run = run;
    this.#listener = listener;
  }

  /**
   * Goes over to a later view: links to those who lead chunks copied here and, where one chunk
   * decides who is in a step, to who leads that; to no others. False where the view does not
   * supersede the last: links stay as they are.
   */
  follow(view: View): boolean {
    if (this.#view !== null && !supersedes(view, this.#view)) return false;
    this.#view = view;
    const { index } = this.#parts;
    const leaders = new Set<number>();
    for (const [chunk, role] of rolesOfServer(view, index)) {
      const primary = primaryOf(view, chunk);
      if (role !== "primary" && primary !== undefined) leaders.add(primary);
    }
    const decider = primaryOf(view, deciderChunk);
    const isTold = paceOf(view.protocol).hasDecider && decider !== index;
    if (isTold && decider !== undefined) leaders.add(decider);
    const wanted = view.servers.filter((server) => leaders.has(server.index));
    for (const [server, { incarnation }] of this.#links) {
      const isKept = wanted.some((one) => one.index === server && one.incarnation === incarnation);
      if (!isKept) this.#drop(server);
    }
    const { incarnation } = view.servers.find((server) => server.index === index) ?? {};
    for (const server of wanted) this.#connect(server, incarnation ?? 0);
    return true;
  }

  /** Says something to a server; nothing where there is no way to it, as `onLinked` follows. */
  tell(server: number, header: ChunkHeader): void {
    this.#links.get(server)?.link.send(header, null);
  }

  /** Which servers are reached. */
  reach(): ServerReach[] {
    return [...this.#links].flatMap(([server, { link, incarnation }]) =>
      link.reachOf(server, incarnation),
    );
  }

  /** Ends every link. */
  close(): void {
    for (const server of [...this.#links.keys()]) this.#drop(server);
  }

  #drop(server: number): void {
    this.#links.get(server)?.link.close();
    this.#links.delete(server);
    this.#listener.onTrouble(server);
  }

  #connect(target: ViewServer, ownIncarnation: number): void {
    const server = target.index;
    if (this.#links.has(server)) return;
    const { log, route, index } = this.#parts;
    const find = () => route?.(target) ?? target.address;
    const identity = { run: this.#run, rank: index, incarnation: ownIncarnation };
    try {
      const link = new ServerLink(this.#parts, find, identity, {
        onOpen: () => this.#listener.onLinked(server),
        onHeader: (header, payloadBytes) => this.#listener.onHeader(server, header, payloadBytes),
        onChunk: (header) => this.#listener.onChunk(server, header),
        onTrouble: (reason) => {
          this.#listener.onTrouble(server);
          log(reason);
        },
      });
      this.#links.set(server, { link, incarnation: target.incarnation });
    } catch (thrown) {
      log(`server ${server} has no way to it: ${toPacelineError(thrown).message}`);
    }
  }
}

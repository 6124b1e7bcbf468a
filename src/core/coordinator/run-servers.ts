/**
 * The servers of a run while it trains: which are in, who holds which chunk, and what changes when
 * one is lost, comes or has caught up. It asks for what follows in the views.
 */
import type { MemberMessage } from "../../protocol/messages.js";
import { placeChunks } from "../../protocol/placement.js";
import type { ViewServer } from "../../protocol/view.js";
import { paceOf } from "../sync/modes.js";
import type { RunSetup } from "../work/run-setup.js";
import { Replication } from "./replication.js";
import type { Member } from "./roster.js";
import { ViewRounds } from "./view-rounds.js";

/** The servers of one run. */
export class RunServers {
  readonly views: ViewRounds;
  readonly #replication: Replication;
  readonly #wanted: number;
  #told = "";

  /** Chunks are placed on these servers; no worker is in yet. */
  constructor({ spec, layout, generation }: RunSetup, term: number, members: readonly Member[]) {
    const { chunks } = layout;
    const { virtualNodes, loadBound, run } = spec;
    const servers = members.map(({ rank }) => rank);
    const { primaries } = placeChunks({ chunks, servers, virtualNodes, loadBound });
    this.#wanted = spec.replicas;
    this.#replication = new Replication({
      ...{ chunks, servers, virtualNodes, primaries },
      replicas: spec.replicas,
    });
    const { replicas } = this.#replication;
    const first = { run, servers: members.map(viewServerOf), replicas };
    this.views = new ViewRounds(first, paceOf(spec, 0), term, generation);
    this.views.nominate(this.#replication.candidates);
  }

  /** How many there are. */
  get count(): number {
    return this.views.servers().length;
  }

  /** True where every chunk has an in-sync replica without this life of a server. */
  canSpare({ rank, incarnation }: Member): boolean {
    return !this.views.hasServer({ index: rank, incarnation }) || this.#replication.canSpare(rank);
  }

  /** A server is gone that can be spared: the chunks that it led go to their backups. */
  lose({ rank, incarnation }: Member): void {
    if (!this.views.hasServer({ index: rank, incarnation })) return;
    this.#replication.lose(rank);
    // Copies that are made before anyone looks are news all the same.
    this.#told = "";
    this.#place();
    this.views.removeServer(rank);
  }

  /** A server has prepared itself after training began. */
  join(member: Member): void {
    const server = viewServerOf(member);
    if (this.views.hasServer(server)) return;
    this.views.admitServer(server);
    this.#replication.join(member.rank);
    this.#place();
  }

  /** A primary waits for a candidate from here on. */
  caughtUp(message: MemberMessage & { readonly type: "caughtUp" }): void {
    const { chunk, server: index, incarnation } = message;
    if (!this.views.hasServer({ index, incarnation })) return;
    if (this.#replication.caughtUp(chunk, index)) this.#place();
  }

  /** A sentence on how many servers hold each chunk, where that has changed; else null. */
  news(): string | null {
    if (this.#wanted < 2 || this.views.busy) return null;
    const text = this.#stand();
    if (text === this.#told) return null;
    this.#told = text;
    return text;
  }

  #stand(): string {
    const { isRedundant } = this.#replication;
    const missing = this.#wanted - this.count;
    const more = `${missing} more server${missing === 1 ? "" : "s"}`;
    const short = missing > 0 ? `; --replicas ${this.#wanted} needs ${more}` : "";
    if (this.count < 2) return `every chunk is on one server${short}`;
    if (!isRedundant) return `some chunks lack a replica, which is copied meanwhile${short}`;
    return `redundant: every chunk is on ${Math.min(this.#wanted, this.count)} servers${short}`;
  }

  #place(): void {
    this.#replication.replicas.forEach((servers, chunk) => {
      this.views.place(chunk, servers);
    });
    this.views.nominate(this.#replication.candidates);
  }
}

function viewServerOf({ rank, incarnation, address, frames }: Member): ViewServer {
  return { index: rank, incarnation, address, frames };
}

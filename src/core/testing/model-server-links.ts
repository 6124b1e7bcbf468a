/**
 * Links between the servers of a model cluster, on which one says to another who is in a step. Now
 * and then one breaks: what is on its way is lost, and a little later it is open again.
 */
import type { ChunkHeader } from "../../protocol/messages.js";
import type { DecidedPush } from "../server/chunk-state.js";
import type { ModelCluster } from "./model-cluster.js";
import type { ModelServer } from "./model-members.js";

/** Channels between servers have numbers from here on, plus the index of who asks. */
const firstChannel = 1_000_000_000;

/** The links. */
export class ModelServerLinks {
  readonly #cluster: ModelCluster;
  /** By the index of who asks: how often its link broke. */
  readonly #breaks = new Map<number, number>();
  /** How many broke. */
  broken = 0;

  constructor(cluster: ModelCluster) {
    this.#cluster = cluster;
  }

  /** Says something to a server whose chunk another depends on. */
  tell(from: ModelServer, server: number, header: ChunkHeader): void {
    const { network } = this.#cluster;
    const count = this.#breaks.get(from.rank) ?? 0;
    if (network.random.below(4) === 0) {
      this.broken++;
      this.#breaks.set(from.rank, count + 1);
      network.after(network.between(1, 200), () => from.hear({ type: "linked", server }));
      return;
    }
    network.deliver(`server${from.rank}>${server}`, () => {
      if (!this.#isBroken(from.rank, count)) {
        this.#serverOf(server)?.take(header, null, firstChannel + from.rank);
      }
    });
  }

  /** An answer to a server; false where the channel is none of theirs. */
  answer(channel: number, { kind, generation, step, version, detail }: ChunkHeader): boolean {
    if (channel < firstChannel) return false;
    const rank = channel - firstChannel;
    const count = this.#breaks.get(rank) ?? 0;
    if (kind !== "sealed") return true;
    const decided = JSON.parse(detail) as DecidedPush[];
    const decision = { generation, step, seq: version, decided };
    this.#cluster.network.deliver(`sealed>${rank}`, () => {
      if (!this.#isBroken(rank, count)) this.#serverOf(rank)?.hear({ type: "sealed", decision });
    });
    return true;
  }

  #isBroken(rank: number, count: number): boolean {
    return (this.#breaks.get(rank) ?? 0) !== count;
  }

  #serverOf(rank: number): ModelServer | undefined {
    return this.#cluster.servers().find((server) => server.alive && server.rank === rank);
  }
}

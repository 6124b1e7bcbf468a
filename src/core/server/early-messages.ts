/**
 * Pushes and pulls that came before the view or the load that may allow them. Views reach servers
 * before workers, but not before what workers send at once; so a message is kept until its time
 * comes. A repeated request replaces the earlier one, and their number is limited, so that no
 * sender can fill a server with them.
 */
import type { ChunkHeader } from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";

interface Early {
  readonly type: "push" | "pull" | "follow" | "watch";
  readonly header: ChunkHeader;
  /** Slot of a push's gradient; -1 or none where there is none. */
  readonly slot?: number;
}

/**
 * The most that may come before their view: a push and a pull of each worker for each chunk, one of
 * each other server that is to have a copy of it, and one of each that leads another.
 */
export function earlyMax(
  { workersMax, servers, serversMax }: Pick<RunSpec, "workersMax" | "servers" | "serversMax">,
  chunks: number,
): number {
  return (2 * workersMax + (serversMax ?? servers)) * chunks + (serversMax ?? servers);
}

/** The messages kept. */
export class EarlyMessages<Message extends Early> {
  readonly places: number;
  #kept: Message[] = [];

  /** `places`: the most that are kept. */
  constructor(places: number) {
    this.places = places;
  }

  /**
   * Takes one in; the message whose place it took, and itself where there is no place, are given
   * up.
   */
  keep(message: Message): { readonly kept: boolean; readonly replaced: Message | undefined } {
    const { kind, chunk, incarnation } = message.header;
    const same = this.#kept.findIndex(
      ({ header }) =>
        header.kind === kind && header.chunk === chunk && header.incarnation === incarnation,
    );
    const [replaced] = same < 0 ? [] : this.#kept.splice(same, 1);
    const kept = this.#kept.length < this.places;
    if (kept) this.#kept.push(message);
    return { kept, replaced };
  }

  /** Takes all out, in the order of their coming. */
  take(): Message[] {
    const kept = this.#kept;
    this.#kept = [];
    return kept;
  }
}

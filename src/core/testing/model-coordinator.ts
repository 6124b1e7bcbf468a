/**
 * A coordinator's machine as its host drives it, in virtual time: one event after the other, and
 * effects in their order. What has to be durable first takes a while, in which nothing behind it is
 * done and events wait.
 */

import type { RegisterReply, RegisterRequest } from "../../protocol/messages.js";
import { Coordinator } from "../coordinator/coordinator.js";
import type {
  CoordinatorConfig,
  CoordinatorEffect,
  CoordinatorEvent,
} from "../coordinator/coordinator-events.js";
import type { CoordinatorRecord } from "../coordinator/coordinator-record.js";
import type { ModelNetwork } from "./model-network.js";

/** What is left to do when durability and registrations are seen to. */
export type ModelEffect = Exclude<CoordinatorEffect, { readonly type: "persist" | "registered" }>;

/** How long it takes to make something durable. */
const persistMs = 5;

/** The machine and its turns. */
export class ModelCoordinator {
  readonly machine: Coordinator;
  /** What was made durable. */
  readonly records: CoordinatorRecord[] = [];
  /** Why nothing can be made durable; null where it can. */
  persistProblem: string | null = null;
  readonly #network: ModelNetwork;
  readonly #perform: (effect: ModelEffect) => void;
  /** Events that wait for their turn, with the time of their coming. */
  readonly #inbox: { readonly event: CoordinatorEvent; readonly atMs: number }[] = [];
  readonly #asked = new Map<RegisterRequest, (reply: RegisterReply) => void>();
  #isBusy = false;

  constructor(
    config: CoordinatorConfig,
    network: ModelNetwork,
    perform: (effect: ModelEffect) => void,
  ) {
    this.machine = new Coordinator(config);
    this.#network = network;
    this.#perform = perform;
  }

  tell(event: CoordinatorEvent): void {
    this.#inbox.push({ event, atMs: this.#network.nowMs });
    if (!this.#isBusy) this.#stepAll();
  }

  /** Asks to be a member; `answered` is called when it is the request's turn. */
  register(request: RegisterRequest, answered: (reply: RegisterReply) => void): void {
    this.#asked.set(request, answered);
    this.tell({ type: "register", request });
  }

  #stepAll(): void {
    this.#isBusy = true;
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
      if (!this.#performAll(this.machine.step(next.event, next.atMs))) return;
    }
    this.#isBusy = false;
  }

  #performAll(effects: readonly CoordinatorEffect[]): boolean {
    for (const [index, effect] of effects.entries()) {
      if (effect.type === "persist") {
        const rest = effects.slice(index + 1);
        this.#network.after(persistMs, () => this.#persisted(effect.record, rest));
        return false;
      }
      if (effect.type === "registered") {
        this.#asked.get(effect.request)?.(effect.reply);
        this.#asked.delete(effect.request);
      } else {
        this.#perform(effect);
      }
    }
    return true;
  }

  #persisted(record: CoordinatorRecord, rest: readonly CoordinatorEffect[]): void {
    const problem = this.persistProblem;
    if (problem === null) this.records.push(record);
    const event = { type: "persisted", run: record.run, problem } as const;
    this.#inbox.push({ event, atMs: this.#network.nowMs });
    const due = problem === null ? rest : rest.filter(({ type }) => type !== "send");
    if (this.#performAll(due)) this.#stepAll();
  }
}

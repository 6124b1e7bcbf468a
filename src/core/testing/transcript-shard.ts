/**
 * Transcripts of one server: commands are what it is told, the replies are what it does.
 */
import { mint, shownId } from "../../protocol/ids.js";
import { layOut } from "../../protocol/layout.js";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import type { Protocol, StalenessRule } from "../../protocol/run-spec.js";
import { firstPhase, type View, workersGone } from "../../protocol/view.js";
import { Shard } from "../server/shard.js";
import type { ShardEffect } from "../server/shard-events.js";
import { specOf } from "./model-run.js";

const layout = layOut([{ name: "w", shape: [1], group: "weight" }], 1);
const none: StalenessRule = { rule: "none", scale: 0.1, floor: 0.1, max: 5 };

/** A server with one chunk that has been loaded. */
export class ShardScene {
  readonly #slots = new Map<number, string>();
  /** What was folded into a slot. */
  readonly #folds = new Map<number, string>();
  #shard = new Shard({ index: 0, spec: specOf(), layout });
  #view = 0;
  #held: View | null = null;
  #protocol: Protocol = { mode: "bsp" };
  #slotIds = 0;

  /** Carries a command out; what the server does, a line each. */
  run(command: readonly string[]): string[] {
    const [verb, ...rest] = command;
    switch (verb) {
      case "server":
        return this.#begin(rest);
      case "view":
        return this.#onView(rest);
      case "push":
      case "pull":
        return this.#ask(verb, rest);
      case "waits":
        return [this.#shard.activity()];
      default:
        throw new Error(`no command ${verb}`);
    }
  }

  #begin([mode, ...settings]: readonly string[]): string[] {
    const values = valuesOf(settings);
    const rule = { ...none, rule: (values.rule ?? "none") as StalenessRule["rule"] };
    const max = Number(values.max ?? 5);
    const protocols: Record<string, Protocol> = {
      bsp: { mode: "bsp" },
      ssp: { mode: "ssp", staleness: Number(values.staleness) },
      asp: { mode: "asp", staleness: { ...rule, max } },
    };
    this.#protocol = protocols[mode!]!;
    const spec = specOf({ protocol: this.#protocol });
    this.#shard = new Shard({ index: 0, spec, layout });
    this.#view = 0;
    this.#held = null;
    return [];
  }

  #onView(workers: readonly string[]): string[] {
    const lives = workers.map((word) => {
      const [name, fromStep = "0"] = word.split("@");
      const [rank, life = "1"] = name!.split(".");
      return { rank: Number(rank), incarnation: lifeOf(rank!, life), fromStep: +fromStep };
    });
    const view: View = {
      run: "r",
      number: mint(1, ++this.#view),
      generation: 0,
      ...firstPhase(this.#protocol),
      servers: [{ index: 0, incarnation: 1, address: "", frames: null }],
      workers: lives,
      ...{ candidates: [], departing: workersGone(this.#held, lives) },
      replicas: [[0]],
      fences: [mint(1, 1)],
    };
    this.#held = view;
    const lines = this.#say(this.#shard.step({ type: "view", view }, 0));
    if (this.#view > 1) return lines;
    const load = { type: "load", chunk: 0, generation: 0, part: "weights", slot: -1 } as const;
    return [...lines, ...this.#say(this.#shard.step({ ...load, marks: null, channel: -1 }, 0))];
  }

  #ask(kind: "push" | "pull", [who, ...settings]: readonly string[]): string[] {
    const [rank, life = "1"] = who!.split(".");
    const values = valuesOf(settings);
    const header: ChunkHeader = {
      ...emptyHeader,
      kind,
      run: "r",
      rank: Number(rank),
      incarnation: lifeOf(rank!, life),
      step: Number(values.step),
      version: Number(values.version ?? 0),
      examples: Number(values.examples ?? (kind === "push" ? 4 : 0)),
      term: 1,
      fence: mint(1, Number(values.view ?? this.#view)),
      wantsReply: true,
      leads: values.scale === undefined,
      scale: values.scale === undefined ? null : Number(values.scale),
    };
    const channel = Number(rank);
    if (kind === "pull") return this.#say(this.#shard.step({ type: "pull", header, channel }, 0));
    const slot = header.examples === 0 || header.scale === 0 ? -1 : this.#slotIds++;
    if (slot >= 0) this.#slots.set(slot, `worker ${who} step ${header.step}`);
    const finite = values.value !== "NaN";
    return this.#say(this.#shard.step({ type: "push", header, slot, finite, channel }, 0));
  }

  #say(effects: readonly ShardEffect[]): string[] {
    return effects.flatMap((effect) => {
      switch (effect.type) {
        case "fold": {
          const what = effect.gradients.map(
            ({ slot, examples }) => `${this.#slots.get(slot)} (${examples})`,
          );
          this.#folds.set(effect.gradients[0]!.slot, `${what.join(" + ")}, ${effect.reduce}`);
          return [];
        }
        case "apply": {
          const { gradient, examples, scale } = effect.entry;
          const single = `${this.#slots.get(gradient)} (${examples})`;
          const scaled = `${single}, scale ${Number(scale.toFixed(6))}`;
          return [`apply ${this.#folds.get(gradient) ?? scaled}`];
        }
        case "reply": {
          const { kind, rank, outcome, version, staleness, detail, step } = effect.header;
          if (kind !== "reply") return [];
          const carried = effect.withWeights ? `version ${version}` : "no weights";
          const answers = step < 0 ? "pull" : `step ${step} ${outcome}`;
          const late = staleness > 0 ? `, staleness ${staleness}` : "";
          return [
            `worker ${rank}: ${answers}, ${carried}${late}${detail === "" ? "" : `; ${detail}`}`,
          ];
        }
        case "viewAck": {
          const gone = effect.departed.map(
            ({ rank, stepMin, stepMax }) =>
              `; worker ${rank} went after step ${stepMin}..${stepMax}`,
          );
          const at = `sealed ${effect.sealedStep}, slowest clock ${effect.clockMin}`;
          return [`acknowledge view ${shownId(effect.view)}: ${at}${gone.join("")}`];
        }
        default:
          return [];
      }
    });
  }
}

function lifeOf(rank: string, life: string): number {
  return mint(1, 10 * Number(rank) + Number(life));
}

function valuesOf(settings: readonly string[]): Record<string, string> {
  return Object.fromEntries(settings.map((setting) => setting.split("=") as [string, string]));
}

/**
 * A process that does not belong to the cluster, or no longer does, and knocks once: with another
 * token, with the certificate of another role, with another protocol or a rank out of range, as
 * a member of long ago, or with a push in which one tag is of an earlier term, another run or
 * another life and all else is right. It must be refused, and nothing else may come of it: that the
 * run goes on as if nobody had knocked is what all other checks say.
 */
import { PacelineError } from "../../errors.js";
import { mint, termOf } from "../../protocol/ids.js";
import type { Layout } from "../../protocol/layout.js";
import {
  type ChunkHeader,
  emptyHeader,
  protocolVersion,
  type RegisterRequest,
} from "../../protocol/messages.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import type { View } from "../../protocol/view.js";
import type { SimulatedNetwork } from "../simulated-network.js";
import type { SimulatedProcess } from "../simulated-process.js";
import { SimulatedTransport } from "../simulated-transport.js";
import { clusterToken, type Passport } from "./passport.js";
import { type StrangerFault, type Wrong, wrongOfPushes } from "./stranger-plan.js";

/** Where it knocks. */
export interface StrangerScene {
  readonly network: SimulatedNetwork;
  readonly spec: RunSpec;
  readonly layout: Layout;
  /** Where a coordinator answers, or might. */
  readonly coordinator: string;
  spawn(node: string): SimulatedProcess;
  /** The view that a server holds; null where none is. */
  viewOf(server: number): View | null;
  /** How many steps the present life of a worker has completed. */
  clockOf(rank: number): number | null;
  violated(kind: string, sentence: string): void;
}

/** After so long it has its answer, or gets none. */
const stayMs = 4000;

/** Has a stranger come, knock and leave. */
export function knock(scene: StrangerScene, { wrong, server }: StrangerFault): void {
  const process = scene.spawn("stranger");
  process.run(() => {
    const stranger = new Stranger(scene, process, wrong);
    if (wrongOfPushes.some((tag) => tag === wrong)) stranger.push(server);
    else if (wrong === "long gone") stranger.speak();
    else stranger.register();
    process.clock.after(stayMs, () => {
      process.end();
      scene.network.ended(process, false);
    });
  });
}

class Stranger {
  readonly #scene: StrangerScene;
  readonly #wrong: Wrong;
  readonly #process: SimulatedProcess;
  readonly #transport: SimulatedTransport;

  constructor(scene: StrangerScene, process: SimulatedProcess, wrong: Wrong) {
    this.#scene = scene;
    this.#wrong = wrong;
    this.#process = process;
    this.#transport = new SimulatedTransport(scene.network, process, passportWith(wrong));
  }

  /** Would be a worker. */
  register(): void {
    const wrong = this.#wrong;
    const request: RegisterRequest = {
      ...{ role: "worker", incarnation: null, frames: null, pid: 1, host: "elsewhere" },
      protocol: protocolVersion + (wrong === "protocol" ? 1 : 0),
      rank: wrong === "rank" ? this.#scene.spec.workersMax : null,
      ...{ address: "", attempt: this.#process.name },
    };
    this.#transport.register(this.#scene.coordinator, request).then(
      (reply) => {
        if (reply.accepted) this.#letIn("it is registered");
        else this.#process.note(reply.reason);
      },
      (thrown) => this.#heard(thrown),
    );
  }

  /** Says, as a worker of a term before the first, that the run has failed. */
  speak(): void {
    const identity = { role: "worker", rank: 0, incarnation: mint(0, 1) } as const;
    const channel = this.#transport.openSession(this.#scene.coordinator, identity, {
      onMessage: () => this.#letIn("it has a session"),
      onClose: (error) => this.#heard(error),
    });
    channel.send({ type: "failed", code: "internal", reason: "a stranger says so" });
  }

  /** Pushes what no worker has computed. */
  push(server: number): void {
    const view = this.#scene.viewOf(server);
    const header = view === null ? null : this.#headerFor(view, server);
    if (header === null) return;
    const channel = this.#transport.openChunks(`server-${server}`, {
      onHeader: () => null,
      onChunk: ({ kind, outcome, detail }) => {
        if (kind !== "reply" || outcome === "refused") this.#process.note(detail);
        else this.#letIn("its push is answered");
      },
      onClose: (error) => this.#heard(error),
    });
    channel.send({ ...emptyHeader, kind: "hello", run: this.#scene.spec.run }, null);
    const { length } = this.#scene.layout.chunks[header.chunk]!;
    const values = new Float32Array(length).fill(1000);
    channel.send(header, new Uint8Array(values.buffer));
  }

  #headerFor(view: View, server: number): ChunkHeader | null {
    const { spec } = this.#scene;
    const chunk = view.replicas.findIndex(([primary]) => primary === server);
    const [worker] = view.workers;
    const clock = worker === undefined ? null : this.#scene.clockOf(worker.rank);
    if (worker === undefined || clock === null || chunk < 0) return null;
    const { rank, incarnation } = worker;
    const right: ChunkHeader = {
      ...{ ...emptyHeader, kind: "push", run: spec.run, generation: view.generation },
      ...{ term: termOf(view.number), fence: view.fences[chunk]!, rank, incarnation, chunk },
      ...{ phase: view.phase, step: Math.max(worker.fromStep, clock), examples: 1 },
      ...{ version: 0, leads: chunk === 0, wantsReply: true },
    };
    switch (this.#wrong) {
      case "term":
        return { ...right, term: right.term - 1 };
      case "generation":
        return { ...right, generation: right.generation === 0 ? 1 : right.generation - 1 };
      case "run":
        return { ...right, run: "another run" };
      case "life":
        return { ...right, incarnation: right.incarnation - 1 };
      default:
        return right;
    }
  }

  #letIn(how: string): void {
    const sentence = `one whose ${this.#wrong} is wrong: ${how}`;
    this.#scene.violated("a stranger was let in", sentence);
  }

  /** Whatever ends it is told it as an error of the network's or a refusal. */
  #heard(thrown: unknown): void {
    if (!(thrown instanceof PacelineError)) throw thrown;
    this.#process.note(thrown.message);
  }
}

function passportWith(wrong: Wrong): Passport {
  const role = wrong === "role" ? "server" : wrong === "sender's role" ? "server" : "worker";
  return { role, token: wrong === "token" ? "another token" : clusterToken };
}

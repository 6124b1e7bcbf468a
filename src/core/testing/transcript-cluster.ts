/**
 * Transcripts of a whole cluster: commands start it, strike it and let it run; the replies are what
 * the coordinator lets the world know and what is said over the sessions.
 */
import { shownId } from "../../protocol/ids.js";
import type { CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import type { Protocol, RunSpec } from "../../protocol/run-spec.js";
import { type Death, ModelCluster } from "./model-cluster.js";
import type { ModelWorker } from "./model-members.js";
import { specOf } from "./model-run.js";

/** A cluster of one server whose every delay follows from a seed. */
export class ClusterScene {
  #cluster = new ModelCluster({ seed: 1, chunks: 1, spec: specOf() });
  #lines: string[] = [];
  #events = 0;

  /** Carries a command out; what was said, a line each. */
  run(command: readonly string[]): string[] {
    this.#lines = [];
    const [verb, ...rest] = command;
    const cluster = this.#cluster;
    switch (verb) {
      case "cluster":
        this.#begin(rest);
        break;
      case "until":
        this.#until(rest);
        break;
      case "kill":
        cluster.kill(cluster.worker(Number(rest[1]))!, rest[2] as Death);
        break;
      case "start":
        cluster.startMember("worker", Number(rest[1]));
        break;
      case "interrupt":
        cluster.tell({ type: "interrupt", reason: "Ctrl-C" });
        break;
      case "resume": {
        const resume = cluster.checkpoints.at(-1)!;
        this.#take(new ModelCluster({ ...cluster.plan, resume }).start());
        break;
      }
      case "weights":
        return cluster.values().map(({ digest }) => digest.toString(16));
      default:
        throw new Error(`no command ${verb}`);
    }
    this.#listen();
    return this.#lines;
  }

  #begin(settings: readonly string[]): void {
    const values = Object.fromEntries(settings.map((s) => s.split("=") as [string, string]));
    const protocols: Record<string, Protocol> = { bsp: { mode: "bsp" } };
    const spec = specOf({
      protocol: protocols[values.mode!]!,
      feed: (values.feed ?? "static") as RunSpec["feed"],
      workersMax: Number(values.workers),
      servers: 1,
      trainExamples: Number(values.examples),
      epochs: Number(values.epochs),
    });
    this.#take(new ModelCluster({ seed: 1, chunks: 1, delayMsMax: 4, spec }).start());
  }

  #take(cluster: ModelCluster): void {
    this.#cluster = cluster;
    this.#events = 0;
    cluster.onTalk = (from, to, message) => {
      this.#listen();
      const text = textOf(message);
      if (text !== null) this.#lines.push(`${from} -> ${to}: ${text}`);
    };
  }

  #until([what, number]: readonly string[]): void {
    const cluster = this.#cluster;
    const computes = (worker: ModelWorker) =>
      worker.activity() === "computing" && worker.clock === Number(number);
    const reached = () => cluster.workers().some(computes);
    cluster.run(1, what === "end" ? () => false : reached);
  }

  #listen(): void {
    for (const { kind, text } of this.#cluster.events.slice(this.#events)) {
      this.#lines.push(`[${kind}] ${text}`);
    }
    this.#events = this.#cluster.events.length;
  }
}

/** What is said, in short; null where the events say it too. */
function textOf(message: MemberMessage | CoordinatorMessage): string | null {
  switch (message.type) {
    case "view": {
      const workers = message.view.workers.map(({ rank, fromStep }) => `${rank} from ${fromStep}`);
      return `view ${shownId(message.view.number)}: workers ${workers.join(", ") || "none"}`;
    }
    case "viewAck": {
      const gone = message.departed.map(({ rank, stepMax }) => `, ${rank} went after ${stepMax}`);
      return `viewAck ${shownId(message.view)}: sealed ${message.sealedStep}${gone.join("")}`;
    }
    case "work": {
      const { assignment } = message;
      const positions = `positions ${assignment.start} to ${assignment.end}`;
      const steps = `steps ${assignment.firstStep} to ${assignment.lastStep}`;
      return `work: epoch ${assignment.epoch}, ${positions}, ${steps}`;
    }
    case "assignmentDone":
      return `assignmentDone: ${message.examples} examples, ${message.skipped} left`;
    case "assignmentRefused":
      return `assignmentRefused: ${message.reason}`;
    case "evaluate":
      return `evaluate: ${message.range.start} to ${message.range.end}`;
    case "pausing":
      return `pausing: in step ${message.step}`;
    case "pauseAt":
      return `pauseAt: after step ${message.step}`;
    case "paused":
      return `paused: before step ${message.step}`;
    case "pause":
      return "pause";
    case "stop":
      return `stop: ${message.outcome}`;
    default:
      return null;
  }
}

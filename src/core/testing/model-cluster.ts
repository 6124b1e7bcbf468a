/**
 * A cluster in one thread under virtual time: the real coordinator, shards and workers, with a
 * network, processes and values that are models. A seed decides every delay. Sessions are reliable
 * and in order for one incarnation, as the host makes them; chunk messages are lost when their
 * channel breaks.
 */

import assert from "node:assert/strict";
import type { MemberRole, WorkerIdentity } from "../../protocol/identity.js";
import { type Layout, layOut } from "../../protocol/layout.js";
import type {
  ChunkHeader,
  ChunkMarks,
  CoordinatorMessage,
  MemberMessage,
  Range,
} from "../../protocol/messages.js";
import { protocolVersion } from "../../protocol/messages.js";
import type { RunEvent, RunResult } from "../../protocol/run-events.js";
import type { RunSpec } from "../../protocol/run-spec.js";
import { chunksOfServer, type View } from "../../protocol/view.js";
import type { Coordinator } from "../coordinator/coordinator.js";
import type { CoordinatorConfig, CoordinatorEvent } from "../coordinator/coordinator-events.js";
import { nameOf } from "../members/roster.js";
import type { SaveRequest, TrainingSnapshot } from "../work/run-setup.js";
import { ModelCoordinator, type ModelEffect } from "./model-coordinator.js";
import { type Channel, type ModelMember, ModelServer, ModelWorker } from "./model-members.js";
import { ModelNetwork } from "./model-network.js";
import { ModelSaves } from "./model-saves.js";
import { ModelServerLinks } from "./model-server-links.js";
import { initialValue, type ModelGradient, type ModelValue } from "./model-values.js";

/** What a checkpoint holds. */
export interface ModelCheckpoint {
  readonly step: number;
  readonly why: SaveRequest["why"];
  readonly snapshot: TrainingSnapshot;
  readonly values: readonly ModelValue[];
  readonly marks: readonly ChunkMarks[];
  readonly residuals: SaveRequest["residuals"];
}

/** What a model cluster is made of. */
export interface ClusterPlan {
  readonly seed: number;
  readonly spec: RunSpec;
  readonly chunks: number;
  readonly delayMsMax?: number;
  readonly computeMs?: number;
  readonly resume?: ModelCheckpoint;
  readonly config?: Partial<CoordinatorConfig>;
  /** This worker's loss is NaN in this step. */
  readonly diverges?: { readonly rank: number; readonly step: number };
  /** A worker that is expelled starts again. */
  readonly returns?: boolean;
  readonly loadFails?: boolean;
  /** Why no checkpoint can be written. */
  readonly saveProblem?: string;
  /** How long a checkpoint is written; up to a tenth of a second if left out. */
  readonly writeMs?: number;
  /** Workers say nothing for so long while they prepare themselves. */
  readonly startsBusyMs?: number;
  /** A worker that takes so many times as long for each step. */
  readonly slow?: { readonly rank: number; readonly factor: number };
  /** Why a worker can't give its residuals at a barrier; "" where it can. */
  readonly withholds?: (rank: number) => string;
  /** A worker that says that it evaluated another version of the model than it did. */
  readonly evaluatesOther?: (worker: WorkerIdentity) => boolean;
  /** Why a worker refuses what it was sent for a step; null where it takes it. */
  readonly refuses?: (rank: number, epoch: number, range: Range) => string | null;
}

/**
 * How a process ends: its connection closes, nothing is heard any more, or a supervisor sees it.
 */
export type Death = "closed" | "silent" | "restarted" | "exited";

const fresh: ChunkMarks = { version: 0, examples: 0, sealedStep: -1, applied: [] };
const limitMs = 900_000;

/** The cluster. */
export class ModelCluster {
  readonly plan: ClusterPlan;
  readonly network: ModelNetwork;
  /** The coordinator's machine, and how it is driven. */
  readonly driven: ModelCoordinator;
  readonly layout: Layout;
  readonly events: RunEvent[] = [];
  readonly checkpoints: ModelCheckpoint[] = [];
  /** Told of every message over a session, heartbeats aside. */
  onTalk: (from: string, to: string, message: MemberMessage | CoordinatorMessage) => void =
    () => {};
  /** Why a server refused something of a worker that is still a member. */
  readonly refusals: string[] = [];
  readonly results: RunResult[] = [];
  /** Ranks whose residuals are with a worker that takes part. */
  readonly inherited: number[] = [];
  /** When checkpoints were begun, and how long each might take; null where one was waited for. */
  readonly saves: { readonly atMs: number; readonly leisureMs: number | null }[] = [];
  /** The longest lead, in steps, over the slowest worker of a view. */
  leadMax = 0;
  /** Steps that were begun before all chunks of the step before had come back. */
  begunAhead = 0;
  readonly members: ModelMember[] = [];
  readonly serverLinks = new ModelServerLinks(this);
  readonly #channels = new Map<number, Channel>();
  /** Pairs of worker and server that no channel opens between. */
  readonly #blocked = new Set<string>();
  readonly #saves = new ModelSaves(this);
  #checkpoint: ModelCheckpoint | null;
  #channelIds = 0;

  constructor(plan: ClusterPlan) {
    this.plan = plan;
    this.network = new ModelNetwork(plan.seed, plan.delayMsMax ?? 20);
    this.layout = layOut([{ name: "w", shape: [plan.chunks], group: "weight" }], 1);
    this.#checkpoint = plan.resume ?? null;
    const config: CoordinatorConfig = {
      term: 1,
      heartbeatIntervalMs: 250,
      leaseMs: 3000,
      closedGraceMs: 2500,
      rankGraceMs: 4000,
      waitForWorkersMs: 4000,
      startTimeoutMs: 10_000,
      stopTimeoutMs: 3000,
      serve: false,
      ...plan.config,
    };
    this.driven = new ModelCoordinator(config, this.network, (effect) => this.#perform(effect));
    this.#tick();
  }

  get coordinator(): Coordinator {
    return this.driven.machine;
  }

  get nowMs(): number {
    return this.network.nowMs;
  }

  /** The result of the last run. */
  get result(): RunResult {
    assert.ok(this.results.length > 0, "the run has ended");
    return this.results.at(-1)!;
  }

  /** Hands a run in and starts as many processes as it takes. */
  start(workers = this.plan.spec.workersMax): this {
    this.submit(this.plan.spec);
    for (let index = 0; index < this.plan.spec.servers; index++) this.startMember("server", index);
    for (let rank = 0; rank < workers; rank++) this.startMember("worker", rank);
    return this;
  }

  /** Hands a run in. */
  submit(spec: RunSpec): void {
    const resume = this.#checkpoint?.snapshot ?? null;
    const residuals = (this.#checkpoint?.residuals ?? []).map(({ rank }) => rank);
    const sealedStep = Math.max(-1, ...(this.#checkpoint?.marks ?? []).map((m) => m.sealedStep));
    const setup = { spec, layout: this.layout, resume, sealedStep, residuals };
    this.tell({ type: "submit", setup, term: 1 + (resume?.term ?? 0) });
  }

  /** Runs until `runs` runs are over, or until something holds. */
  run(runs = 1, until: () => boolean = () => false): this {
    while (this.results.length < runs && !until()) {
      assert.ok(this.network.move(), "something is yet to happen");
      if (this.nowMs > limitMs) assert.fail(`it never ends: ${this.describe()}`);
    }
    return this;
  }

  /** Where everybody stands, for messages of failed tests. */
  describe(): string {
    const { phase, activity, globalSteps } = this.coordinator.snapshot(this.nowMs);
    const members = this.members
      .filter(({ alive }) => alive)
      .map((member) => `${member.role}-${member.rank}/${member.incarnation}: ${member.activity()}`);
    const where = `${phase}, ${activity}, global step ${globalSteps}`;
    return `seed ${this.plan.seed}, ${this.nowMs.toFixed(0)} ms: ${where}\n${members.join("\n")}`;
  }

  /** The value of each chunk on its primary. */
  values(): ModelValue[] {
    return this.layout.chunks.map(({ index }) => {
      const holder = this.servers().find((server) => server.values.has(index));
      return holder?.values.get(index) ?? initialValue;
    });
  }

  workers(): ModelWorker[] {
    return this.members.filter((member): member is ModelWorker => member instanceof ModelWorker);
  }

  servers(): ModelServer[] {
    return this.members.filter((member): member is ModelServer => member instanceof ModelServer);
  }

  /** The live worker of a rank. */
  worker(rank: number): ModelWorker | undefined {
    return this.workers().find((worker) => worker.alive && worker.rank === rank);
  }

  /** Starts a process, which registers and tries again while it is refused. */
  startMember(role: MemberRole, rank: number | null, tries = 40, other = false): void {
    this.network.after(this.network.between(1, 300), () => {
      const address = role === "server" ? `server ${rank}` : "";
      // Each life of a rank is another process.
      const lives = this.members.filter((member) => member.role === role && member.rank === rank);
      const pid = 7 + lives.length;
      const from = { pid, host: "h", address, frames: null, attempt: "" };
      const request = { protocol: protocolVersion, role, rank, incarnation: null, ...from };
      this.driven.register(request, (reply) => {
        if (!reply.accepted) {
          if (tries > 0) this.network.after(400, () => this.startMember(role, rank, tries - 1));
          return;
        }
        const identity = { rank: reply.rank, incarnation: reply.incarnation, pid };
        const member =
          role === "server"
            ? new ModelServer(this, identity)
            : new ModelWorker(this, identity, other);
        this.members.push(member);
        this.network.after(this.network.between(1, 50), () => this.#open(member));
      });
    });
  }

  /** Ends a process in this way; one that a supervisor restarts comes again. */
  kill(member: ModelMember, death: Death): void {
    if (!member.alive) return;
    member.alive = false;
    const { role, rank, pid } = member;
    this.#breakAll(member);
    if (death === "silent") return;
    this.network.deliver(`${role}${member.incarnation}>`, () => {
      if (death === "closed") this.tell({ type: "closed", member });
      else {
        const restarts = death === "restarted";
        const reason = "ended with signal SIGKILL";
        this.tell({ type: "exited", role, rank, pid, reason, restarts });
        if (restarts) this.startMember(role, rank);
      }
    });
  }

  /** Cuts a member's session and channels for this long; nothing said over the session is lost. */
  cut(member: ModelMember, durationMs: number): void {
    if (!member.alive || member.cut) return;
    member.cut = true;
    this.tell({ type: "closed", member });
    this.#breakAll(member);
    this.network.after(durationMs, () => {
      member.cut = false;
      if (!member.alive) return;
      if (this.coordinator.knows(member)) this.tell({ type: "opened", member });
      for (const late of member.backlog.splice(0)) late();
    });
  }

  /** Breaks one worker's channel to one server; it opens again a little later. */
  breakChannel(worker: ModelWorker, server: number): void {
    const channel = worker.channels.get(server);
    if (channel === undefined) return;
    this.#channels.delete(channel.id);
    worker.channels.delete(server);
    this.connect(worker, server);
  }

  /** No life of this worker reaches the server any more; returns what ends that. */
  block(rank: number, server: number): () => void {
    this.#blocked.add(`${rank}/${server}`);
    const worker = this.worker(rank);
    if (worker !== undefined) this.breakChannel(worker, server);
    return () => this.#blocked.delete(`${rank}/${server}`);
  }

  tell(event: CoordinatorEvent): void {
    this.driven.tell(event);
  }

  /** From a member to the coordinator. */
  say(member: ModelMember, message: MemberMessage): void {
    this.#over(member, `${member.role}${member.incarnation}>`, () => {
      if (message.type !== "heartbeat") this.onTalk(nameOf(member), "coordinator", message);
      this.tell({ type: "message", member, message });
    });
  }

  /** Opens a channel from a worker to a server, as soon as the server serves the run. */
  connect(worker: ModelWorker, server: number): void {
    if (worker.channels.has(server)) return;
    const { nowMs: sinceMs } = this;
    const channel: Channel = { id: this.#channelIds++, worker, server, sinceMs, open: false };
    worker.channels.set(server, channel);
    this.#channels.set(channel.id, channel);
    const attempt = () => {
      if (!this.#channels.has(channel.id) || !worker.alive) return;
      const isServed = this.#serverOf(server)?.spec?.run === worker.run;
      if (!isServed || worker.cut || this.#blocked.has(`${worker.rank}/${server}`)) {
        this.network.after(100, attempt);
        return;
      }
      channel.open = true;
      worker.step({ type: "channelOpen", server });
    };
    this.network.after(this.network.between(1, 30), attempt);
  }

  /** From a worker to a server. */
  sendChunk(
    worker: ModelWorker,
    server: number,
    header: ChunkHeader,
    g: ModelGradient | null,
  ): void {
    const channel = worker.channels.get(server);
    if (channel?.open !== true) return;
    this.network.deliver(`channel${channel.id}>`, () => {
      if (this.#channels.has(channel.id)) this.#serverOf(server)?.take(header, g, channel.id);
    });
  }

  /** From a server to the other end of the channel. */
  answer(id: number, header: ChunkHeader, value: ModelValue | null): void {
    if (this.serverLinks.answer(id, header)) return;
    const channel = this.#channels.get(id);
    if (channel === undefined) return;
    this.network.deliver(`channel${id}<`, () => {
      if (!this.#channels.has(id) || !channel.worker.alive) return;
      if (header.outcome === "refused" && this.coordinator.knows(channel.worker)) {
        this.refusals.push(header.detail);
      }
      channel.worker.receive(header, value);
    });
  }

  /** A worker starts a step: nobody whom a server counts may be too far behind. */
  noteStart(step: number): void {
    for (const server of this.servers()) {
      if (!server.alive || server.view === null) continue;
      for (const { rank, incarnation, fromStep } of server.view.workers) {
        const worker = this.worker(rank);
        if (worker?.incarnation !== incarnation || !worker.joined) continue;
        for (const chunk of server.values.keys()) {
          const clock = Math.max(fromStep, server.clocks.get(`${chunk}/${incarnation}`) ?? 0);
          this.leadMax = Math.max(this.leadMax, step - clock);
        }
      }
    }
  }

  #tick(): void {
    this.tell({ type: "tick" });
    this.network.after(100, () => this.#tick());
  }

  #open(member: ModelMember): void {
    if (!member.alive || !this.coordinator.knows(member)) return;
    this.tell({ type: "opened", member });
    const beat = () => {
      if (!member.alive) return;
      const isBusy = this.plan.startsBusyMs !== undefined && member.activity() === "preparing";
      if (!member.cut && !isBusy) this.say(member, member.heartbeat());
      this.network.after(250, beat);
    };
    beat();
  }

  /** What crosses a cut link waits for its mending. */
  #over(member: ModelMember, wire: string, action: () => void): void {
    this.network.deliver(wire, () => {
      if (member.cut) member.backlog.push(action);
      else action();
    });
  }

  #serverOf(index: number): ModelServer | undefined {
    return this.servers().find((server) => server.alive && server.rank === index);
  }

  #breakAll(member: ModelMember): void {
    for (const channel of [...this.#channels.values()]) {
      const { worker, server } = channel;
      if (worker === member) this.breakChannel(worker, server);
      if (member.role === "server" && server === member.rank) this.breakChannel(worker, server);
    }
  }

  #perform(effect: ModelEffect): void {
    switch (effect.type) {
      case "send":
        this.#send(effect.role, effect.rank, effect.message);
        break;
      case "drop":
        this.#expel(effect.member);
        break;
      case "load":
        this.#load(effect.view);
        break;
      case "inherited":
        this.inherited.push(effect.rank);
        break;
      case "save":
        this.#saves.begin(effect.request, effect.setup);
        break;
      case "event":
        this.events.push(effect.event);
        break;
      case "ended":
        this.results.push(effect.result);
        break;
      case "hurrySave":
        this.saves.push({ atMs: this.nowMs, leisureMs: null });
        break;
      case "giveAccount":
        this.#saves.account(effect.snapshot);
        break;
      case "abandonSave":
        this.#saves.abandon();
        break;
      default:
        // Nobody does the rest here.
        effect satisfies { type: "abandonSave" | "expect" | "goBack" | "orderAnswered" };
    }
  }

  #send(role: MemberRole, rank: number, message: CoordinatorMessage): void {
    const member = this.members.find(
      (candidate) =>
        candidate.role === role && candidate.rank === rank && this.coordinator.knows(candidate),
    );
    if (member === undefined) return;
    this.onTalk("coordinator", nameOf(member), message);
    this.#over(member, `${role}${member.incarnation}<`, () => {
      if (member.alive) member.receiveMessage(message);
    });
  }

  #expel(name: { role: MemberRole; rank: number; incarnation: number }): void {
    const member = this.members.find(
      ({ role, incarnation }) => role === name.role && incarnation === name.incarnation,
    );
    if (member?.alive !== true) return;
    this.kill(member, "silent");
    if (this.plan.returns === true) this.startMember(name.role, name.rank);
  }

  #load(view: View): void {
    const { loadFails } = this.plan;
    let missing = this.layout.chunks.length;
    for (const { index } of view.servers) {
      const server = this.#serverOf(index);
      if (server === undefined || loadFails === true) {
        const reason = `server-${index} has not answered for 3 s`;
        const problem = { code: "timeout", reason } as const;
        this.network.after(3000, () => this.tell({ type: "loaded", problem }));
        return;
      }
      for (const chunk of chunksOfServer(view, index)) {
        const value = this.#checkpoint?.values[chunk] ?? initialValue;
        const marks = this.#checkpoint?.marks[chunk] ?? fresh;
        this.network.deliver(`load${server.incarnation}`, () => {
          if (server.alive) server.load(chunk, value, marks);
          if (--missing === 0) this.tell({ type: "loaded", problem: null });
        });
      }
    }
  }

  /** A checkpoint is written. */
  keep(checkpoint: ModelCheckpoint): void {
    this.#checkpoint = null;
    this.checkpoints.push(checkpoint);
  }
}

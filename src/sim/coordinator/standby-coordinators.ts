/**
 * Coordinators that stand by for each other over a simulated etcd, elected by the rule of
 * production (store/etcd/leadership.ts), which guards their record as well. One that leads no
 * longer ends as soon as it knows, and is started again to stand by.
 */
import type { CoordinatorEvent } from "../../core/coordinator/coordinator-events.js";
import { type CampaignHooks, campaign, type Leadership } from "../../store/etcd/leadership.js";
import { ledFiles } from "../../store/led-files.js";
import type { SimulatedProcess } from "../simulated-process.js";
import type { VirtualTime } from "../virtual-time.js";
import {
  CoordinatorLife,
  type CoordinatorWorld,
  type DurableState,
  type DurableStates,
  recordIn,
  setupFrom,
} from "./coordinator-life.js";
import type { Coordinators } from "./coordinators.js";
import { EtcdLink } from "./etcd-link.js";
import type { SimulatedEtcd } from "./simulated-etcd.js";

const recordName = "state";
/** How long a process takes to be started again that has ended by itself. */
const againMs = 300;

/** The coordinators. */
export class StandbyCoordinators implements Coordinators {
  readonly places: string;
  present: CoordinatorLife | null = null;
  readonly #world: CoordinatorWorld;
  readonly #time: VirtualTime;
  readonly #etcd: SimulatedEtcd;
  readonly #nodes: readonly string[];
  readonly #processes = new Map<string, SimulatedProcess>();
  readonly #leading = new Map<SimulatedProcess, Pick<Leadership, "reason">>();
  readonly #lives = new Set<CoordinatorLife>();
  /** Processes that are yet to be started again. */
  #starting = 0;
  #isInterrupted = false;

  constructor(world: CoordinatorWorld, time: VirtualTime, etcd: SimulatedEtcd) {
    this.#world = world;
    this.#time = time;
    this.#etcd = etcd;
    const count = 1 + world.plan.standbys;
    this.#nodes = Array.from({ length: count }, (_, index) => `coordinator-${index}`);
    this.places = this.#nodes.join(",");
  }

  processOf(node: string): SimulatedProcess | null {
    if (this.#nodes.includes(node)) return this.#processes.get(node) ?? null;
    const { present } = this;
    if (present?.process.isAlive === true) return present.process;
    const living = [...this.#processes.values()].find(({ isAlive }) => isAlive);
    return living ?? present?.process ?? null;
  }

  get isCutOff(): boolean {
    return this.#starting === 0 && [...this.#processes.values()].every(({ isAlive }) => !isAlive);
  }

  open(): void {
    for (const node of this.#nodes) this.#start(node);
  }

  interrupt(): void {
    this.#isInterrupted = true;
    const { present } = this;
    const interrupt = { type: "interrupt", reason: "SIGINT" } as const;
    present?.process.run(() => present.host.tell(interrupt));
  }

  /** Nobody supervises members besides: that one has ended shows by its silence. */
  tell(_event: CoordinatorEvent): void {}

  killed({ node }: SimulatedProcess, restartMs: number | null): void {
    if (restartMs !== null) this.#startAfter(restartMs, node);
  }

  close(): void {
    for (const { host } of this.#lives) host.close();
    for (const process of this.#processes.values()) process.end();
  }

  #startAfter(delayMs: number, node: string): void {
    this.#starting++;
    this.#time.after(delayMs, () => {
      this.#starting--;
      this.#start(node);
    });
  }

  #start(node: string): void {
    const process = this.#world.spawn(node);
    this.#processes.set(node, process);
    process.run(() => {
      this.#standBy(process).catch((thrown: Error) => {
        if (process.isAlive) this.#world.watch.violated("a standby ended", thrown.message);
        this.#exit(process, thrown.message);
      });
    });
  }

  #exit(process: SimulatedProcess, why: string): void {
    if (!process.isAlive) return;
    process.note(`ends: ${why}`);
    process.end();
    this.#world.ended(process);
    this.#startAfter(againMs, process.node);
  }

  async #standBy(process: SimulatedProcess): Promise<void> {
    const client = new EtcdLink(this.#etcd, this.#time, process);
    const { clock, node } = process;
    const hooks: CampaignHooks = {
      onLeader: ({ address }) => process.note(`stands by: ${address} leads`),
      onAway: () => {},
      signal: new AbortController().signal,
    };
    const parts = { client, prefix: "run", clock, leaseMs: this.#world.plan.leadMs };
    const lead = await campaign(parts, { address: node, host: node, pid: 0 }, hooks);
    if (lead === null) return;
    process.note("leads");
    this.#leads(process, lead);
    void lead.lost.then((reason) => this.#exit(process, `it leads no longer: ${reason}`));
    await this.#lead(process, lead);
  }

  /** Who led before knows by then that it does no longer, unless it stands still. */
  #leads(process: SimulatedProcess, lead: Leadership): void {
    for (const [other, before] of this.#leading) {
      // One that has just woken finds out before anything else takes time.
      this.#time.after(1, () => {
        const isAwake = other.isAlive && !other.isFrozen && !other.hasLostTime;
        if (!isAwake || before.reason !== null) return;
        const sentence = `${other.name} still leads when ${process.name} does`;
        this.#world.watch.violated("two lead at a time", sentence);
      });
    }
    this.#leading.set(process, lead);
  }

  /** The term above each one before is durable before anybody hears of it. */
  async #lead(process: SimulatedProcess, lead: Leadership): Promise<void> {
    const states = statesOf(lead);
    const { plan, from } = this.#world;
    const content = await lead.read(recordName);
    const found = content === null ? null : (JSON.parse(content.toString("utf8")) as DurableState);
    const term = 1 + (found?.term ?? from?.snapshot.term ?? 0);
    const record = found === null ? null : recordIn(found);
    const generation = (found?.generation ?? -1) + (record === null ? 1 : 0);
    const isAgain = found !== null && record === null;
    const files = ledFiles(this.#world.mount(process, "final"), states.confirm);
    const start = isAgain ? await this.#world.latest(files, generation) : from;
    await states.begin({ term, generation, record: record && found!.record });
    const address = process.node;
    const life = new CoordinatorLife(this.#world, { process, address, term, start, states });
    this.#lives.add(life);
    if (term > (this.present?.host.term ?? 0)) this.present = life;
    life.begin((host) => {
      const setup = setupFrom(plan, record === null ? start : from);
      if (record !== null) host.tell({ type: "return", setup, term, record });
      else host.tell({ type: "submit", setup: { ...setup, generation }, term });
      if (this.#isInterrupted) host.tell({ type: "interrupt", reason: "SIGINT" });
    });
  }
}

function statesOf(lead: Leadership) {
  const write = (state: DurableState) =>
    lead.write(recordName, Buffer.from(JSON.stringify(state), "utf8"));
  const states = { keep: write, begin: write, confirm: () => lead.confirm() };
  return states satisfies DurableStates;
}

/**
 * The processes of a run and the links between them, each of which can be struck: servers, workers,
 * a coordinator that leads and one that stands by, and an etcd. Every member reaches each
 * coordinator, every coordinator reaches etcd and everybody reaches a server by a proxy.
 *
 * The cluster is whole when one coordinator leads and the other stands by, every process that is to
 * be there is a member, each chunk has its copies and steps are taken.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { PacelineError } from "../../errors.js";
import type { CoordinatorSnapshot } from "../../protocol/run-events.js";
import { createGrpcTransport } from "../../transport/grpc/grpc-transport.js";
import { type ShapingProxy, startShapingProxy } from "../../transport/shaping/shaping-proxy.js";
import { RunProcess } from "../train/run-process.js";
import { EtcdProcess, freePort } from "./etcd-process.js";
import { type ChaosFault, elasticWorkers, targetName } from "./fault-plan.js";
import { ProcessSlot } from "./process-slot.js";
import { type AwaitedMember, whatLacks } from "./whole-cluster.js";

/** What a cluster is made of. */
export interface ClusterParts {
  /** Everything lies there. */
  readonly folder: string;
  readonly servers: number;
  /** Workers at the start. */
  readonly workers: number;
  /** Places for workers. */
  readonly workersMax: number;
  /** What every coordinator is told of the run. */
  readonly words: readonly string[];
  /** What every worker is told besides. */
  readonly ofWorkers: readonly string[];
}

/** What happened at a fault. */
export interface Strike {
  /** The workers that it befell, whose own time without progress is no news. */
  readonly pids: readonly number[];
}

const lookMs = 100;
const wholeLimitMs = 90_000;
/** How members end that are told to. */
const inOrder: readonly string[] = [];
/** A standby that is told to end has nothing to save. */
const standbyEnds = ["exit code 143"];

/** The cluster. */
export class ChaosCluster {
  readonly #parts: ClusterParts;
  readonly #etcd: EtcdProcess;
  readonly #coordinators: ProcessSlot[] = [];
  readonly #addresses: string[] = [];
  readonly #servers: ProcessSlot[] = [];
  readonly #workers: ProcessSlot[] = [];
  /** By the name of a process: its links, by the name of each. */
  readonly #links = new Map<string, ShapingProxy[]>();
  readonly #transport = createGrpcTransport({ ioTimeoutMs: 2000 });
  /** Ends that no fault explains. */
  readonly problems: string[] = [];
  readonly #lives: { readonly name: string; readonly life: RunProcess }[] = [];

  private constructor(parts: ClusterParts, etcd: EtcdProcess) {
    this.#parts = parts;
    this.#etcd = etcd;
  }

  /** Starts everything; `untilWhole` says when it trains. */
  static async start(parts: ClusterParts): Promise<ChaosCluster> {
    const etcd = await EtcdProcess.at(parts.folder);
    const cluster = new ChaosCluster(parts, etcd);
    try {
      await etcd.start();
      await cluster.#begin();
      return cluster;
    } catch (thrown) {
      await cluster.destroy();
      throw thrown;
    }
  }

  async #begin(): Promise<void> {
    for (const index of [0, 1]) await this.#addCoordinator(index);
    const { servers, workers, workersMax } = this.#parts;
    for (let index = 0; index < servers; index++) await this.#addServer(index);
    for (let index = 0; index < workersMax; index++) await this.#addWorker(index);
    await Promise.all(this.#coordinators.map((one) => one.begin()));
    await Promise.all(this.#servers.map((one) => one.begin()));
    await Promise.all(this.#workers.slice(0, workers).map((one) => one.begin()));
  }

  /** Strikes, and resolves when the fault is over; what it has done may last. */
  async strike(fault: ChaosFault): Promise<Strike> {
    const { kind, target, forMs } = fault;
    if (kind === "come" || kind === "go") return this.#comeOrGo(fault);
    if (kind === "cut" || kind === "silence") {
      const pids = target.role === "worker" ? this.#slotOf(fault).pids.slice(-1) : [];
      await this.#strikeLinks(fault);
      return { pids };
    }
    if (target.role === "etcd") {
      await this.#strikeEtcd(fault);
      return { pids: [] };
    }
    const slot = this.#slotOf(fault);
    const before = slot.pids.length - 1;
    const codes = target.role === "standby" ? standbyEnds : inOrder;
    if (kind === "kill") await slot.kill(forMs);
    else if (kind === "freeze") await slot.freeze(forMs);
    else await slot.restart(codes);
    return { pids: target.role === "worker" ? slot.pids.slice(before) : [] };
  }

  /** Resolves when it is whole. @throws PacelineError `internal` with what lacks after a while. */
  async untilWhole(): Promise<void> {
    const untilMs = performance.now() + wholeLimitMs;
    let before: CoordinatorSnapshot | null = null;
    for (;;) {
      const look = await this.#look();
      if (typeof look !== "string") {
        if (before !== null && look.globalSteps > before.globalSteps) return;
        before ??= look;
      } else {
        before = null;
      }
      if (performance.now() > untilMs) {
        const lacks = typeof look === "string" ? look : "no step is taken";
        throw new PacelineError("internal", `the cluster is not whole after a minute: ${lacks}`);
      }
      await delay(lookMs);
    }
  }

  /** Ends the run as a signal does; resolves when every process has ended. */
  async stop(): Promise<void> {
    const { leader } = this.#leads();
    const others = [...this.#coordinators.filter((one) => one !== leader), ...this.#members()];
    for (const one of [leader, ...others]) one?.giveUp();
    const how = await leader?.endInOrder();
    if (how !== "exit code 143") {
      this.problems.push(`${leader?.name} was told to stop the run: ${how ?? "exit code 0"}`);
    }
    for (const one of others) {
      const ended = await Promise.race([one.end(), delay(30_000, "no end", { ref: false })]);
      if (ended !== null) this.problems.push(`${one.name} at the run's end: ${ended}`);
    }
  }

  /** Ends everything, whatever it does, and keeps what each process has said. */
  async destroy(): Promise<void> {
    const { folder } = this.#parts;
    for (const slot of [...this.#coordinators, ...this.#members()]) await slot.destroy();
    this.#etcd.signal("SIGCONT");
    await this.#etcd.end();
    for (const proxies of this.#links.values()) for (const proxy of proxies) await proxy.close();
    await this.#transport.close();
    const texts = this.#lives.map(({ name, life }) => `=== ${name} ${life.pid}\n${life.said}`);
    await writeFile(join(folder, "said.txt"), texts.join("\n"));
  }

  async #addCoordinator(index: number): Promise<void> {
    const name = `coordinator-${index}`;
    const address = `127.0.0.1:${await freePort()}`;
    this.#addresses.push(address);
    const etcd = await this.#link(name, this.#etcd.endpoint);
    const place = ["--port", address.split(":")[1]!, "--store", `etcd://${etcd.address}/chaos`];
    const words = ["coordinator", ...this.#parts.words, ...place];
    this.#coordinators.push(this.#slot(name, async () => this.#run(name, words)));
  }

  async #addServer(index: number): Promise<void> {
    const name = `server-${index}`;
    const reach = await this.#reach(name);
    const words = ["server", ...reach, "--rank", `${index}`, "--port", "0", "--transport", "tcp"];
    this.#servers.push(this.#slot(name, () => this.#startServer(name, words)));
  }

  /** Where a server has ended nobody listens: its proxy ends with it. */
  async #startServer(name: string, words: readonly string[]): Promise<RunProcess> {
    const proxy = await startShapingProxy({});
    const links = this.#links.get(`${name}/chunks`) ?? [];
    this.#links.set(`${name}/chunks`, [...links, proxy]);
    const life = this.#run(name, [...words, "--advertise", proxy.address]);
    void life.ended.then(() => proxy.close());
    proxy.aim(await life.hear(/server listens on (\S+:\d+)\n/));
    return life;
  }

  async #addWorker(index: number): Promise<void> {
    const name = `worker-${index}`;
    const reach = await this.#reach(name);
    const trace = ["--trace-file", join(this.#parts.folder, "traces", `${name}.json`)];
    const own = ["--rank", `${index}`, "--threads", "1", "--transport", "tcp", ...trace];
    const words = ["worker", ...reach, ...own, ...this.#parts.ofWorkers];
    this.#workers.push(this.#slot(name, async () => this.#run(name, words)));
  }

  #slot(name: string, start: () => Promise<RunProcess>): ProcessSlot {
    return new ProcessSlot(name, start, (problem) => this.problems.push(problem));
  }

  #run(name: string, words: readonly string[]): RunProcess {
    const life = new RunProcess(words, null, true);
    this.#lives.push({ name, life });
    return life;
  }

  /** Links of a member to the coordinators. */
  async #reach(name: string): Promise<string[]> {
    const proxies: ShapingProxy[] = [];
    for (const address of this.#addresses) proxies.push(await this.#link(name, address));
    return ["--coordinator", proxies.map(({ address }) => address).join(",")];
  }

  async #link(name: string, target: string): Promise<ShapingProxy> {
    const proxy = await startShapingProxy({ target });
    this.#links.set(name, [...(this.#links.get(name) ?? []), proxy]);
    return proxy;
  }

  #members(): ProcessSlot[] {
    return [...this.#servers, ...this.#workers];
  }

  #present(): ProcessSlot[] {
    return this.#workers.filter(({ life }) => life !== null);
  }

  /** Who leads and who stands by, as they have said themselves. */
  #leads() {
    const lives = this.#coordinators.filter(({ life }) => life !== null);
    const hasLed = (one: ProcessSlot) => /^leads run /m.test(one.life?.said ?? "");
    const [leader = null, ...others] = lives.filter((one) => hasLed(one) && !one.isFrozen);
    const standby = lives.find((one) => !hasLed(one)) ?? null;
    return { leader: others.length === 0 ? leader : null, standby };
  }

  #slotOf({ target }: ChaosFault): ProcessSlot {
    const { leader, standby } = this.#leads();
    const there = this.#present();
    const slot =
      target.role === "server"
        ? this.#servers[target.index]
        : target.role === "worker"
          ? there[target.index % there.length]
          : target.role === "leader"
            ? leader
            : standby;
    if (slot) return slot;
    throw new PacelineError("internal", `there is no ${targetName(target)} to strike`);
  }

  /** A worker more or a worker less; the other way round where that is the most or the least. */
  async #comeOrGo({ kind, target }: ChaosFault): Promise<Strike> {
    const there = this.#present();
    const { min, max } = elasticWorkers;
    const comes = kind === "come" ? there.length < max : there.length <= min;
    const chosen = comes
      ? this.#workers.find(({ life }) => life === null)
      : there["index" in target ? target.index % there.length : 0];
    if (comes) await chosen?.begin();
    else await chosen?.leave();
    return { pids: chosen?.pids.slice(-1) ?? [] };
  }

  async #strikeEtcd({ kind, forMs }: ChaosFault): Promise<void> {
    if (kind === "freeze") {
      this.#etcd.signal("SIGSTOP");
      await delay(forMs);
      this.#etcd.signal("SIGCONT");
      return;
    }
    await this.#etcd.end(kind === "kill" ? "SIGKILL" : "SIGTERM");
    if (kind === "kill") await delay(forMs);
    await this.#etcd.start();
  }

  async #strikeLinks(fault: ChaosFault): Promise<void> {
    const proxies = this.#linksOf(fault);
    for (const proxy of proxies) fault.kind === "cut" ? proxy.cut() : proxy.stall();
    await delay(fault.forMs);
    for (const proxy of proxies) proxy.restore();
  }

  #linksOf(fault: ChaosFault): ShapingProxy[] {
    const { target, link } = fault;
    const of = (name: string) => this.#links.get(name) ?? [];
    if (target.role === "etcd") return this.#coordinators.flatMap(({ name }) => of(name));
    const { name } = this.#slotOf(fault);
    if (target.role === "leader" && link === "session") {
      const index = this.#coordinators.findIndex((one) => one.name === name);
      return this.#members().flatMap((member) => of(member.name).slice(index, index + 1));
    }
    const chunks = of(`${name}/chunks`).slice(-1);
    return link === "chunks" ? chunks : link === "all" ? [...of(name), ...chunks] : of(name);
  }

  /** The picture of a cluster that is whole, or what lacks. */
  async #look(): Promise<CoordinatorSnapshot | string> {
    if (!(await this.#etcd.answers())) return "etcd does not answer";
    const { leader, standby } = this.#leads();
    if (leader === null) return "not one coordinator leads";
    const address = this.#addresses[this.#coordinators.indexOf(leader)]!;
    const told = standby?.life?.said.match(/(?<=stands by: the coordinator at )\S+/g)?.at(-1);
    if (told !== address) return `no coordinator stands by for ${leader.name}`;
    const { folder } = this.#parts;
    try {
      const events = await readFile(join(folder, "runs", "run", "events.jsonl"), "utf8");
      const snapshot = (await this.#transport.status(address)) as CoordinatorSnapshot;
      const awaited = [...this.#servers, ...this.#present()].map((slot): AwaitedMember => {
        return { name: slot.name, pid: slot.life?.pid ?? -1 };
      });
      return whatLacks(snapshot, awaited, events) ?? snapshot;
    } catch (thrown) {
      return `${leader.name} gives no picture: ${String(thrown)}`;
    }
  }
}

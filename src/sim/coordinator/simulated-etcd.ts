/**
 * An etcd in the memory of a simulated world: keys with the revisions in which they were made and
 * written, transactions on condition of these, leases that end, watches. What is wrong with it for
 * a while (it is slow, away, cut off from a node, its answers are lost) is told it by faults; what
 * was sent to it is made when it arrives, also where nobody waits for it any more.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { PacelineError } from "../../errors.js";
import type { Timer } from "../../host/clock.js";
import type { Random } from "../../random.js";
import {
  type Compare,
  Compare_CompareTarget,
  Event_EventType,
  type KeyValue,
  KeyValueSchema,
  type RequestOp,
  type ResponseOpSchema,
  TxnRequestSchema,
  type TxnResponse,
  TxnResponseSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../store/etcd/generated-etcd.js";
import type { VirtualTime } from "../virtual-time.js";

interface Lease {
  readonly seconds: number;
  readonly keys: Set<string>;
  timer: Timer;
}

interface Watcher {
  readonly key: string;
  tell(response: WatchResponse): void;
}

/** Leases are of no less: an election of etcd's own members takes that long. */
const leaseSecondsMin = 2;

/** The etcd. */
export class SimulatedEtcd {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #keys = new Map<string, KeyValue>();
  readonly #leases = new Map<bigint, Lease>();
  readonly #watchers = new Set<Watcher>();
  /** By key the revision in which it was removed last. */
  readonly #removed = new Map<string, bigint>();
  /** Called when it goes away: each breaks an open call. */
  readonly #calls = new Set<() => void>();
  readonly #cutUntilMs = new Map<string, number>();
  #revision = 1n;
  #leaseCount = 0n;
  #awayUntilMs = 0;
  #slow = { untilMs: 0, mostMs: 0 };
  #lostAnswers = 0;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  /** It ends, and begins again after a while with what it had: its leases begin anew then. */
  goAway(durationMs: number): void {
    this.#awayUntilMs = Math.max(this.#awayUntilMs, this.#time.nowMs + durationMs);
    for (const broken of [...this.#calls]) broken();
    this.#watchers.clear();
    for (const [id, lease] of this.#leases) this.#begin(id, lease);
  }

  /** Each message takes up to so much longer for a while. */
  slowDown(durationMs: number, mostMs: number): void {
    this.#slow = { untilMs: this.#time.nowMs + durationMs, mostMs };
  }

  /** What passes between it and a node arrives no sooner than after a while. */
  cut(node: string, durationMs: number): void {
    this.#cutUntilMs.set(node, this.#time.nowMs + durationMs);
  }

  /** The next so many calls are made, and their answers are lost. */
  loseAnswers(count: number): void {
    this.#lostAnswers += count;
  }

  /** True where the answer to a call is to be lost; it is counted. */
  losesAnswer(): boolean {
    return this.#lostAnswers > 0 && this.#lostAnswers-- > 0;
  }

  get isAway(): boolean {
    return this.#time.nowMs < this.#awayUntilMs;
  }

  /** When a message that a node sends now, or is sent, arrives. */
  arrivesMs(node: string): number {
    const { nowMs } = this.#time;
    const { untilMs, mostMs } = this.#slow;
    const lateMs = nowMs < untilMs ? 100 + this.#random.float() * mostMs : 0;
    const delayMs = 0.2 + this.#random.float() * 2 + lateMs;
    return Math.max(nowMs + delayMs, this.#cutUntilMs.get(node) ?? 0);
  }

  /** Has a call that stays open broken when the store goes away; the answer takes it out again. */
  holds(broken: () => void): () => void {
    this.#calls.add(broken);
    return () => void this.#calls.delete(broken);
  }

  /** The key with its value; null where there is none. */
  read(key: string): KeyValue | null {
    return this.#keys.get(key) ?? null;
  }

  /** Does the one or the other, as all comparisons hold or not. */
  transact(request: MessageInitShape<typeof TxnRequestSchema>): TxnResponse {
    const { compare, success, failure } = create(TxnRequestSchema, request);
    const succeeded = compare.every((one) => this.#holds(one));
    const operations = succeeded ? success : failure;
    if (operations.some(isWrite)) this.#revision++;
    const responses = operations.map((one) => this.#operate(one));
    const header = { revision: this.#revision };
    return create(TxnResponseSchema, { succeeded, header, responses });
  }

  /** Begins a lease. */
  grant(wantedSeconds: number): { readonly id: bigint; readonly seconds: number } {
    const id = ++this.#leaseCount;
    const seconds = Math.max(leaseSecondsMin, wantedSeconds);
    const lease = { seconds, keys: new Set<string>(), timer: { cancel: () => {} } };
    this.#leases.set(id, lease);
    this.#begin(id, lease);
    return { id, seconds };
  }

  /** Ends a lease, and the keys that it holds. */
  revoke(id: bigint): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw leaseIsGone();
    lease.timer.cancel();
    this.#leases.delete(id);
    if (lease.keys.size > 0) this.#revision++;
    for (const key of lease.keys) this.#remove(key);
  }

  /** Has a lease begin again; answers for how many seconds, 0 where it has ended. */
  keepAlive(id: bigint): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 0;
    this.#begin(id, lease);
    return lease.seconds;
  }

  /** Tells when a key is removed, also of what was in this revision or a later one. */
  watch(key: string, revision: bigint, tell: Watcher["tell"]): () => void {
    const watcher = { key, tell };
    this.#watchers.add(watcher);
    if ((this.#removed.get(key) ?? 0n) >= revision) tell(removal());
    return () => void this.#watchers.delete(watcher);
  }

  /** While it is away no lease ends. */
  #begin(id: bigint, lease: Lease): void {
    lease.timer.cancel();
    const fromMs = Math.max(this.#time.nowMs, this.#awayUntilMs);
    lease.timer = this.#time.at(fromMs + lease.seconds * 1000, () => this.revoke(id));
  }

  #holds({ key, target, targetUnion }: Compare): boolean {
    const kept = this.#keys.get(textOf(key));
    const found =
      target === Compare_CompareTarget.CREATE ? kept?.createRevision : kept?.modRevision;
    return (found ?? 0n) === targetUnion.value;
  }

  #operate({ request }: RequestOp): MessageInitShape<typeof ResponseOpSchema> {
    switch (request.case) {
      case "requestPut":
        this.#put(request.value);
        break;
      case "requestDeleteRange":
        this.#remove(textOf(request.value.key));
        break;
      case "requestRange": {
        const kept = this.#keys.get(textOf(request.value.key));
        const value = { kvs: kept === undefined ? [] : [kept] };
        return { response: { case: "responseRange", value } };
      }
    }
    return {};
  }

  #put({ key, value, lease: id }: Pick<KeyValue, "key" | "value" | "lease">): void {
    const name = textOf(key);
    const lease = this.#leases.get(id);
    if (id !== 0n && lease === undefined) throw leaseIsGone();
    const revision = this.#revision;
    const createRevision = this.#keys.get(name)?.createRevision ?? revision;
    const kept = { key, value, lease: id, createRevision, modRevision: revision };
    this.#keys.set(name, create(KeyValueSchema, kept));
    lease?.keys.add(name);
  }

  #remove(key: string): void {
    if (!this.#keys.delete(key)) return;
    this.#removed.set(key, this.#revision);
    for (const watcher of [...this.#watchers]) if (watcher.key === key) watcher.tell(removal());
  }
}

function leaseIsGone(): PacelineError {
  return new PacelineError("unavailable", "etcd: etcdserver: requested lease not found");
}

function removal(): WatchResponse {
  return create(WatchResponseSchema, { events: [{ type: Event_EventType.DELETE }] });
}

function isWrite({ request }: RequestOp): boolean {
  return request.case !== "requestRange";
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key).toString("utf8");
}

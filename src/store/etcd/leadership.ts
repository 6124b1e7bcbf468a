/**
 * Who of several coordinators leads: the one that made the key `<prefix>/leader`, for as long as
 * its lease goes on. The leader alone can change records: each write is a transaction on condition
 * that the key is still the one that this leader made.
 *
 * The idea: time decides only when another may try to lead, never who does. A leader that slept and
 * has not noticed writes nothing, as its key is gone or another's.
 *
 * Invariants: at most one process can write at any revision; a leader counts its lease from the
 * sending of the last request that was answered, so that it stops before etcd lets another in. A
 * write follows the one before: a try that was given up, and is made late after all, finds the
 * record in another revision than the one that it was to replace, and changes nothing.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { PacelineError, toPacelineError } from "../../errors.js";
import type { EtcdCalls } from "./etcd-client.js";
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  Event_EventType,
  type KeyValue,
} from "./generated-etcd.js";
import { untilRefused } from "./listening-leader.js";

/** Monotonic time, as hosts have it. */
export interface LeaseClock {
  nowMs(): number;
  after(delayMs: number, action: () => void): { cancel(): void };
}

/** What others are told of a leader. */
export interface LeaderFacts {
  /** host:port under which members reach it. */
  readonly address: string;
  readonly host: string;
  readonly pid: number;
}

/** What an election is held with. */
export interface ElectionParts {
  readonly client: EtcdCalls;
  /** What every key begins with. */
  readonly prefix: string;
  readonly clock: LeaseClock;
  /** How long a leader may be silent; etcd counts whole seconds and gives no less than two. */
  readonly leaseMs: number;
}

/** The most bytes of a record, as it is stored: etcd refuses requests above 1.5 MiB. */
const recordBytesMax = 1_400_000;
const retryMs = 250;
/** So often a term the lease is asked for; with 6 each of three members is asked twice. */
const asksPerTerm = 6;
/** So many requests without an answer, and another member is asked. */
const unansweredMax = 2;
/** How long a standby trusts that it is told when the leader's key goes. */
const lookMs = 5000;

/** The leader now; null where there is none. */
export async function presentLeader({
  client,
  prefix,
}: Pick<ElectionParts, "client" | "prefix">): Promise<LeaderFacts | null> {
  const kept = await client.read(`${prefix}/leader`);
  return kept === null ? null : factsOf(kept);
}

/**
 * Waits until this process leads. `onLeader` is told who leads meanwhile, each time it is another.
 * Null where `signal` ended the wait. An etcd that is away is waited for.
 */
export async function campaign(
  parts: ElectionParts,
  self: LeaderFacts,
  { onLeader, onAway, signal }: CampaignHooks,
): Promise<Leadership | null> {
  let told = "";
  while (!signal.aborted) {
    try {
      const outcome = await tryToLead(parts, self);
      if (outcome instanceof Leadership) {
        if (outcome.reason === null) return outcome;
        // Of one that was won, but told too late, its leader does not hear.
        await outcome.resign();
        throw new PacelineError("timeout", outcome.reason);
      }
      const { leader, revision } = outcome;
      const facts = factsOf(leader);
      const key = JSON.stringify(facts);
      if (key !== told) onLeader(facts);
      told = key;
      await untilGone(parts, leader, revision, signal);
    } catch (thrown) {
      const error = toPacelineError(thrown);
      if (error.code !== "unavailable" && error.code !== "timeout") throw error;
      onAway(error);
      await pause(parts.clock, retryMs);
    }
  }
  return null;
}

/** What is told of a campaign, and what ends it. */
export interface CampaignHooks {
  readonly onLeader: (leader: LeaderFacts) => void;
  /** etcd can't be reached; it is tried again. */
  readonly onAway: (error: PacelineError) => void;
  readonly signal: AbortSignal;
}

interface Other {
  readonly leader: KeyValue;
  readonly revision: bigint;
}

async function tryToLead(parts: ElectionParts, self: LeaderFacts): Promise<Leadership | Other> {
  const { client, prefix, clock, leaseMs } = parts;
  const key = Buffer.from(`${prefix}/leader`);
  const grantedMs = clock.nowMs();
  const lease = await client.grantLease(Math.max(1, Math.ceil(leaseMs / 1000)));
  const value = Buffer.from(JSON.stringify(self));
  const { succeeded, header, responses } = await client.transact({
    compare: [isMadeIn(key, 0n)],
    success: [put(key, value, lease.id)],
    failure: [get(key)],
  });
  const taken = { ...parts, lease: lease.id, termMs: lease.seconds * 1000, answeredMs: grantedMs };
  if (succeeded) return new Leadership({ ...taken, revision: header!.revision });
  const answer = responses[0]?.response;
  const found = answer?.case === "responseRange" ? answer.value.kvs[0] : undefined;
  // A transaction that was made twice finds what the first has done.
  if (found?.lease === lease.id)
    return new Leadership({ ...taken, revision: found.createRevision });
  await client.revokeLease(lease.id);
  if (found === undefined) return tryToLead(parts, self);
  return { leader: found, revision: header!.revision };
}

/** Resolves when the key is gone, or may be; ends the lease of a leader that listens no more. */
async function untilGone(
  { client, prefix, clock }: ElectionParts,
  leader: KeyValue,
  revision: bigint,
  signal: AbortSignal,
): Promise<void> {
  const knocking = new AbortController();
  void untilRefused(factsOf(leader).address, clock, knocking.signal)
    .then((isGone) => (isGone ? client.revokeLease(leader.lease) : undefined))
    // What etcd does not hear ends with the lease's own time.
    .catch(() => {});
  const stream = client.watch(`${prefix}/leader`, revision + 1n);
  const stop = () => stream.close();
  // A connection that has gone silent tells of nothing.
  const look = clock.after(lookMs, stop);
  signal.addEventListener("abort", stop);
  try {
    for await (const { events, canceled } of stream.answers) {
      if (canceled || events.some(({ type }) => type === Event_EventType.DELETE)) return;
    }
  } finally {
    knocking.abort();
    look.cancel();
    signal.removeEventListener("abort", stop);
    stream.close();
  }
}

/** A call that keeps a lease alive; its answers come in the order of the requests. */
interface Keeping {
  /** Sends one request, at this time. */
  ask(nowMs: number): void;
  /** How many requests have no answer yet. */
  unanswered(): number;
  /** Its member is silent: the next call goes to another. */
  turn(): void;
  close(): void;
}

interface Taken extends ElectionParts {
  readonly lease: bigint;
  /** How long the lease lasts without an answer. */
  readonly termMs: number;
  readonly answeredMs: number;
  /** In which the key was made. */
  readonly revision: bigint;
}

/** Why a leader is none: its key is gone, or another's. */
const takenOver = "another coordinator leads, or none";

/** The lead, from the moment at which it is won until it is lost or laid down. */
export class Leadership {
  /** Resolves with the reason when this process no longer leads; never rejects. */
  readonly lost: Promise<string>;
  readonly #taken: Taken;
  /** When the last request was sent that has been answered. */
  #answeredMs: number;
  #reason: string | null = null;
  #lose: (reason: string) => void = () => {};
  #timer: { cancel(): void } | null = null;
  #keeping: Keeping | null = null;
  /** Calls to members that were silent; one that is only slow may answer yet. */
  #silent: Keeping[] = [];
  /** By key the revision in which its record was written last, as far as is known; 0 of none. */
  readonly #written = new Map<string, bigint>();

  constructor(taken: Taken) {
    this.#taken = taken;
    this.#answeredMs = taken.answeredMs;
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
    this.#keep();
  }

  /** Why this process leads no longer; null while it does. */
  get reason(): string | null {
    return this.#reason;
  }

  /**
   * A record that the leader, or one before it, has written; null where there is none. While etcd
   * is away it is tried again, for as long as this process leads.
   * @throws PacelineError `storage` where it can't be read, `refused` where it leads no longer.
   */
  async read(name: string): Promise<Buffer | null> {
    const key = this.#keyOf(name);
    const kept = await this.#whileLeading(() => this.#taken.client.read(key));
    this.#written.set(key, kept?.modRevision ?? 0n);
    if (kept === null) return null;
    try {
      return gunzipSync(kept.value);
    } catch (cause) {
      throw new PacelineError("storage", `${key} in etcd is no record of Paceline`, { cause });
    }
  }

  /**
   * Replaces a record, or removes it where `content` is null; resolves when it is durable. While
   * etcd is away it is tried again, for as long as this process leads.
   * @throws PacelineError `refused` where this process leads no longer: nothing is written.
   */
  async write(name: string, content: Uint8Array | null): Promise<void> {
    const key = this.#keyOf(name);
    const value = content === null ? null : gzipSync(content);
    if (value !== null && value.length > recordBytesMax) {
      const size = `${key} has ${value.length} bytes compressed, etcd takes ${recordBytesMax}`;
      const remedy = "use fewer members, chunks or queued jobs, or --store file";
      throw new PacelineError("storage", `${size}; ${remedy}`);
    }
    await this.#whileLeading(() => this.#replace(key, value));
  }

  /**
   * Resolves when etcd has said that this process leads, which may be past by then.
   * @throws PacelineError `refused` where it leads no longer.
   */
  async confirm(): Promise<void> {
    const { client, prefix, revision } = this.#taken;
    await this.#whileLeading(async () => {
      const leader = await client.read(`${prefix}/leader`);
      const isOurs = leader?.createRevision === revision;
      if (!isOurs) this.#end(takenOver);
      return isOurs || undefined;
    });
  }

  /** Tries until there is an answer; while etcd is away, for as long as this process leads. */
  async #whileLeading<Answer>(tries: () => Promise<Answer | undefined>): Promise<Answer> {
    for (;;) {
      if (this.#reason !== null) throw this.#noLongerLeads();
      try {
        const answer = await tries();
        if (answer !== undefined) return answer;
      } catch (thrown) {
        const { code } = toPacelineError(thrown);
        if (code !== "unavailable" && code !== "timeout") throw thrown;
        await pause(this.#taken.clock, retryMs);
      }
    }
  }

  /**
   * Replaces a record that is in the revision in which this leader knows it; true then. Where it is
   * in another, by an earlier try of its own whose answer it lacks, that one is known from here on.
   */
  async #replace(key: string, value: Uint8Array | null): Promise<true | undefined> {
    const { client, prefix, revision } = this.#taken;
    const [leaderKey, recordKey] = [Buffer.from(`${prefix}/leader`), Buffer.from(key)];
    const known = this.#written.get(key) ?? (await client.read(key))?.modRevision ?? 0n;
    const { succeeded, header, responses } = await client.transact({
      compare: [isMadeIn(leaderKey, revision), isWrittenIn(recordKey, known)],
      success: [value === null ? remove(recordKey) : put(recordKey, value, 0n)],
      failure: [get(leaderKey), get(recordKey)],
    });
    const [leader, record] = responses.map(({ response }) =>
      response.case === "responseRange" ? response.value.kvs[0] : undefined,
    );
    const isOurs = succeeded || leader?.createRevision === revision;
    if (!isOurs) this.#end(takenOver);
    const written = value === null ? 0n : header!.revision;
    this.#written.set(key, succeeded ? written : (record?.modRevision ?? 0n));
    return succeeded || undefined;
  }

  /** Lays the lead down, so that another may take it at once. */
  async resign(): Promise<void> {
    this.#end("it was laid down");
    await this.#taken.client.revokeLease(this.#taken.lease).catch(() => {});
  }

  /** Asks for the lease to begin again, some times a term, and watches that it does. */
  #keep(): void {
    const { clock, termMs } = this.#taken;
    const again = (): void => {
      if (this.#reason !== null) return;
      const nowMs = clock.nowMs();
      const leftMs = this.#answeredMs + termMs - nowMs;
      // What is less than a timer can wait for is over.
      if (leftMs < 0.01) {
        const seconds = ((nowMs - this.#answeredMs) / 1000).toFixed(1);
        this.#end(`etcd has not answered for ${seconds} s, and the lease is over`);
        return;
      }
      if (this.#keeping !== null && this.#keeping.unanswered() >= unansweredMax) {
        this.#keeping.turn();
        this.#silent.push(this.#keeping);
        this.#keeping = null;
      }
      this.#keeping ??= this.#listen();
      this.#keeping.ask(nowMs);
      this.#timer = clock.after(Math.min(termMs / asksPerTerm, leftMs), again);
    };
    again();
  }

  #listen(): Keeping {
    const stream = this.#taken.client.keepAlive(this.#taken.lease);
    const sentMs: number[] = [];
    const keeping: Keeping = {
      ask: (nowMs) => {
        sentMs.push(nowMs);
        stream.send();
      },
      unanswered: () => sentMs.length,
      turn: () => stream.turn(),
      close: () => stream.close(),
    };
    const read = async (): Promise<void> => {
      for await (const { TTL } of stream.answers) {
        if (TTL <= 0n) return this.#end("its lease ended");
        this.#answeredMs = Math.max(this.#answeredMs, sentMs.shift() ?? 0);
        if (this.#keeping === keeping) this.#leaveSilent();
      }
    };
    // Where the call breaks the next look opens another.
    void read()
      .catch(() => {})
      .finally(() => {
        if (this.#keeping === keeping) this.#keeping = null;
      });
    return keeping;
  }

  #leaveSilent(): void {
    for (const keeping of this.#silent.splice(0)) keeping.close();
  }

  #end(reason: string): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#timer?.cancel();
    this.#keeping?.close();
    this.#leaveSilent();
    this.#lose(reason);
  }

  #noLongerLeads(): PacelineError {
    return new PacelineError("refused", `this coordinator leads no longer: ${this.#reason}`);
  }

  #keyOf(name: string): string {
    return `${this.#taken.prefix}/${name}`;
  }
}

function factsOf({ value }: KeyValue): LeaderFacts {
  const text = Buffer.from(value).toString("utf8");
  try {
    const { address, host, pid } = JSON.parse(text) as LeaderFacts;
    if (typeof address === "string" && typeof host === "string") return { address, host, pid };
  } catch {
    // Told below.
  }
  const what = `the leader's key in etcd holds ${JSON.stringify(text.slice(0, 80))}`;
  throw new PacelineError("storage", `${what}; give this cluster a prefix of its own in --store`);
}

function isMadeIn(key: Uint8Array, revision: bigint) {
  return {
    key,
    result: Compare_CompareResult.EQUAL,
    target: Compare_CompareTarget.CREATE,
    targetUnion: { case: "createRevision", value: revision },
  } as const;
}

/** Of a key that is not there the revision is 0. */
function isWrittenIn(key: Uint8Array, revision: bigint) {
  return {
    key,
    result: Compare_CompareResult.EQUAL,
    target: Compare_CompareTarget.MOD,
    targetUnion: { case: "modRevision", value: revision },
  } as const;
}

function get(key: Uint8Array) {
  return { request: { case: "requestRange", value: { key } } } as const;
}

function put(key: Uint8Array, value: Uint8Array, lease: bigint) {
  return { request: { case: "requestPut", value: { key, value, lease } } } as const;
}

function remove(key: Uint8Array) {
  return { request: { case: "requestDeleteRange", value: { key } } } as const;
}

function pause(clock: LeaseClock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.after(delayMs, resolve));
}

/**
 * What the tests of this room record with: receivers and a coordinator that keep what they are
 * told.
 */

import assert from "node:assert/strict";
import { PacelineError } from "../../errors.js";
import type { Examples, ExamplesRequest } from "../../protocol/examples.js";
import type { MemberIdentity, MemberPlace } from "../../protocol/identity.js";
import type {
  ChunkHeader,
  CoordinatorMessage,
  MemberMessage,
  RegisterReply,
  RegisterRequest,
} from "../../protocol/messages.js";
import { emptyHeader, protocolVersion } from "../../protocol/messages.js";
import type { ResidualChunk, ResidualPlace } from "../../protocol/residuals.js";
import type { JobEvents, JobEventsRequest, Submission } from "../../protocol/run-events.js";
import type { CoordinatorService, SessionChannel, SwitchRequest } from "../transport.js";

export const request: RegisterRequest = {
  protocol: protocolVersion,
  role: "worker",
  rank: null,
  incarnation: null,
  pid: 7,
  host: "rider",
  address: "",
  frames: null,
  attempt: "first",
};
export const identity: MemberIdentity = { role: "worker", rank: 2, incarnation: 41 };
export const accepted: RegisterReply = {
  accepted: true,
  rank: 2,
  incarnation: 41,
  term: 1,
  heartbeatIntervalMs: 500,
  leaseMs: 3000,
  run: "",
};

/** Waits until a condition holds; fails with what was waited for after a minute. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `waited 60 s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A receiver that keeps everything it is told. */
export class Inbox {
  readonly chunks: { header: ChunkHeader; bytes: Uint8Array | null }[] = [];
  readonly errors: PacelineError[] = [];
  destination: (payloadBytes: number) => Uint8Array | null = (bytes) => new Uint8Array(bytes);

  onHeader(_header: ChunkHeader, payloadBytes: number): Uint8Array | null {
    return this.destination(payloadBytes);
  }

  onChunk(header: ChunkHeader, bytes: Uint8Array | null): void {
    this.chunks.push({ header, bytes });
  }

  onClose(error: PacelineError): void {
    this.errors.push(error);
  }
}

/** A receiver of session messages that keeps everything it is told. */
export class Mail<Message> {
  readonly messages: Message[] = [];
  readonly errors: PacelineError[] = [];
  onMessage(message: Message): void {
    this.messages.push(message);
  }
  onClose(error: PacelineError): void {
    this.errors.push(error);
  }
}

export class Coordinator implements CoordinatorService {
  readonly requests: RegisterRequest[] = [];
  readonly sessions: {
    identity: MemberIdentity;
    channel: SessionChannel<CoordinatorMessage>;
    mail: Mail<MemberMessage>;
  }[] = [];
  reply: RegisterReply = accepted;
  refuseSessions: PacelineError | null = null;

  register(asked: RegisterRequest): RegisterReply {
    this.requests.push(asked);
    return this.reply;
  }

  open(who: MemberIdentity, channel: SessionChannel<CoordinatorMessage>): Mail<MemberMessage> {
    if (this.refuseSessions !== null) throw this.refuseSessions;
    const mail = new Mail<MemberMessage>();
    this.sessions.push({ identity: who, channel, mail });
    return mail;
  }

  status(): unknown {
    return { members: [{ rank: 2, waiting: "for worker 3: step 118 of 121" }], step: 12 };
  }

  drain({ role, rank }: MemberPlace): string {
    if (rank > 1) throw new PacelineError("refused", `there is no ${role}-${rank}`);
    return `${role}-${rank} leaves`;
  }

  switchTo({ protocol, run }: SwitchRequest): string {
    if (protocol.mode === "bsp") throw new PacelineError("refused", "it is bsp already");
    return `${run || "the run"} goes to ${protocol.mode} ${protocol.staleness}`;
  }

  submit({ config, priority, host, pid }: Submission): string {
    if (config === "") throw new PacelineError("usage", "the configuration is empty; give YAML");
    return `run-of-${config.length}-letters-${priority}-${host}-${pid}`;
  }

  jobs(job: string): unknown {
    if (job === "7") throw new PacelineError("refused", "there is no job 7");
    return [{ id: 1, name: "first", job }];
  }

  cancelJob(job: string): string {
    return `job ${job} is cancelled`;
  }

  async jobEvents({ job, from, record }: JobEventsRequest): Promise<JobEvents> {
    const kept = record === null ? "" : `,"record":"${record}"`;
    return { text: `{"job":"${job}"${kept}}\n`, next: from + 13, isOver: from > 0 };
  }

  /** Examples of 3 x 64 x 64 bytes, each filled with its position. */
  readExamples({ run, start, end }: ExamplesRequest): Examples {
    if (run !== "run-1") throw new PacelineError("refused", `run ${run} is not on`);
    const shape = [3, 64, 64];
    const size = 3 * 64 * 64;
    const values = new Uint8Array((end - start) * size);
    const labels = Int32Array.from({ length: end - start }, (_, index) => start + index);
    for (const [index, label] of labels.entries()) values.fill(label, index * size);
    return { shape, dtype: "u8", labels, values };
  }

  /** Residuals by chunk. */
  readonly residuals = new Map<number, Uint8Array>();

  keepResidual({ barrier, chunk, values }: ResidualChunk): void {
    if (barrier !== 3) throw new PacelineError("refused", `barrier ${barrier} is not being taken`);
    this.residuals.set(chunk, values.slice());
  }

  readResidual({ chunk, rank }: ResidualPlace): Uint8Array {
    const values = this.residuals.get(chunk);
    if (values !== undefined) return values;
    throw new PacelineError("refused", `there are no residuals of worker ${rank}`);
  }
}

export const hello: ChunkHeader = {
  ...emptyHeader,
  kind: "hello",
  run: "run-1",
  rank: 2,
  incarnation: 41,
};
export const push = (step: number): ChunkHeader => ({ ...hello, kind: "push", step, chunk: 3 });

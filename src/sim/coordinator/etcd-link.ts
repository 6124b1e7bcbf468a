/**
 * How one simulated process speaks with the simulated etcd: the calls that a client makes of a real
 * one, with its time-out. A call that is given up may be made all the same, then or later; of one
 * whose answer is lost nobody knows whether it was.
 */
import { create } from "@bufbuild/protobuf";
import { PacelineError } from "../../errors.js";
import type { EtcdCalls, EtcdStream } from "../../store/etcd/etcd-client.js";
import {
  type LeaseKeepAliveResponse,
  LeaseKeepAliveResponseSchema,
  type WatchResponse,
} from "../../store/etcd/generated-etcd.js";
import type { SimulatedProcess } from "../simulated-process.js";
import type { VirtualTime } from "../virtual-time.js";
import type { SimulatedEtcd } from "./simulated-etcd.js";

/** How long a call is waited for, as the program waits. */
const answerMsMax = 2000;

/** The answers of a call that stays open, read by one reader. */
class Answers<Answer> implements AsyncIterable<Answer> {
  readonly #waiting: Answer[] = [];
  #end: { readonly error: PacelineError | null } | null = null;
  #wake: () => void = () => {};

  push(answer: Answer): void {
    this.#waiting.push(answer);
    this.#wake();
  }

  end(error: PacelineError | null): void {
    this.#end ??= { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Answer> {
    for (;;) {
      while (this.#waiting.length > 0) yield this.#waiting.shift()!;
      if (this.#end !== null) {
        if (this.#end.error !== null) throw this.#end.error;
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** The simulated etcd has no other member to turn to. */
const onlyMember = () => {};

/** The link of one process. */
export class EtcdLink implements EtcdCalls {
  readonly #etcd: SimulatedEtcd;
  readonly #time: VirtualTime;
  readonly #process: SimulatedProcess;

  constructor(etcd: SimulatedEtcd, time: VirtualTime, process: SimulatedProcess) {
    this.#etcd = etcd;
    this.#time = time;
    this.#process = process;
  }

  read: EtcdCalls["read"] = (key) => this.#call(() => this.#etcd.read(key));
  transact: EtcdCalls["transact"] = (request) => this.#call(() => this.#etcd.transact(request));
  grantLease: EtcdCalls["grantLease"] = (seconds) => this.#call(() => this.#etcd.grant(seconds));
  revokeLease: EtcdCalls["revokeLease"] = (id) => this.#call(() => this.#etcd.revoke(id));

  keepAlive(id: bigint): EtcdStream<void, LeaseKeepAliveResponse> {
    const call = this.#open<LeaseKeepAliveResponse>();
    const send = () =>
      call.ask(() => {
        const TTL = BigInt(this.#etcd.keepAlive(id));
        call.answer(create(LeaseKeepAliveResponseSchema, { ID: id, TTL }));
      });
    return { send, answers: call.answers, turn: onlyMember, close: call.close };
  }

  watch(key: string, revision: bigint): EtcdStream<never, WatchResponse> {
    const call = this.#open<WatchResponse>();
    let stop = () => {};
    call.ask(() => {
      stop = this.#etcd.watch(key, revision, (response) => call.answer(response));
    });
    const close = () => {
      stop();
      call.close();
    };
    return { send: () => {}, answers: call.answers, turn: onlyMember, close };
  }

  #call<Answer>(make: () => Answer): Promise<Answer> {
    const [etcd, process] = [this.#etcd, this.#process];
    return new Promise((resolve, reject) => {
      if (!process.isAlive) return;
      const late = new PacelineError("timeout", "etcd: it has not answered in time");
      const patience = process.clock.after(answerMsMax, () => reject(late));
      const settle = (told: () => void) =>
        process.run(() => {
          patience.cancel();
          told();
        });
      this.#time.at(etcd.arrivesMs(process.node), () => {
        if (etcd.isAway) return settle(() => reject(away()));
        const told = outcomeOf(make, resolve, reject);
        const isLost = etcd.losesAnswer();
        this.#time.at(etcd.arrivesMs(process.node), () => {
          settle(isLost || etcd.isAway ? () => reject(away()) : told);
        });
      });
    });
  }

  /** A call whose messages, either way, arrive in the order in which they were sent. */
  #open<Answer>() {
    const [etcd, time, process] = [this.#etcd, this.#time, this.#process];
    const answers = new Answers<Answer>();
    let isOver = false;
    const end = (error: PacelineError | null) => {
      isOver = true;
      release();
      answers.end(error);
    };
    const release = etcd.holds(() => process.run(() => end(away())));
    const way = () => {
      let lastMs = 0;
      return (arrive: () => void) => {
        lastMs = Math.max(lastMs, etcd.arrivesMs(process.node));
        time.at(lastMs, () => {
          if (isOver) return;
          if (etcd.isAway) process.run(() => end(away()));
          else arrive();
        });
      };
    };
    const [there, back] = [way(), way()];
    return {
      answers,
      ask: (arrive: () => void) => there(arrive),
      answer: (answer: Answer) => back(() => process.run(() => answers.push(answer))),
      close: () => end(null),
    };
  }
}

function outcomeOf<Answer>(
  make: () => Answer,
  resolve: (answer: Answer) => void,
  reject: (thrown: unknown) => void,
): () => void {
  try {
    const answer = make();
    return () => resolve(answer);
  } catch (thrown) {
    return () => reject(thrown);
  }
}

function away(): PacelineError {
  return new PacelineError("unavailable", "etcd: the connection broke");
}

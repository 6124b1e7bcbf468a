/**
 * The Transport inside one process: for tests, simulation and runs that need no network. Addresses
 * are names. Deliveries are ordered and asynchronous, by default each in its own turn of the event
 * loop (in microtasks an endless exchange of messages would keep timers from firing); a simulator
 * passes its own scheduler. Links can be cut by name, as a cable is.
 */

import { PacelineError, toPacelineError } from "../../errors.js";
import type { MemberIdentity } from "../../protocol/identity.js";
import type { ChunkHeader, CoordinatorMessage, MemberMessage } from "../../protocol/messages.js";
import { acceptHello, deliverChunk } from "../chunk-delivery.js";
import { unreachable } from "../connection-errors.js";
import type {
  ChunkAcceptor,
  ChunkChannel,
  ChunkReceiver,
  CoordinatorReceiver,
  CoordinatorService,
  Listener,
  SessionChannel,
  Transport,
} from "../transport.js";
import { blocksOf } from "../wire/examples-codec.js";
import type { EndReceiver, LinkEnd, Schedule } from "./memory-link.js";
import { MemoryLink } from "./memory-link.js";

interface ChunkItem {
  readonly header: ChunkHeader;
  readonly payload: Uint8Array | null;
}

interface Served {
  readonly owner: string;
  readonly service: CoordinatorService | null;
  readonly accept: ChunkAcceptor | null;
}

interface Connection {
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly link: MemoryLink;
  readonly closeLeft: () => void;
}

/** The network that the transports of one process share. */
export class MemoryNetwork {
  /** Runs a task as deliveries are run. */
  readonly later: Schedule;
  readonly #served = new Map<string, Served>();
  readonly #connections = new Set<Connection>();
  readonly #cuts = new Set<string>();
  #transports = 0;

  constructor(options: { schedule?: Schedule } = {}) {
    this.later = options.schedule ?? ((task) => void setImmediate(task));
  }

  /**
   * A transport of the named process; `cut` knows it by this name and by the addresses it serves.
   */
  createTransport(name = `process-${this.#transports}`): Transport {
    this.#transports += 1;
    return new MemoryTransport(this, name);
  }

  /**
   * Breaks every connection between two processes (names or addresses) and refuses others until
   * `restore`.
   */
  cut(left: string, right: string): void {
    this.#cuts.add(this.#pair(left, right));
    const error = new PacelineError("unavailable", `the link of ${left} and ${right} is cut`);
    for (const { from, to, link } of [...this.#connections]) {
      if (this.#pair(from, to) === this.#pair(left, right)) link.break(error);
    }
  }

  /** Mends what `cut` broke; who wants a connection opens it again. */
  restore(left: string, right: string): void {
    this.#cuts.delete(this.#pair(left, right));
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Starts to answer at an address. */
  serve(address: string, served: Served): Listener {
    if (this.#served.has(address)) {
      throw new PacelineError("usage", `address ${address} is in use; choose another`);
    }
    this.#served.set(address, served);
    const close = async (): Promise<void> => {
      if (this.#served.get(address) !== served) return;
      this.#served.delete(address);
      const error = new PacelineError("unavailable", `${address} stopped listening`);
      for (const connection of [...this.#connections]) {
        if (connection.address === address) connection.link.break(error);
      }
    };
    return { address, close };
  }

  /** What answers at an address; throws "unavailable" when nothing does or the link is cut. */
  reach(from: string, address: string): Served {
    const served = this.#served.get(address);
    if (served === undefined) throw unreachable(address, "ECONNREFUSED");
    if (this.#cuts.has(this.#pair(from, served.owner))) throw unreachable(address, undefined);
    return served;
  }

  /** Attaches a link to what answers at an address; throws as `reach` does. */
  connect(from: string, address: string, link: MemoryLink, closeLeft: () => void): Served {
    const served = this.reach(from, address);
    const connection = { from, to: served.owner, address, link, closeLeft };
    this.#connections.add(connection);
    link.onEnd = () => this.#connections.delete(connection);
    return served;
  }

  /** Closes every connection that the named process opened. */
  leave(name: string): void {
    for (const { from, closeLeft } of [...this.#connections]) if (from === name) closeLeft();
  }

  #pair(left: string, right: string): string {
    const names = [left, right].map((name) => this.#served.get(name)?.owner ?? name);
    return names.sort().join("\u0000");
  }
}

class MemoryTransport implements Transport {
  readonly #network: MemoryNetwork;
  readonly #name: string;

  constructor(network: MemoryNetwork, name: string) {
    this.#network = network;
    this.#name = name;
  }

  async serveCoordinator(address: string, service: CoordinatorService): Promise<Listener> {
    return this.#network.serve(address, { owner: this.#name, service, accept: null });
  }

  async serveChunks(address: string, accept: ChunkAcceptor): Promise<Listener> {
    return this.#network.serve(address, { owner: this.#name, service: null, accept });
  }

  register: Transport["register"] = (address, request) =>
    this.#ask(address, (service) => service.register(request, this.#name));

  status: Transport["status"] = (address) =>
    this.#ask(address, (service) => structuredClone(service.status()));

  drain: Transport["drain"] = (address, member) =>
    this.#ask(address, (service) => service.drain(member));

  switchTo: Transport["switchTo"] = (address, request) =>
    this.#ask(address, (service) => service.switchTo(request));

  submit: Transport["submit"] = (address, submission) =>
    this.#ask(address, (service) => service.submit(submission));

  jobs: Transport["jobs"] = (address, job) =>
    this.#ask(address, (service) => structuredClone(service.jobs(job)));

  cancelJob: Transport["cancelJob"] = (address, job) =>
    this.#ask(address, (service) => service.cancelJob(job));

  jobEvents: Transport["jobEvents"] = (address, request) =>
    this.#ask(address, (service) => service.jobEvents(request));

  readExamples: Transport["readExamples"] = (address, request, onBlock) =>
    this.#ask(address, (service) => {
      for (const block of blocksOf(service.readExamples(request))) onBlock(block);
    });

  keepResidual: Transport["keepResidual"] = (address, residual) =>
    this.#ask(address, (service) => service.keepResidual(residual));

  readResidual: Transport["readResidual"] = (address, place) =>
    this.#ask(address, (service) => service.readResidual(place));

  openSession(
    address: string,
    identity: MemberIdentity,
    receiver: CoordinatorReceiver,
  ): SessionChannel<MemberMessage> {
    const end = this.#open<CoordinatorMessage, MemberMessage>(
      address,
      { onItem: (message) => receiver.onMessage(message), onClose: (e) => receiver.onClose(e) },
      (served, serverEnd) => {
        const channel = sessionChannel(serverEnd, this.#name);
        const member = serviceOf(served, address).open(identity, channel);
        return {
          onItem: (message) => member.onMessage(message),
          onClose: (e) => member.onClose(e),
        };
      },
    );
    return sessionChannel(end, address);
  }

  openChunks(address: string, receiver: ChunkReceiver): ChunkChannel {
    const end = this.#open<ChunkItem, ChunkItem>(
      address,
      chunkReceiver(receiver),
      (served, serverEnd) => {
        const { accept } = served;
        if (accept === null) throw wrongService(address, "parameter server");
        return helloFirst(serverEnd, (first) =>
          acceptHello(accept, chunkChannel(serverEnd, this.#name), first),
        );
      },
    );
    return chunkChannel(end, address);
  }

  async close(): Promise<void> {
    this.#network.leave(this.#name);
  }

  #ask<Answer>(
    address: string,
    ask: (service: CoordinatorService) => Answer | Promise<Answer>,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#network.later(() => {
        try {
          resolve(ask(serviceOf(this.#network.reach(this.#name, address), address)));
        } catch (thrown) {
          reject(toPacelineError(thrown));
        }
      });
    });
  }

  #open<In, Out>(
    address: string,
    receiver: EndReceiver<In>,
    answer: (served: Served, end: LinkEnd<Out, In>) => EndReceiver<Out>,
  ): LinkEnd<In, Out> {
    const link = new MemoryLink(this.#network.later);
    const { left, right } = link.ends<In, Out>(this.#name, address);
    left.receiver = receiver;
    let served: Served;
    try {
      served = this.#network.connect(this.#name, address, link, () => left.close());
    } catch (thrown) {
      link.break(toPacelineError(thrown));
      return left;
    }
    const opening: EndReceiver<Out> = {
      onItem: (item) => {
        if (open()) right.receiver?.onItem(item);
      },
      onClose: () => {},
    };
    const open = (): boolean => {
      if (right.receiver !== opening) return false;
      const answering = answer(served, right);
      if (right.receiver !== opening) return false;
      right.receiver = answering;
      return true;
    };
    right.receiver = opening;
    this.#network.later(() => link.guard(open));
    return left;
  }
}

function sessionChannel<Out>(end: LinkEnd<unknown, Out>, peer: string): SessionChannel<Out> {
  return { peer, send: (message) => end.send(message, undefined), close: () => end.close() };
}

function chunkChannel(end: LinkEnd<ChunkItem, ChunkItem>, peer: string): ChunkChannel {
  return {
    peer,
    send: (header, payload, sent) => end.send({ header, payload }, sent),
    close: () => end.close(),
  };
}

function chunkReceiver(receiver: ChunkReceiver): EndReceiver<ChunkItem> {
  return {
    onItem: ({ header, payload }) => deliverChunk(receiver, header, payload),
    onClose: (error) => receiver.onClose(error),
  };
}

function helloFirst(
  end: LinkEnd<ChunkItem, ChunkItem>,
  accept: (first: ChunkHeader) => ChunkReceiver,
): EndReceiver<ChunkItem> {
  const waiting: EndReceiver<ChunkItem> = {
    onItem: (item) => {
      const accepted = chunkReceiver(accept(item.header));
      if (end.receiver !== waiting) return;
      end.receiver = accepted;
      accepted.onItem(item);
    },
    onClose: () => {},
  };
  return waiting;
}

function serviceOf(served: Served, address: string): CoordinatorService {
  if (served.service === null) throw wrongService(address, "coordinator");
  return served.service;
}

function wrongService(address: string, wanted: string): PacelineError {
  return new PacelineError("protocol", `${address} is not a ${wanted}; check the address`);
}

/**
 * The Transport of a process in a simulated world. What it promises is what transport.ts says: each
 * failure is told once, each wait ends, memory that was named is not written to after the end.
 */
import { PacelineError, toPacelineError } from "../errors.js";
import type { ExamplesBlock } from "../protocol/examples.js";
import type { MemberIdentity } from "../protocol/identity.js";
import type { CoordinatorMessage, MemberMessage } from "../protocol/messages.js";
import { acceptHello } from "../transport/chunk-delivery.js";
import { unreachable } from "../transport/connection-errors.js";
import type {
  ChunkAcceptor,
  ChunkChannel,
  ChunkReceiver,
  CoordinatorReceiver,
  CoordinatorService,
  Listener,
  SessionChannel,
  Transport,
} from "../transport/transport.js";
import type { ConnectionEnd, EndReceiver } from "./connection.js";
import type { Served, SimulatedNetwork } from "./simulated-network.js";
import type { SimulatedProcess } from "./simulated-process.js";
import {
  demandMayCall,
  demandRole,
  demandToken,
  limitedTo,
  type Passport,
  passportOf,
} from "./stranger/passport.js";
import { answered, asked, type Packed, packDown, packUp } from "./wire-forms.js";

/** The transport of one process. */
export class SimulatedTransport implements Transport {
  readonly #network: SimulatedNetwork;
  readonly #process: SimulatedProcess;
  readonly #opened = new Set<ConnectionEnd>();

  readonly #passport: Passport;

  /** @param passport what it shows to those it comes to; that of its node if left out. */
  constructor(
    network: SimulatedNetwork,
    process: SimulatedProcess,
    passport: Passport = passportOf(process.node),
  ) {
    this.#network = network;
    this.#process = process;
    this.#passport = passport;
  }

  async serveCoordinator(address: string, service: CoordinatorService): Promise<Listener> {
    return this.#network.serve(address, { process: this.#process, service, accept: null });
  }

  async serveChunks(address: string, accept: ChunkAcceptor): Promise<Listener> {
    return this.#network.serve(address, { process: this.#process, service: null, accept });
  }

  register: Transport["register"] = (address, request) =>
    this.#ask(address, "Register", async (service) => {
      const { wire } = this.#network;
      demandRole(this.#passport, request.role);
      return answered(wire, await service.register(asked(wire, request), this.#process.name));
    });

  status: Transport["status"] = (address) =>
    this.#ask(address, "Status", (service) => structuredClone(service.status()));

  drain: Transport["drain"] = (address, member) =>
    this.#ask(address, "Drain", (service) => service.drain(member));

  switchTo: Transport["switchTo"] = (address, request) =>
    this.#ask(address, "switch", (service) => service.switchTo(request));

  submit: Transport["submit"] = (address, submission) =>
    this.#ask(address, "Submit", (service) => service.submit(submission));

  jobs: Transport["jobs"] = (address, job) =>
    this.#ask(address, "Jobs", (service) => structuredClone(service.jobs(job)));

  cancelJob: Transport["cancelJob"] = (address, job) =>
    this.#ask(address, "CancelJob", (service) => service.cancelJob(job));

  jobEvents: Transport["jobEvents"] = (address, request) =>
    this.#ask(address, "JobEvents", (service) => service.jobEvents(request));

  async readExamples(
    address: string,
    request: Parameters<Transport["readExamples"]>[1],
    onBlock: (block: ExamplesBlock) => void,
  ): Promise<void> {
    const examples = await this.#ask(address, "ReadExamples", (service) =>
      service.readExamples(request),
    );
    onBlock({ ...examples, count: examples.labels.length });
  }

  keepResidual: Transport["keepResidual"] = (address, residual) =>
    this.#ask(address, "KeepResidual", (service) => service.keepResidual(residual));

  readResidual: Transport["readResidual"] = (address, place) =>
    this.#ask(address, "ReadResidual", (service) => service.readResidual(place).slice());

  openSession(
    address: string,
    identity: MemberIdentity,
    receiver: CoordinatorReceiver,
  ): SessionChannel<MemberMessage> {
    const end = this.#open(address, receiver, (served, own) => {
      const pack = (message: CoordinatorMessage) => packDown(this.#network.wire, message);
      const channel = sessionChannel(own, this.#process.name, pack);
      demandMayCall(this.#passport, "Heartbeat");
      demandRole(this.#passport, identity.role);
      return serviceOf(served, address).open(identity, channel);
    });
    const pack = (message: MemberMessage) => packUp(this.#network.wire, message);
    const channel = sessionChannel<MemberMessage>(end, address, pack);
    const send = (message: MemberMessage) => {
      this.#network.onSaid(identity, message);
      channel.send(message);
    };
    return { ...channel, send };
  }

  openChunks(address: string, receiver: ChunkReceiver): ChunkChannel {
    const end = this.#open(address, receiver, ({ accept }, own) => {
      if (accept === null) throw wrongService(address, "parameter server");
      const channel = chunkChannel(own, this.#process.name);
      return awaitHello(own, accept, channel, this.#passport);
    });
    return chunkChannel(end, address);
  }

  async close(): Promise<void> {
    for (const end of this.#opened) end.close();
    this.#opened.clear();
  }

  /** Opens a connection; what it is answered with at the other side is made there. */
  #open(
    address: string,
    receiver: EndReceiver,
    answer: (served: Served, end: ConnectionEnd) => EndReceiver,
  ): ConnectionEnd {
    const network = this.#network;
    const { ioTimeoutMs } = network.settings;
    const served = network.at(address);
    const { client, server } = network.connect(
      this.#process,
      served ?? { process: this.#process, service: null, accept: null },
    );
    client.receiver = receiver;
    this.#opened.add(client);
    if (served === undefined || !this.#process.isAlive) {
      client.break(unreachable(address, "ECONNREFUSED"));
      return client;
    }
    let isOpen = false;
    server.receiver = { onClose: () => {} };
    client.send(
      "connect",
      () => "a connection",
      () => {
        isOpen = true;
        const answering = answer(served, server);
        if (!server.isOver) server.receiver = answering;
      },
    );
    this.#process.clock.after(ioTimeoutMs, () => {
      if (!isOpen) client.break(new PacelineError("timeout", `${address} does not answer`));
    });
    return client;
  }

  #ask<Answer>(
    address: string,
    call: string,
    ask: (service: CoordinatorService) => Answer | Promise<Answer>,
  ): Promise<Answer> {
    const network = this.#network;
    const self = this.#process;
    return new Promise((resolve, reject) => {
      const served = network.at(address);
      if (!self.isAlive) return;
      if (served === undefined) {
        const error = new PacelineError("unavailable", `${address} can't be reached`);
        self.clock.after(network.delayMs(), () => reject(error));
        return;
      }
      const answers = network.pipe(served.process, self);
      let isSettled = false;
      const failed = (error: PacelineError) => self.run(() => reject(error));
      const forget = network.awaitAnswer(served.process, failed);
      const settle = (what: string, answered: () => void) => {
        const action = () => {
          isSettled = true;
          forget();
          answered();
        };
        const about = { label: () => `${what} of ${address}`, numbers: [] };
        answers.send({ ...about, beats: 1, isLent: false, arrive: action, lose: () => {} });
      };
      const request = async () => {
        try {
          demandMayCall(this.#passport, call);
          const answer = await ask(serviceOf(served, address));
          if (!network.losesAnswer(self.node)) return settle("answer", () => resolve(answer));
          const lost = new PacelineError("unavailable", `${address} closed the connection`);
          settle("lost answer", () => reject(lost));
        } catch (thrown) {
          settle("refusal", () => reject(toPacelineError(thrown)));
        }
      };
      const arrive = () => void request();
      const about = { label: () => call, numbers: [] };
      const asking = { ...about, beats: 1, isLent: false, arrive, lose: () => {} };
      self.run(() => network.pipe(self, served.process).send(asking));
      if (network.repeats(self.node)) {
        // Its answer comes second, if it comes: a promise is settled once.
        const again = network.pipe(self, served.process);
        again.delay(network.delayMs() * 5);
        again.send(asking);
      }
      const { ioTimeoutMs } = network.settings;
      self.clock.after(ioTimeoutMs, () => {
        forget();
        if (!isSettled) reject(new PacelineError("timeout", `${address} does not answer`));
      });
    });
  }
}

/** A data channel opens with its hello. */
function awaitHello(
  end: ConnectionEnd,
  accept: ChunkAcceptor,
  channel: ChunkChannel,
  passport: Passport,
): EndReceiver {
  const waiting: ChunkReceiver = {
    onHeader: () => null,
    onChunk: (header) => {
      demandToken(passport);
      const accepted = limitedTo(passport, acceptHello(accept, channel, header));
      if (end.isOver) return;
      end.receiver = accepted;
      accepted.onHeader(header, 0);
      accepted.onChunk(header, null);
    },
    onClose: () => {},
  };
  return waiting;
}

function sessionChannel<Message extends { readonly type: string }>(
  end: ConnectionEnd,
  peer: string,
  pack: (message: Message) => Packed<Message>,
): SessionChannel<Message> {
  return {
    peer,
    send: (message) => {
      const packed = pack(message);
      end.send<EndReceiver & { onMessage(message: Message): void }>(
        message.type,
        () => labelOf(message),
        (receiver) => receiver.onMessage(packed.unpack()),
      );
    },
    close: () => end.close(),
  };
}

function chunkChannel(end: ConnectionEnd, peer: string): ChunkChannel {
  return {
    peer,
    send: (header, payload, sent) => end.sendChunk(header, payload, sent),
    close: () => end.close(),
  };
}

function labelOf(message: { readonly type: string }): string {
  const { type, ...rest } = message;
  const numbers = Object.entries(rest).flatMap(([name, value]) =>
    typeof value === "number" ? [`${name} ${value}`] : [],
  );
  return `${type} ${numbers.join(", ")}`;
}

function serviceOf(served: Served, address: string): CoordinatorService {
  if (served.service === null) throw wrongService(address, "coordinator");
  return served.service;
}

function wrongService(address: string, wanted: string): PacelineError {
  return new PacelineError("protocol", `${address} is not a ${wanted}; check the address`);
}

/** An etcd of one member as a process: Debian's, or the one that `make etcd` has fetched. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { PacelineError } from "../../errors.js";

const places = ["etcd", "/usr/bin/etcd", join(".build", "etcd", "usr", "bin", "etcd")];
const startLimitMs = 60_000;
const lookMs = 20;

/** The process; one after the other at the same address, on the same data. */
export class EtcdProcess {
  /** host:port of its clients. */
  readonly endpoint: string;
  readonly #program: string;
  readonly #words: readonly string[];
  #child: ChildProcess | null = null;

  private constructor(program: string, endpoint: string, words: readonly string[]) {
    this.endpoint = endpoint;
    this.#program = program;
    this.#words = words;
  }

  /**
   * Finds the program; nothing runs yet.
   * @throws PacelineError `usage` where there is none.
   */
  static async at(folder: string): Promise<EtcdProcess> {
    const program = places.find((one) => spawnSync(one, ["--version"]).status === 0);
    if (program === undefined) {
      const remedy = "install etcd-server, or call make etcd";
      throw new PacelineError("usage", `there is no etcd, which standbys need; ${remedy}`);
    }
    const endpoint = `127.0.0.1:${await freePort()}`;
    const [own, peer] = [`http://${endpoint}`, `http://127.0.0.1:${await freePort()}`];
    return new EtcdProcess(program, endpoint, [
      ...["--name", "only", "--data-dir", join(folder, "etcd"), "--log-level", "error"],
      ...["--listen-client-urls", own, "--advertise-client-urls", own],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", `only=${peer}`],
    ]);
  }

  /** Starts it and waits until it answers. */
  async start(): Promise<void> {
    this.#child = spawn(this.#program, this.#words, { stdio: "ignore" });
    const untilMs = performance.now() + startLimitMs;
    while (!(await this.answers())) {
      if (performance.now() > untilMs) {
        throw new PacelineError("internal", `etcd does not answer at ${this.endpoint}`);
      }
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }

  /** True while it takes requests, reads from its log included. */
  answers(): Promise<boolean> {
    const signal = AbortSignal.timeout(1000);
    return fetch(`http://${this.endpoint}/health`, { signal }).then(
      async (answer) => (await answer.text()).includes('"true"'),
      () => false,
    );
  }

  /** Sends a signal. */
  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Ends it by a signal, as a crash where none is said; what it has answered stays. */
  async end(name: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(name);
    await ended;
  }
}

/** A port of loopback that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const place = server.address();
      server.close(() => resolve(typeof place === "object" && place !== null ? place.port : 0));
    });
  });
}

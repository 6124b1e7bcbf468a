/** An etcd of one member, started by a test: Debian's etcd-server, in a folder of its own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { EtcdClient } from "../etcd/etcd-client.js";
import type { EtcdTls } from "../etcd/etcd-tls.js";

/** Where `make etcd` puts it. */
const fetched = join(".build", "etcd", "usr", "bin", "etcd");
const program = ["etcd", fetched].find((one) => spawnSync(one, ["--version"]).status === 0);

/** A test with an etcd of its own; `isUp` says whether it runs already. */
export function testWithEtcd(
  name: string,
  body: (context: TestContext, etcd: RealEtcd) => Promise<void>,
  isUp = true,
  secured: SecuredEtcd | null = null,
): void {
  test(name, async (context) => {
    if (program === undefined) context.skip("there is no etcd here; apt-get install etcd-server");
    else await body(context, await RealEtcd.make(context, isUp, secured));
  });
}

/** Files of an etcd that is called over TLS and asks for a certificate, and what it is shown. */
export interface SecuredEtcd {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  readonly tls: EtcdTls;
}

const startLimitMs = 60_000;

/** The process; it ends with the test. */
export class RealEtcd {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #peer: string;
  readonly #secured: SecuredEtcd | null;
  #child: ChildProcess | null = null;

  private constructor(
    folder: string,
    [clients, peers]: readonly [number, number],
    secured: SecuredEtcd | null,
  ) {
    this.#folder = folder;
    this.#secured = secured;
    this.endpoint = `127.0.0.1:${clients}`;
    this.#peer = `http://127.0.0.1:${peers}`;
  }

  /** Makes one; `isUp` says whether it runs already. */
  static async make(
    context: TestContext,
    isUp = true,
    secured: SecuredEtcd | null = null,
  ): Promise<RealEtcd> {
    const folder = await mkdtemp(join(tmpdir(), "paceline-etcd-"));
    const etcd = new RealEtcd(folder, [await freePort(), await freePort()], secured);
    context.after(async () => {
      await etcd.kill();
      await rm(folder, { recursive: true, force: true });
    });
    if (isUp) await etcd.start();
    return etcd;
  }

  /** Starts it, again where it was killed, and waits until it answers. */
  async start(): Promise<void> {
    const secured = this.#secured;
    const own = `${secured === null ? "http" : "https"}://${this.endpoint}`;
    this.#child = spawn(
      program!,
      [
        ...["--name", "only", "--data-dir", join(this.#folder, "data"), "--log-level", "error"],
        ...["--listen-client-urls", own, "--advertise-client-urls", own],
        ...["--listen-peer-urls", this.#peer, "--initial-advertise-peer-urls", this.#peer],
        ...["--initial-cluster", `only=${this.#peer}`],
        ...(secured === null ? [] : securedWords(secured)),
      ],
      { stdio: "ignore" },
    );
    const client = new EtcdClient([this.endpoint], 1000, secured?.tls ?? null);
    const untilMs = performance.now() + startLimitMs;
    for (;;) {
      const isThere = await client.read("any").then(
        () => true,
        () => false,
      );
      if (isThere) break;
      if (performance.now() > untilMs) throw new Error("etcd did not start");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    client.close();
  }

  /** Ends it as a crash does; what it has answered stays. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
}

function securedWords({ ca, certificate, key }: SecuredEtcd): string[] {
  const files = ["--cert-file", certificate, "--key-file", key, "--trusted-ca-file", ca];
  return [...files, "--client-cert-auth"];
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { readonly port: number };
      server.close(() => resolve(port));
    });
  });
}

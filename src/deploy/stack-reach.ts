/**
 * How a process outside of the VPC reaches a stack's coordinator: a port of loopback that Session
 * Manager forwards into the coordinator's container, and the token and the administrator's
 * certificate from the stack's secret. Nothing is opened in the VPC for it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PacelineError, toPacelineError } from "../errors.js";
import { failureOf, jsonOf, type ProgramPlace, readable } from "./outer-program.js";
import type { Stack } from "./stack.js";

/** What lets an administrator in. */
export interface StackKeys {
  /** Files with the token, and with certificates; null for a stack without TLS. */
  readonly tokenFile: string;
  readonly tls: string | null;
  /** Removes them. */
  forget(): Promise<void>;
}

/** Where the coordinator listens within its container, and where its keys are. */
interface Reach {
  readonly port: number;
  readonly secret: string;
}

async function readReach(place: ProgramPlace): Promise<Reach> {
  const outputs = ((await jsonOf("terraform", ["output", "-json"], place)) ?? {}) as Record<
    string,
    { readonly value: unknown }
  >;
  const address = String(outputs.parameter_server_dns_name?.value ?? "");
  const [, port] = /:(\d+)$/.exec(address) ?? [];
  const secret = outputs.cluster_secret_arn?.value;
  if (port !== undefined && typeof secret === "string") return { port: Number(port), secret };
  const sentence = `the state in ${place.folder} does not say where the coordinator listens`;
  throw new PacelineError("usage", `${sentence}; write paceline aws up, which goes on with it`);
}

/** Takes the keys of an administrator out of the stack's secret, into files of this user alone. */
export async function fetchKeys({ region }: Stack, place: ProgramPlace): Promise<StackKeys> {
  const { secret } = await readReach(place);
  const words = ["secretsmanager", "get-secret-value", "--secret-id", secret];
  const call = [...words, "--region", region, "--output", "json"];
  const told = (await jsonOf("aws", call, place)) as { readonly SecretString?: unknown } | null;
  const keys = keysIn(told?.SecretString);
  if (typeof keys.token !== "string") {
    const sentence = `the secret ${secret} holds no token`;
    throw new PacelineError("refused", `${sentence}; write paceline aws up, which makes one`);
  }
  const folder = await mkdtemp(join(tmpdir(), "paceline-keys-"));
  const keep = (name: string, text: unknown) =>
    writeFile(join(folder, name), `${text}\n`, { mode: 0o600 });
  await keep("token", keys.token);
  const forget = () => rm(folder, { recursive: true, force: true });
  const tokenFile = join(folder, "token");
  if (keys.ca === undefined) return { tokenFile, tls: null, forget };
  await mkdir(join(folder, "tls"));
  await keep("tls/ca.pem", keys.ca);
  await keep("tls/admin.pem", keys.admin);
  await keep("tls/admin-key.pem", keys.admin_key);
  return { tokenFile, tls: join(folder, "tls"), forget };
}

function keysIn(secret: unknown): Record<string, unknown> {
  try {
    return JSON.parse(String(secret)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

interface CoordinatorTask {
  readonly lastStatus: string;
  readonly taskArn: string;
  readonly containers?: readonly { readonly name: string; readonly runtimeId?: string }[];
}

/** Between two looks at the task, while the coordinator does not answer. */
const lookDefaultMs = 5000;

/** A forwarded port. The session ends with the coordinator's task, and another is begun then. */
export class StackTunnel {
  readonly address: string;
  /** Why there is no session; null while there is one. */
  problem: PacelineError | null = null;
  readonly #stack: Stack;
  readonly #place: ProgramPlace;
  readonly #port: number;
  readonly #localPort: number;
  readonly #lookMs: number;
  #session: { readonly target: string; readonly child: ChildProcess } | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;

  private constructor(
    [stack, place]: readonly [Stack, ProgramPlace],
    [port, localPort]: readonly [number, number],
    lookMs: number,
  ) {
    this.#stack = stack;
    this.#place = place;
    this.#port = port;
    this.#localPort = localPort;
    this.#lookMs = lookMs;
    this.address = `127.0.0.1:${localPort}`;
  }

  /** Opens nothing yet. @param lookMs between two looks at the task. */
  static async to(stack: Stack, place: ProgramPlace, lookMs = lookDefaultMs): Promise<StackTunnel> {
    const { port } = await readReach(place);
    return new StackTunnel([stack, place], [port, await freePort()], lookMs);
  }

  /** Sees to it that there is a session with the task that runs, as far as AWS lets it. */
  async keepOpen(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs < this.#lookMs) return;
    this.#lookedMs = nowMs;
    try {
      const target = await this.#target();
      if (this.#session?.target === target) return;
      this.close();
      this.#session = { target, child: this.#start(target) };
      this.problem = null;
    } catch (thrown) {
      this.problem = toPacelineError(thrown);
    }
  }

  /** Ends the session. */
  close(): void {
    const session = this.#session;
    this.#session = null;
    if (session !== null) endGroup(session.child);
  }

  async #target(): Promise<string> {
    const { cluster, services } = this.#stack;
    const [service = ""] = services;
    const listed = await this.#ecs("list-tasks", "--service-name", service);
    const [arn] = (listed?.taskArns ?? []) as string[];
    const described = arn === undefined ? null : await this.#ecs("describe-tasks", "--tasks", arn);
    const [task] = (described?.tasks ?? []) as CoordinatorTask[];
    const container = task?.containers?.find(({ name }) => name === "coordinator");
    if (task?.lastStatus === "RUNNING" && container?.runtimeId !== undefined) {
      return `ecs:${cluster}_${task.taskArn.split("/").at(-1)}_${container.runtimeId}`;
    }
    throw new PacelineError("unavailable", `${service} has no task that runs`);
  }

  #start(target: string): ChildProcess {
    const ports = { portNumber: [`${this.#port}`], localPortNumber: [`${this.#localPort}`] };
    const words = [
      ...["ssm", "start-session", "--target", target, "--region", this.#stack.region],
      ...["--document-name", "AWS-StartPortForwardingSession"],
      ...["--parameters", JSON.stringify(ports)],
    ];
    const { folder, environment } = this.#place;
    // In a group of its own: Ctrl-C is for this process, and the plugin goes with its parent.
    const stdio: ("ignore" | "pipe")[] = ["ignore", "ignore", "pipe"];
    const env = readable(environment);
    const child = spawn("aws", words, { cwd: folder, env, stdio, detached: true });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = `${said}${text}`.slice(-4096);
    });
    const endWithUs = () => endGroup(child);
    process.on("exit", endWithUs);
    const over = (exitCode: number | null) => {
      process.off("exit", endWithUs);
      if (this.#session?.child !== child) return;
      this.#session = null;
      this.problem = failureOf("aws", words, said, exitCode ?? 1);
    };
    child.once("error", () => over(null));
    child.once("close", over);
    return child;
  }

  async #ecs(verb: string, ...words: string[]): Promise<Record<string, unknown> | null> {
    const { cluster, region } = this.#stack;
    const call = ["ecs", verb, "--cluster", cluster, ...words];
    const all = [...call, "--region", region, "--output", "json"];
    return (await jsonOf("aws", all, this.#place)) as Record<string, unknown> | null;
  }
}

/** The CLI and the plugin that it has started. */
function endGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGTERM");
  } catch {
    // They are gone.
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { readonly port: number };
      server.close(() => resolve(port));
    });
  });
}

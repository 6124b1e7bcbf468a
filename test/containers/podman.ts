/**
 * Podman for tests, as root: with storage of its own below .build, which
 * scripts/test-containers.mjs fills, and names that begin with the test's project.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import { until } from "../run-paceline.js";
import { type ComposeFile, podmanWords } from "./compose-file.js";

const run = promisify(execFile);
const storage = (process.env.CONTAINER_STORAGE ?? "").split(" ").filter((word) => word !== "");
/** Where podman can't raise limits, those of the container have to be ones that it has. */
const limits = ["--ulimit", "nproc=4096:4096", "--ulimit", "nofile=4096:4096"];
/** A command in a container takes a second on a busy machine. */
const askAgainMs = 250;

/** How a podman command ended. */
export interface Said {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** Runs podman to its end, whatever that is. */
export async function podman(...words: string[]): Promise<Said> {
  const options = { timeout: 300_000, maxBuffer: 64 * 1024 * 1024 };
  const said = await run("podman", [...storage, ...words], options).catch((thrown) => thrown);
  const { stdout, stderr, code } = said as { stdout: string; stderr: string; code?: number };
  if (code !== undefined && typeof code !== "number") throw said;
  // Without systemd podman complains that it has no timers for checks of health.
  const err = stderr.replace(
    /^time=.*(healthcheck|syslog).*\n|^failed to connect to syslog.*\n/gm,
    "",
  );
  return { exitCode: code ?? 0, out: stdout, err };
}

/** Runs podman; what it prints. Fails where it does. */
export async function podmanOk(...words: string[]): Promise<string> {
  const { exitCode, out, err } = await podman(...words);
  if (exitCode !== 0) throw new Error(`podman ${words.join(" ")}: ${exitCode}\n${out}${err}`);
  return out.trim();
}

/** Runs an image's command to its end, in a container that goes with it. */
export function runOnce(words: readonly string[], ...command: string[]): Promise<Said> {
  return podman("run", "--rm", ...limits, ...words, ...command);
}

/** A process, from the host's side. */
export interface HostProcess {
  readonly pid: number;
  readonly uid: number;
  readonly name: string;
  readonly capabilities: bigint;
  readonly gainsPrivileges: boolean;
}

/** A compose file's cluster, run by podman. */
export class ContainerCluster {
  readonly project: string;
  readonly #file: ComposeFile;

  constructor(file: ComposeFile, project = `paceline-${process.pid}`) {
    this.#file = file;
    this.project = project;
  }

  /** Makes networks and volumes. */
  async prepare(): Promise<void> {
    for (const name of Object.keys(this.#file.networks)) {
      await podmanOk("network", "create", `${this.project}-${name}`);
    }
    for (const name of Object.keys(this.#file.volumes)) {
      await podmanOk("volume", "create", `${this.project}-${name}`);
    }
  }

  /** The name of a container. */
  nameOf(service: string, index = 0): string {
    const { deploy } = this.#file.services[service]!;
    return `${this.project}-${service}${deploy === undefined ? "" : `-${index}`}`;
  }

  /** The names of the containers of a service. */
  namesOf(service: string): string[] {
    const count = this.#file.services[service]!.deploy?.replicas ?? 1;
    return Array.from({ length: count }, (_, index) => this.nameOf(service, index));
  }

  /** Starts the containers of a service, in the background. */
  async start(service: string): Promise<void> {
    const words = podmanWords(this.project, service, this.#file.services[service]!);
    for (const name of this.namesOf(service)) {
      await podmanOk("run", "--detach", "--name", name, ...limits.slice(0, 2), ...words);
    }
  }

  /** Waits for a container's end; its exit code. */
  async end(name: string): Promise<number> {
    return Number(await podmanOk("wait", name));
  }

  /** What a container has said on both streams. */
  async logs(name: string): Promise<string> {
    const { out, err } = await podman("logs", name);
    return `${out}${err}`;
  }

  /** Runs paceline in a container that is there. */
  exec(name: string, ...words: string[]): Promise<Said> {
    return podman("exec", name, "paceline", ...words);
  }

  /** Runs the check of health that the image has; true if it finds the container well. */
  async isHealthy(name: string): Promise<boolean> {
    return (await podman("healthcheck", "run", name)).exitCode === 0;
  }

  /** Where a volume's files lie on the host. */
  folder(volume: string): Promise<string> {
    const name = `${this.project}-${volume}`;
    return podmanOk("volume", "inspect", "--format", "{{.Mountpoint}}", name);
  }

  /** A field of a container, in podman's notation. */
  field(name: string, path: string): Promise<string> {
    return podmanOk("inspect", "--format", `{{${path}}}`, name);
  }

  /** Every process of a container. */
  async processes(name: string): Promise<HostProcess[]> {
    const first = Number(await this.field(name, ".State.Pid"));
    const all = [first];
    // A list that grows while it is gone through: children of children too.
    for (const pid of all) all.push(...childrenOf(pid));
    return all.map(processOf);
  }

  /** SHA-256 of the weights of a run's last checkpoint. */
  async weights(run: string): Promise<string> {
    return this.weightsIn(await this.folder("runs"), run);
  }

  /** The same in a folder of runs. */
  weightsIn(runs: string, run: string): string {
    const folder = `${runs}/${run}/checkpoints`;
    const step = (name: string) => Number(name.replace("step-", ""));
    const names = readdirSync(folder).sort((left, right) => step(left) - step(right));
    const bytes = readFileSync(`${folder}/${names.at(-1)}/model.safetensors`);
    return createHash("sha256").update(bytes).digest("hex");
  }

  /** Waits until the run has gone so many steps, as its coordinator says. */
  async step(coordinator: string, run: string, step: number): Promise<void> {
    await until(
      `step ${step} of ${run}`,
      async () => {
        const { exitCode, out } = await this.exec(coordinator, "status", "--json");
        if (exitCode !== 0) return false;
        const { runs } = JSON.parse(out) as { runs: { name: string; globalSteps: number }[] };
        const found = runs.find(({ name }) => name === run);
        return found !== undefined && found.globalSteps >= step;
      },
      120_000,
      askAgainMs,
    );
  }

  /** Ends and removes all that there is of it. */
  async remove(): Promise<void> {
    const filter = ["--all", "--quiet", "--filter", `name=^${this.project}-`];
    const containers = (await podman("ps", ...filter)).out.split("\n").filter((one) => one !== "");
    if (containers.length > 0) await podman("rm", "--force", "--time", "0", ...containers);
    for (const name of Object.keys(this.#file.networks)) {
      await podman("network", "rm", "--force", `${this.project}-${name}`);
    }
    for (const name of Object.keys(this.#file.volumes)) {
      await podman("volume", "rm", "--force", `${this.project}-${name}`);
    }
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

function processOf(pid: number): HostProcess {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)![1]!;
  return {
    pid,
    uid: Number(field("Uid")),
    name: field("Name"),
    capabilities: BigInt(`0x${field("CapEff")}`),
    gainsPrivileges: field("NoNewPrivs") !== "1",
  };
}

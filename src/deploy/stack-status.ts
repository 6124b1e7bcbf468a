/** What runs of a stack, with which ranks, and why tasks have stopped. */
import { type CostLine, costLines, type TaskGroup } from "./fargate-cost.js";
import { jsonOf, type ProgramPlace } from "./outer-program.js";
import type { Stack } from "./stack.js";

/** A service of ECS. */
export interface ServiceStatus {
  readonly name: string;
  readonly desired: number;
  readonly running: number;
  readonly pending: number;
  /** The latest thing that ECS says of it; "" where it says nothing. */
  readonly event: string;
}

/** A task, running or stopped. */
export interface TaskStatus {
  readonly id: string;
  readonly role: string;
  /** The rank that its member had last; null where its log does not say one. */
  readonly rank: number | null;
  readonly state: string;
  readonly startedAt: string | null;
  readonly stoppedAt: string | null;
  readonly exitCode: number | null;
  /** In words; "" of one that runs. */
  readonly reason: string;
  readonly cpu: number;
  readonly memoryMib: number;
  readonly isSpot: boolean;
}

/** The stack's picture. */
export interface StackStatus {
  readonly services: readonly ServiceStatus[];
  readonly running: readonly TaskStatus[];
  /** The latest first; ECS forgets them after an hour. */
  readonly stopped: readonly TaskStatus[];
  readonly cost: readonly CostLine[];
}

interface EcsTask {
  readonly taskArn: string;
  readonly group?: string;
  readonly lastStatus: string;
  readonly startedAt?: string;
  readonly stoppedAt?: string;
  readonly stoppedReason?: string;
  readonly stopCode?: string;
  readonly cpu: string;
  readonly memory: string;
  readonly capacityProviderName?: string;
  readonly containers?: readonly { readonly exitCode?: number; readonly reason?: string }[];
}

/** `aws ecs describe-tasks` and `describe-services` take so many at a time. */
const tasksMax = 100;
const servicesMax = 10;

/** Asks AWS. @throws PacelineError of the program. */
export async function readStatus(stack: Stack, place: ProgramPlace): Promise<StackStatus> {
  const [services, tasks] = await Promise.all([
    readServices(stack, place),
    readTasks(stack, place),
  ]);
  const starts = tasks.map(({ startedAt }) => Date.parse(startedAt ?? "")).filter(Number.isFinite);
  const ranks =
    starts.length === 0 ? new Map() : await readRanks(stack, place, Math.min(...starts));
  const all = tasks.map((task) => statusOf(stack, task, ranks));
  const running = all.filter(({ state }) => state !== "STOPPED").sort(byRoleAndRank);
  const stopped = all
    .filter(({ state }) => state === "STOPPED")
    .sort((one, other) => (other.stoppedAt ?? "").localeCompare(one.stoppedAt ?? ""));
  return { services, running, stopped, cost: costLines(groupsOf(running), { loadBalancers: 1 }) };
}

async function readServices(stack: Stack, place: ProgramPlace): Promise<ServiceStatus[]> {
  const answers = await Promise.all(
    slices(stack.services, servicesMax).map((names) =>
      ecs(["describe-services", "--services", ...names], stack, place),
    ),
  );
  const services = answers.flatMap(
    (answer) =>
      (answer?.services ?? []) as {
        readonly serviceName: string;
        readonly desiredCount: number;
        readonly runningCount: number;
        readonly pendingCount: number;
        readonly events?: readonly { readonly message: string }[];
      }[],
  );
  return services.map((one) => ({
    name: one.serviceName,
    desired: one.desiredCount,
    running: one.runningCount,
    pending: one.pendingCount,
    event: one.events?.[0]?.message ?? "",
  }));
}

async function readTasks(stack: Stack, place: ProgramPlace): Promise<EcsTask[]> {
  const lists = await Promise.all(
    ["RUNNING", "STOPPED"].map((state) =>
      ecs(["list-tasks", "--desired-status", state], stack, place),
    ),
  );
  const arns = lists.flatMap((list) => (list?.taskArns ?? []) as string[]);
  const answers = await Promise.all(
    slices(arns, tasksMax).map((some) => ecs(["describe-tasks", "--tasks", ...some], stack, place)),
  );
  return answers.flatMap((answer) => (answer?.tasks ?? []) as EcsTask[]);
}

/** Ranks by the ids of tasks: members say in their logs as what they are registered. */
async function readRanks(
  stack: Stack,
  place: ProgramPlace,
  sinceMs: number,
): Promise<Map<string, number>> {
  const ranks = new Map<string, number>();
  const groups = [
    [stack.serverLogs, "server/"],
    [stack.workerLogs, "worker/"],
  ] as const;
  for (const [group, prefix] of groups) {
    const words = ["logs", "filter-log-events", "--log-group-name", group];
    const what = ["--log-stream-name-prefix", prefix, "--filter-pattern", '"registered with ID"'];
    const rest = ["--start-time", String(sinceMs), ...common(stack)];
    const answer = (await jsonOf("aws", [...words, ...what, ...rest], place)) as {
      readonly events?: readonly { readonly logStreamName: string; readonly message: string }[];
    } | null;
    for (const { logStreamName, message } of answer?.events ?? []) {
      const [, rank] = /registered with ID (\d+)/.exec(message) ?? [];
      // Of several the last counts: a member has a rank of each run that it takes part in.
      if (rank !== undefined) ranks.set(logStreamName.split("/").at(-1) ?? "", Number(rank));
    }
  }
  return ranks;
}

function statusOf(stack: Stack, task: EcsTask, ranks: ReadonlyMap<string, number>): TaskStatus {
  const id = task.taskArn.split("/").at(-1) ?? "";
  const exitCode = task.containers?.[0]?.exitCode ?? null;
  return {
    id,
    role: roleOf(stack, task.group ?? ""),
    rank: ranks.get(id) ?? null,
    state: task.lastStatus,
    startedAt: task.startedAt ?? null,
    stoppedAt: task.stoppedAt ?? null,
    exitCode,
    reason: task.lastStatus === "STOPPED" ? stopReason(task, exitCode) : "",
    cpu: Number(task.cpu),
    memoryMib: Number(task.memory),
    isSpot: task.capacityProviderName === "FARGATE_SPOT",
  };
}

/** From "service:distributed-ps-dev-parameter-server-1", or "family:distributed-ps-dev-submit". */
function roleOf({ name }: Stack, group: string): string {
  const own = group.replace(/^\w+:/, "").replace(`${name}-`, "");
  if (own.startsWith("parameter-server")) return "server";
  return own === "scaled-worker" ? "worker" : own;
}

/** What AWS says of a stop, and what it means here. */
export function stopReason(
  task: Pick<EcsTask, "stoppedReason" | "stopCode" | "containers">,
  exitCode: number | null,
): string {
  const { stoppedReason = "", stopCode = "", containers = [] } = task;
  const said = [stoppedReason, containers[0]?.reason ?? ""].filter((text) => text !== "");
  const all = said.join(" ");
  const meaning = meaningOf(`${stopCode} ${all}`, exitCode);
  return [all.replace(/\.$/, ""), meaning].filter((text) => text !== "").join(": ");
}

function meaningOf(said: string, exitCode: number | null): string {
  if (/SpotInterruption|Spot.*interrupt/i.test(said)) {
    return "the machine was taken back; ECS starts another, which takes its rank";
  }
  if (/exec format/i.test(said)) return "the image is of another architecture: run deploy.sh";
  if (/CannotPull/.test(said)) return "the image is not in the registry: run deploy.sh";
  if (/ResourceInitialization/.test(said)) {
    return "a secret, the run store or a log group can't be reached; see roles and the secret";
  }
  if (/OutOfMemory/i.test(said)) return "it needed more memory than it has: raise *_memory";
  if (/Scaling activity|deployment/i.test(said)) return "ECS has scaled the service, or renewed it";
  const meanings: Readonly<Record<number, string>> = {
    0: "it ended well",
    2: "an option is wrong: see its log",
    3: "the cluster did not form",
    4: "too few workers were left",
    5: "the run diverged",
    6: "a checkpoint is missing or corrupt",
    7: "data are missing or corrupt",
    8: "the last checkpoint could not be written",
    137: "it was killed: out of memory, or not gone 120 s after it was told to stop",
    143: "it was told to stop, and left in order",
  };
  return exitCode === null ? "" : (meanings[exitCode] ?? `exit code ${exitCode}: see its log`);
}

function groupsOf(tasks: readonly TaskStatus[]): TaskGroup[] {
  const groups = new Map<string, TaskGroup>();
  for (const { role, cpu, memoryMib, isSpot } of tasks) {
    const key = [role, cpu, memoryMib, isSpot].join();
    const count = groups.get(key)?.tasks ?? 0;
    groups.set(key, { role, cpu, memoryMib, isSpot, tasks: count + 1 });
  }
  return [...groups.values()];
}

const order = ["coordinator", "server", "worker", "submit"];

function byRoleAndRank(one: TaskStatus, other: TaskStatus): number {
  const byRole = order.indexOf(one.role) - order.indexOf(other.role);
  return byRole || (one.rank ?? -1) - (other.rank ?? -1) || one.id.localeCompare(other.id);
}

async function ecs(words: readonly string[], stack: Stack, place: ProgramPlace) {
  const [verb = "", ...rest] = words;
  const call = ["ecs", verb, "--cluster", stack.cluster, ...rest, ...common(stack)];
  return (await jsonOf("aws", call, place)) as Record<string, unknown> | null;
}

function common({ region }: Stack): string[] {
  return ["--region", region, "--output", "json"];
}

function slices<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

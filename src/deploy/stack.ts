/** A stack that terraform/ has made: what its outputs say of it, and what is planned of it. */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { PacelineError } from "../errors.js";
import type { TaskGroup } from "./fargate-cost.js";
import { jsonOf, type ProgramPlace } from "./outer-program.js";

/** A stack that is there. */
export interface Stack {
  readonly name: string;
  readonly region: string;
  readonly cluster: string;
  readonly services: readonly string[];
  /** Of the coordinator, the servers and submitted runs. */
  readonly serverLogs: string;
  readonly workerLogs: string;
}

/** What a plan of Terraform would make. */
export interface PlannedStack {
  readonly groups: readonly TaskGroup[];
  readonly loadBalancers: number;
  /** Resources by what is done to them: create, update, delete. */
  readonly changes: Readonly<Record<string, number>>;
}

/** Looks whether this is terraform/. @throws PacelineError `usage` for another folder. */
export async function demandTerraformFolder(folder: string): Promise<void> {
  try {
    await access(join(folder, "deploy.sh"));
  } catch (cause) {
    const sentence = `${folder} has no deploy.sh: it is not the folder terraform/ of Paceline`;
    throw new PacelineError("usage", `${sentence}; give it with --dir`, { cause });
  }
}

/**
 * The stack of a folder's state.
 * @throws PacelineError `usage` where none has been made.
 */
export async function readStack(place: ProgramPlace): Promise<Stack> {
  const outputs = ((await jsonOf("terraform", ["output", "-json"], place)) ?? {}) as Record<
    string,
    { readonly value: unknown }
  >;
  const text = (name: string): string => {
    const value = outputs[name]?.value;
    if (typeof value === "string" && value !== "") return value;
    const sentence = `the state in ${place.folder} has no ${name}: no stack is made, or half`;
    throw new PacelineError("usage", `${sentence}; write paceline aws up, which goes on with it`);
  };
  const servers = outputs.parameter_server_service_names?.value;
  return {
    name: `${text("project_name")}-${text("environment")}`,
    region: text("aws_region"),
    cluster: text("ecs_cluster_name"),
    services: [
      text("coordinator_service_name"),
      ...(Array.isArray(servers) ? servers.map(String) : []),
      text("worker_service_name"),
    ],
    serverLogs: text("parameter_server_log_group"),
    workerLogs: text("worker_log_group"),
  };
}

interface PlannedResource {
  readonly type: string;
  readonly name: string;
  readonly index?: number | string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** Services by their names in terraform/, each with the role of its tasks and their definition. */
const rolesOfServices: Readonly<Record<string, readonly [role: string, definition: string]>> = {
  coordinator: ["coordinator", "coordinator"],
  parameter_server: ["server", "parameter_server"],
  worker: ["worker", "worker"],
  scaled_worker: ["worker", "worker"],
};

/** Reads what `terraform show -json` prints of a plan. */
export function readPlan(shown: unknown): PlannedStack {
  const plan = shown as {
    readonly planned_values?: { readonly root_module?: { readonly resources?: PlannedResource[] } };
    readonly resource_changes?: readonly { readonly change: { readonly actions: string[] } }[];
  };
  const resources = plan.planned_values?.root_module?.resources ?? [];
  const definitionOf = (name: string) =>
    resources.find((one) => one.type === "aws_ecs_task_definition" && one.name === name)?.values;
  const groups = new Map<string, TaskGroup>();
  for (const { type, name, values } of resources) {
    const [role, definition] = rolesOfServices[name] ?? [];
    if (type !== "aws_ecs_service" || role === undefined || definition === undefined) continue;
    const sizes = definitionOf(definition) ?? {};
    const strategies = values.capacity_provider_strategy as { capacity_provider: string }[];
    groups.set(role, {
      role,
      tasks: (groups.get(role)?.tasks ?? 0) + Number(values.desired_count ?? 0),
      cpu: Number(sizes.cpu ?? 0),
      memoryMib: Number(sizes.memory ?? 0),
      isSpot: strategies?.[0]?.capacity_provider === "FARGATE_SPOT",
    });
  }
  const changes: Record<string, number> = {};
  for (const { change } of plan.resource_changes ?? []) {
    for (const action of change.actions) changes[action] = (changes[action] ?? 0) + 1;
  }
  delete changes["no-op"];
  delete changes.read;
  const loadBalancers = resources.filter(({ type }) => type === "aws_lb").length;
  return { groups: [...groups.values()], loadBalancers, changes };
}

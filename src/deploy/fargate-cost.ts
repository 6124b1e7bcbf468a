/**
 * What a stack costs by the hour, before it is made and while it runs. The prices are Amazon's list
 * prices for us-west-2, Linux on x86; other regions differ by some percent, and Spot's price moves.
 * What is paid by use (logs, stored and transferred bytes) is not in it.
 */

/** USD an hour. */
const prices = {
  vcpu: 0.04048,
  gib: 0.004445,
  publicAddress: 0.005,
  loadBalancer: 0.0225,
};
/** Spot costs up to 70 % less; so much is said to be usual. */
const spotShare = 0.3;
/** USD a month: a secret, a private zone, four alarms, sixteen metrics. */
const monthly = 0.4 + 0.5 + 4 * 0.1 + 16 * 0.3;
const hoursOfMonth = 730;

/** Tasks of one size. */
export interface TaskGroup {
  readonly role: string;
  readonly tasks: number;
  /** CPU units: 1024 are a vCPU. */
  readonly cpu: number;
  readonly memoryMib: number;
  readonly isSpot: boolean;
}

/** A line of the bill. */
export interface CostLine {
  readonly what: string;
  readonly usdPerHour: number;
}

/** What stands whether tasks run or not. */
export interface FixedParts {
  readonly loadBalancers: number;
}

/** USD an hour of one task, its public address included. */
export function taskCost({ cpu, memoryMib, isSpot }: Omit<TaskGroup, "role" | "tasks">): number {
  const computing = (cpu / 1024) * prices.vcpu + (memoryMib / 1024) * prices.gib;
  return computing * (isSpot ? spotShare : 1) + prices.publicAddress;
}

/** The bill by the hour, line by line. */
export function costLines(groups: readonly TaskGroup[], fixed: FixedParts): CostLine[] {
  const tasks = groups
    .filter((group) => group.tasks > 0)
    .map((group) => ({ what: groupWords(group), usdPerHour: group.tasks * taskCost(group) }));
  const balancers = fixed.loadBalancers * prices.loadBalancer;
  return [
    ...tasks,
    { what: "load balancer", usdPerHour: balancers },
    { what: "secret, private zone, alarms and metrics", usdPerHour: monthly / hoursOfMonth },
  ];
}

/** The sum of a bill. */
export function costPerHour(lines: readonly CostLine[]): number {
  return lines.reduce((sum, { usdPerHour }) => sum + usdPerHour, 0);
}

function groupWords({ role, tasks, cpu, memoryMib, isSpot }: TaskGroup): string {
  const size = `${cpu / 1024} vCPU, ${memoryMib / 1024} GiB`;
  return `${tasks} x ${role} (${size}${isSpot ? ", Spot" : ""})`;
}

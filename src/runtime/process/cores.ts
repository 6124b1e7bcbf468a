/**
 * How many cores this process may keep busy: those that it may run on, or fewer where a control
 * group (a container's limit) gives it less time than that. A quota of 1.5 cores counts as 1, since
 * threads beyond the quota are stopped until the next period.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

/** Where Linux tells of control groups; tests give folders of their own. */
export interface GroupFiles {
  readonly mount: string;
  /** The groups of this process, a line each. */
  readonly membership: string;
}

const systemFiles: GroupFiles = { mount: "/sys/fs/cgroup", membership: "/proc/self/cgroup" };

/** The cores of this process, at least 1. */
export function usableCores(
  files: GroupFiles = systemFiles,
  cores = availableParallelism(),
): number {
  const quota = cpuQuota(files);
  return quota === null ? cores : Math.max(1, Math.min(cores, Math.floor(quota)));
}

/** The smallest quota of the groups that this process is in, in cores; null without one. */
export function cpuQuota({ mount, membership }: GroupFiles = systemFiles): number | null {
  const quotas = textOf(membership)
    .split("\n")
    .flatMap((line) => {
      const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
      if (controllers === undefined || path === undefined) return [];
      if (controllers === "") return foldersOf(mount, path).map(quotaOfSecond);
      if (!controllers.split(",").includes("cpu")) return [];
      return [controllers, "cpu"].flatMap((name) =>
        foldersOf(join(mount, name), path).map(quotaOfFirst),
      );
    })
    .filter((quota) => quota !== null);
  return quotas.length === 0 ? null : Math.min(...quotas);
}

/** The folder of a group and of all groups around it, as each limits those within. */
function foldersOf(top: string, path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  return Array.from({ length: parts.length + 1 }, (_, length) =>
    join(top, ...parts.slice(0, length)),
  );
}

/** Version 2: "150000 100000", or "max 100000". */
function quotaOfSecond(folder: string): number | null {
  const [quota, period] = textOf(join(folder, "cpu.max")).trim().split(" ");
  return share(quota, period);
}

/** Version 1: two files, of which the first holds -1 where there is no limit. */
function quotaOfFirst(folder: string): number | null {
  return share(textOf(join(folder, "cpu.cfs_quota_us")), textOf(join(folder, "cpu.cfs_period_us")));
}

function share(quota: string | undefined, period: string | undefined): number | null {
  const cores = Number(quota) / Number(period);
  return Number.isFinite(cores) && cores > 0 ? cores : null;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Which process of this machine is meant by a pid, and whether it lives: pids are given again. */
import { readFile } from "node:fs/promises";

/** Linux counts the start of a process in these, whatever the kernel's own ticks. */
const ticksPerSecond = 100;

/**
 * Tells the processes of a machine apart that have the same pid: the machine's boot and the moment
 * of the start in it; null where no such process lives, or the platform does not tell.
 */
export async function processStart(pid: number): Promise<string | null> {
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    return `${boot.trim()}/${await startTicks(pid)}`;
  } catch {
    return null;
  }
}

/** When a process began, in milliseconds since 1970; null where the platform does not tell. */
export async function startTimeMs(pid: number): Promise<number | null> {
  try {
    const ticks = await startTicks(pid);
    const [, boot] = /^btime (\d+)$/m.exec(await readFile("/proc/stat", "utf8")) ?? [];
    const startMs = (Number(boot) + ticks / ticksPerSecond) * 1000;
    return Number.isFinite(startMs) ? startMs : null;
  } catch {
    return null;
  }
}

/** Whether a process of this pid lives. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    // Somebody else's process lives as well.
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function startTicks(pid: number): Promise<number> {
  const line = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name before the last bracket may hold spaces; the 22nd field is the 20th behind it.
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z") throw new Error("it has ended and its parent has not asked how");
  return Number(fields[19]);
}

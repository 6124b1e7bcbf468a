/** What a result was made on and made by: the machine, and the commit of Paceline. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { usableCores } from "./cores.js";

/** The machine a benchmark ran on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly node: string;
  readonly platform: string;
}

/** The machine this process runs on; cores are those that it may use. */
export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: usableCores(),
    memoryBytes: totalmem(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  };
}

/** The folder of this package. */
function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder)
    folder = dirname(folder);
  return folder;
}

/** The version of this package. */
export function packageVersion(): string {
  const manifest = readFileSync(join(packageFolder(), "package.json"), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

/**
 * The commit that Paceline runs from, where its folder is a git checkout; else null. What git says
 * of a checkout that is not clean ends in "-dirty".
 */
export function sourceCommit(): string | null {
  const folder = packageFolder();
  if (!existsSync(join(folder, ".git"))) return null;
  const words = ["-C", folder, "describe", "--always", "--dirty", "--abbrev=40"];
  try {
    const answer = execFileSync("git", [...words, "--exclude=*"], {
      encoding: "utf8",
      timeout: 2000,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return answer.trim() || null;
  } catch {
    return null;
  }
}

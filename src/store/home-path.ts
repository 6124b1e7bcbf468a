/** Paths of the user's own folder. */
import { homedir } from "node:os";
import { join } from "node:path";

/** The user's home folder; null where this process has none, as an unknown user in a container. */
export function homeFolder(): string | null {
  try {
    return homedir() || null;
  } catch {
    return null;
  }
}

/**
 * A path with its first ~ replaced by the home folder, or what is wrong with it: a zero byte, which
 * no path has, or a ~ that leads nowhere.
 */
export function expandHome(
  path: string,
  home: string | null = homeFolder(),
): { readonly path: string } | { readonly problem: string } {
  if (path.includes("\0")) return { problem: "has a zero byte" };
  if (!path.startsWith("~")) return { path };
  if (path !== "~" && !path.startsWith("~/")) {
    return { problem: "begins with the home folder of another user or a name with ~" };
  }
  if (home === null) return { problem: "begins with ~, and this user has no home folder" };
  return { path: path === "~" ? home : join(home, path.slice(2)) };
}

/**
 * Makes a folder with its parents. Node's own recursive form never ends on a file system that says
 * of a folder in an existing parent that there is no such path, as /proc does; here each part of
 * the path is tried twice at the most.
 */
import { mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** One that exists is fine. Throws the platform's errors; see `diskFiles.makeFolder`. */
export async function makeFolders(path: string): Promise<void> {
  const whole = resolve(path);
  if (await made(whole)) return;
  const parent = dirname(whole);
  if (parent !== whole) await makeFolders(parent);
  if (await made(whole)) return;
  const reason = `the file system takes no folder ${whole}`;
  throw Object.assign(new Error(reason), { code: "ENOTSUP" });
}

/** False where a parent is missing. */
async function made(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT") return false;
    // A root or a folder of somebody else may exist and yet be refused.
    const found = await stat(path).catch(() => null);
    if (found?.isDirectory() === true) return true;
    throw thrown;
  }
}

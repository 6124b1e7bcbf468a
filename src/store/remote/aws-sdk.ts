/** Packages of the AWS SDK are optional dependencies: each is loaded when something needs it. */
import { PacelineError } from "../../errors.js";
import { reasonOf } from "../../system-reason.js";

/**
 * What `load` imports.
 * @throws PacelineError `usage` where the package is not installed.
 */
export async function loadedSdk<Sdk>(
  load: () => Promise<Sdk>,
  { name, neededBy }: { readonly name: string; readonly neededBy: string },
): Promise<Sdk> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const reason = isMissing ? "is not installed" : `can't be loaded (${reasonOf(cause)})`;
    const sentence = `${neededBy} needs the package ${name}, which ${reason}`;
    throw new PacelineError("usage", `${sentence}: npm install ${name}`, { cause });
  }
}

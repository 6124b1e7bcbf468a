/**
 * What `paceline train` refuses before a process is started, and `--dry-run` as well: certificates
 * or a token that can't be read, and a slow link where there is none.
 */
import { PacelineError } from "../errors.js";
import type { ResolvedOptions } from "../options/resolved-options.js";
import { faultText, isSlowLinked, isStraggler } from "../protocol/injected-fault.js";
import { unshapedWords } from "../runtime/straggling/shaped-links.js";
import { openSecurity } from "../transport/credentials/security.js";

/**
 * Refuses a run whose members could not begin.
 * @throws PacelineError `usage` with what is wrong and the remedy.
 */
export function demandStartable(options: ResolvedOptions): void {
  for (const role of ["coordinator", "server", "worker"] as const) openSecurity(role, options);
  demandShapeable(options);
}

/** A link that is to be slow has to be a network's. */
function demandShapeable({ inject, transport }: ResolvedOptions): void {
  const straggler = inject.find((fault) => isStraggler(fault) && isSlowLinked(fault));
  if (straggler === undefined || transport !== "unix") return;
  throw new PacelineError("usage", `--inject ${faultText(straggler)}: ${unshapedWords}`);
}

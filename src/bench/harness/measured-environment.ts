/** What processes that a benchmark starts find in their environment. */
import type { Environment } from "../../options/option-row.js";
import { readEnvironment, withoutOptions } from "../../options/options.js";

/**
 * This process's environment without whatever would give an option to a command: what a benchmark
 * measures is said by its flags alone, on Paceline's side and on that of its peers.
 */
export function measuredEnvironment(): Environment {
  return withoutOptions(readEnvironment());
}

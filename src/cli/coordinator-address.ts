/** What commands that ask a coordinator something are given. */
import { PacelineError } from "../errors.js";
import type { CommandIo, ResolvedOptions } from "../options/resolved-options.js";

type Reach = Partial<Pick<ResolvedOptions, "tls" | "tokenFile">>;

/** What the command reads and writes. */
export interface AdminCall {
  readonly options: Pick<ResolvedOptions, "coordinator" | "ioTimeoutMs" | "json"> & Reach;
  readonly io: Pick<CommandIo, "stdout">;
}

/** The address given; `usage` where none is. */
export function coordinatorAddress({ coordinator }: AdminCall["options"]): string {
  if (coordinator !== null) return coordinator;
  throw new PacelineError("usage", "where does the coordinator listen? Give --coordinator");
}

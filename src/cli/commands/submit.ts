/** `paceline submit`: gives a serving coordinator a run and prints the run's name. */

import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";
import { createGrpcTransport } from "../../transport/grpc/grpc-transport.js";
import type { Transport } from "../../transport/transport.js";
import { coordinatorAddress } from "../coordinator-address.js";

/** Runs the command; resolves to the exit code. */
export async function submit(
  options: Pick<ResolvedOptions, "coordinator" | "ioTimeoutMs" | "json">,
  io: Pick<CommandIo, "stdout" | "configText">,
  transport: Transport = createGrpcTransport({ ioTimeoutMs: options.ioTimeoutMs }),
): Promise<number> {
  const address = coordinatorAddress(options);
  try {
    const run = await transport.submit(address, io.configText);
    io.stdout.write(`${options.json ? JSON.stringify({ run }) : run}\n`);
    return 0;
  } finally {
    await transport.close();
  }
}

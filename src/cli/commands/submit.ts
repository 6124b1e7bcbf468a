/** `paceline submit`: gives a serving coordinator a run and prints the run's name. */

import type { CommandIo } from "../../options/resolved-options.js";
import type { Transport } from "../../transport/transport.js";
import { adminTransport } from "../admin-transport.js";
import { type AdminCall, coordinatorAddress } from "../coordinator-address.js";

/** Runs the command; resolves to the exit code. */
export async function submit(
  options: AdminCall["options"],
  io: Pick<CommandIo, "stdout" | "configText">,
  transport: Transport = adminTransport(options),
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

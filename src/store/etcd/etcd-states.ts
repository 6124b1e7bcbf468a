/**
 * The states of runs in etcd, each under the run's name: only the coordinator that leads writes
 * them, whatever another one, which may have slept, still wants to say.
 */
import { basename } from "node:path";
import {
  type CoordinatorStates,
  coordinatorStateIn,
  coordinatorStateText,
} from "../coordinator-state.js";
import type { Leadership } from "./leadership.js";

/** The states that a leader reads and writes. */
export function etcdStates(leadership: Leadership): CoordinatorStates {
  const keyOf = (folder: string) => `runs/${basename(folder)}/coordinator.json`;
  return {
    async read(folder) {
      const content = await leadership.read(keyOf(folder));
      if (content === null) return null;
      return coordinatorStateIn(content.toString("utf8"), `${keyOf(folder)} in etcd`);
    },
    write: (folder, state) =>
      leadership.write(keyOf(folder), Buffer.from(coordinatorStateText(state))),
  };
}

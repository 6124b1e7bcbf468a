/**
 * The states of runs in etcd, each under the run's name: only the coordinator that leads writes
 * them, whatever another one, which may have slept, still wants to say.
 */
import { basename } from "node:path";
import { type CoordinatorStates, stateForm } from "../coordinator-state.js";
import { recordIn, recordText } from "../kept-record.js";
import type { Leadership } from "./leadership.js";

/** The states that a leader reads and writes. */
export function etcdStates(leadership: Leadership): CoordinatorStates {
  const keyOf = (folder: string) => `runs/${basename(folder)}/coordinator.json`;
  return {
    async read(folder) {
      const content = await leadership.read(keyOf(folder));
      if (content === null) return null;
      return recordIn(content.toString("utf8"), `${keyOf(folder)} in etcd`, stateForm);
    },
    write: (folder, state) =>
      leadership.write(keyOf(folder), Buffer.from(recordText(state, stateForm))),
    confirm: () => leadership.confirm(),
  };
}

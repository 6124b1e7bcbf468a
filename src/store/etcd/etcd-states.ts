/**
 * The states of runs in etcd, each under the run's name, and the queue of a coordinator that
 * serves: only the coordinator that leads writes
 * them, whatever another one, which may have slept, still wants to say.
 */
import { basename } from "node:path";
import { type CoordinatorStates, stateForm } from "../coordinator-state.js";
import { recordIn, recordText } from "../kept-record.js";
import { queueForm } from "../queue-state.js";
import type { ServingStore } from "../serving-store.js";
import type { Leadership } from "./leadership.js";

/** The states that a leader reads and writes. */
export function etcdStates(leadership: Leadership): CoordinatorStates {
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

const queueKey = "queue.json";

/** The queue and the states that a leader reads and writes, for messages at `where`. */
export function etcdServingStore(leadership: Leadership, where: string): ServingStore {
  return {
    states: etcdStates(leadership),
    where: `${where}/${queueKey}`,
    async readQueue() {
      const content = await leadership.read(queueKey);
      if (content === null) return null;
      return recordIn(content.toString("utf8"), `${queueKey} in etcd`, queueForm);
    },
    writeQueue: (state) => leadership.write(queueKey, Buffer.from(recordText(state, queueForm))),
    forget: (folder) => leadership.write(keyOf(folder), null),
  };
}

function keyOf(folder: string): string {
  return `runs/${basename(folder)}/coordinator.json`;
}

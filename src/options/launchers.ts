/**
 * What Slurm and torchrun say to the processes that they start. Both set variables that mean an
 * option only in some places:
 *
 * - Slurm gives a batch script, and a step of one task, the number 0 as well: there it is nobody's
 *   rank. A torchrun that srun has started gives its own processes their ranks, and Slurm's number
 *   is that of the torchrun.
 * - torchrun listens on MASTER_PORT itself where its agent has the store.
 * - A job's script runs on the first of its nodes, and so does the coordinator that it starts.
 */
import type { Environment } from "./option-row.js";

/** True in a process that srun started beside others, and that no torchrun started. */
export function isSlurmTask(environment: Environment): boolean {
  const { SLURM_STEP_NUM_TASKS: tasks, TORCHELASTIC_RUN_ID: torchrun } = environment;
  return Number(tasks) > 1 && !torchrun;
}

/** True where MASTER_PORT is a port that torchrun listens on. */
export function hasAgentStore({ TORCHELASTIC_USE_AGENT_STORE: word }: Environment): boolean {
  return word === "True";
}

/** The first host of a list as Slurm writes it, `node[03-05,9],gpu1`; null of another text. */
export function firstNode(list: string): string | null {
  const first = /^(?:[^,[\]]|\[[^\]]*\])+/.exec(list)?.[0];
  if (first === undefined || /[[\]]/.test(list.replaceAll(/\[[0-9,-]+\]/g, ""))) return null;
  const host = first.replaceAll(/\[(\d+)[^\]]*\]/g, "$1");
  return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(host) ? host : null;
}

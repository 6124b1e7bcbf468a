/** What every process of a server or a worker is started with. */
import { usableCores } from "./cores.js";

/** Names and values that a process gets. */
export type ProcessEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * Flags for Node, of a member that exchanges chunks over this transport. Buffers that chunks travel
 * in die young, but are given back only when the space for young objects is full: 16 MiB of small
 * objects unless told, by which time tens of MiB of buffers may wait. gRPC allocates several times
 * each chunk's bytes, frames next to nothing, and small messages are slower with less space.
 */
export function memberFlags(transport: string): readonly string[] {
  return [`--max-semi-space-size=${transport === "grpc" ? 1 : 4}`];
}

/**
 * The C library of Linux gives each thread that frees such buffers a heap of its own, of which
 * little is given back: a tenth more memory with gRPC, and slowly growing.
 */
const memoryVariables = { MALLOC_ARENA_MAX: "2" };

/** The environment of a member that may compute on so many threads, from that of its parent. */
export function memberEnvironment(
  environment: ProcessEnvironment,
  threads: number,
): ProcessEnvironment {
  return { ...memoryVariables, ...environment, OMP_NUM_THREADS: `${threads}` };
}

/** The threads that each of so many processes may compute on, where they share this machine. */
export function threadsOfEach(processes: number): number {
  return Math.max(1, Math.floor(usableCores() / processes));
}

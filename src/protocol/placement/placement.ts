/**
 * Which server is the primary of which chunk: the ring's answer, with bounded load (Mirrokni,
 * Thorup, Zadimoghaddam 2018). A server has room for max(ceil(factor * values / servers), largest
 * chunk) values; chunks are placed in index order, and one that finds its owner full goes on
 * along the ring to the next server with room. Without a bound the ring alone decides, and adding
 * or removing a server moves only what that server gains or loses.
 *
 * Invariant: the result depends on the set of servers, the chunks and the two numbers only. Few
 * large chunks may fit nowhere (three of 10 values on two servers with room for 19 each); such a
 * chunk goes to the least loaded server, first along the ring among equals, so that no load ever
 * exceeds max(capacity, values / servers + largest chunk).
 */
import { assert } from "../../assert.js";
import { buildRing, nodesFrom, type Ring } from "./ring.js";

/** What is to be placed, and where. */
export interface PlacementRequest {
  /** In index order. `length` is in values. */
  readonly chunks: readonly { readonly key: string; readonly length: number }[];
  /** Server indices in any order, at least one. */
  readonly servers: readonly number[];
  /** Places of each server on the ring. */
  readonly virtualNodes: number;
  /** Load factor of at least 1, or null for the plain ring. */
  readonly loadBound: number | null;
}

/** What one server holds. */
export interface ServerLoad {
  readonly values: number;
  readonly chunks: number;
}

/** The answer. */
export interface Placement {
  /** Per chunk the index of its server. */
  readonly primaries: readonly number[];
  /** Per server index, ascending; also those that own nothing. */
  readonly loads: ReadonlyMap<number, ServerLoad>;
  /** Values a server has room for; Infinity without a bound. */
  readonly capacity: number;
}

/** A chunk whose primary differs between two placements. */
export interface ChunkMove {
  readonly chunk: number;
  readonly from: number;
  readonly to: number;
}

/** The name by which the ring knows the server of this index. */
export function ringName(server: number): string {
  return `server${server}`;
}

/** Places every chunk on exactly one server. */
export function placeChunks(request: PlacementRequest): Placement {
  const { chunks, virtualNodes, loadBound } = request;
  const servers = [...request.servers].sort((left, right) => left - right);
  assert(servers.length > 0, "a placement needs a server");
  assert(loadBound === null || loadBound >= 1, "load bound is at least 1", { loadBound });
  const ring = buildRing(servers.map(ringName), virtualNodes);
  const capacity =
    loadBound === null ? Number.POSITIVE_INFINITY : roomOf(chunks, servers.length, loadBound);
  const indexOf = new Map(servers.map((server) => [ringName(server), server]));
  const loads = new Map(servers.map((server) => [server, { values: 0, chunks: 0 }]));
  const primaries = chunks.map((chunk) => {
    const server = serverFor(ring, chunk, (node) => {
      const load = loads.get(indexOf.get(node)!)!;
      return { load: load.values, fits: load.values + chunk.length <= capacity };
    });
    const index = indexOf.get(server)!;
    const load = loads.get(index)!;
    load.values += chunk.length;
    load.chunks += 1;
    return index;
  });
  return { primaries, loads, capacity };
}

/** What moves between two placements of the same chunks, in chunk order. */
export function movesBetween(before: readonly number[], after: readonly number[]): ChunkMove[] {
  assert(before.length === after.length, "placements of the same chunks", {
    before: before.length,
    after: after.length,
  });
  const moves: ChunkMove[] = [];
  before.forEach((from, chunk) => {
    const to = after[chunk]!;
    if (from !== to) moves.push({ chunk, from, to });
  });
  return moves;
}

function roomOf(chunks: readonly { length: number }[], servers: number, factor: number): number {
  let values = 0;
  let largest = 0;
  for (const chunk of chunks) {
    values += chunk.length;
    largest = Math.max(largest, chunk.length);
  }
  return Math.max(Math.ceil((factor * values) / servers), largest);
}

function serverFor(
  ring: Ring,
  chunk: { readonly key: string },
  stateOf: (node: string) => { load: number; fits: boolean },
): string {
  let lightest: { node: string; load: number } | null = null;
  for (const node of nodesFrom(ring, chunk.key)) {
    const { load, fits } = stateOf(node);
    if (fits) return node;
    if (lightest === null || load < lightest.load) lightest = { node, load };
  }
  assert(lightest !== null, "the ring has a node");
  return lightest.node;
}

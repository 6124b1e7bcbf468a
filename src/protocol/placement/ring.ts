/**
 * A consistent-hashing ring (Karger et al. 1997) with virtual nodes.
 *
 * Picture a clock face: each node stands at many places on it, and a key belongs to the first
 * node met clockwise from the key's own place. A node that leaves hands its keys to the nodes that
 * follow; nobody else's keys move. The place of a key is the SHA-256 of its name, that of a node
 * the SHA-256 of its name with the replica's index in decimal behind it.
 *
 * Invariant: positions ascend; where two nodes share one (`server1` with replica 11 and
 * `server11` with replica 1 do), the name that sorts first owns it, so the order in which nodes
 * are given never counts.
 */
import { assert } from "../../assert.js";
import { sha256Hex } from "../sha256.js";

/**
 * One place on the ring: 64 hexadecimal digits, compared as text, and the node that stands there.
 */
export interface RingPosition {
  readonly position: string;
  readonly node: string;
}

/** The ring itself: places in ascending position. */
export interface Ring {
  readonly positions: readonly RingPosition[];
  readonly nodes: readonly string[];
}

/** Builds the ring of these nodes, each at `virtualNodes` places. */
export function buildRing(nodes: readonly string[], virtualNodes: number): Ring {
  assert(new Set(nodes).size === nodes.length, "node names are unique", { nodes });
  assert(Number.isInteger(virtualNodes) && virtualNodes >= 1, "virtual nodes in range", {
    virtualNodes,
  });
  const positions: RingPosition[] = [];
  for (const node of nodes) {
    for (let replica = 0; replica < virtualNodes; replica++) {
      positions.push({ position: sha256Hex(`${node}${replica}`), node });
    }
  }
  positions.sort(
    (left, right) =>
      compareText(left.position, right.position) || compareText(left.node, right.node),
  );
  return { positions, nodes: [...nodes].sort(compareText) };
}

/** The node that owns a key. */
export function ownerOf(ring: Ring, key: string): string {
  for (const node of nodesFrom(ring, key)) return node;
  throw new Error("assertion failed: a ring without nodes owns nothing");
}

/**
 * Every node once, in the order in which the ring meets them going on from the key; the owner is
 * first.
 */
export function* nodesFrom(ring: Ring, key: string): Generator<string> {
  const { positions } = ring;
  const start = firstGreater(positions, sha256Hex(key));
  const met = new Set<string>();
  for (let step = 0; step < positions.length && met.size < ring.nodes.length; step++) {
    const { node } = positions[(start + step) % positions.length]!;
    if (met.has(node)) continue;
    met.add(node);
    yield node;
  }
}

/**
 * Index of the first position strictly greater than the key's; positions.length means wrap to 0.
 */
function firstGreater(positions: readonly RingPosition[], position: string): number {
  let low = 0;
  let high = positions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (positions[middle]!.position > position) high = middle;
    else low = middle + 1;
  }
  return low;
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

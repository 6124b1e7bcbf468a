/**
 * Which replica of each chunk gives a checkpoint its copy. A backup is taken where there is one, as
 * it has nobody to answer; of several, the one that gives least so far, so that all give alike.
 */
import type { Layout } from "../../protocol/layout.js";
import type { View } from "../../protocol/view.js";

/** By chunk the server of the in-sync replica to take. */
export function copySources({ replicas }: Pick<View, "replicas">, layout: Layout): number[] {
  const given = new Map<number, number>();
  return layout.chunks.map(({ index, length }) => {
    const [primary, ...backups] = replicas[index]!;
    const candidates = backups.length > 0 ? backups : [primary!];
    const source = candidates.reduce((least, server) => {
      return (given.get(server) ?? 0) < (given.get(least) ?? 0) ? server : least;
    });
    given.set(source, (given.get(source) ?? 0) + length);
    return source;
  });
}

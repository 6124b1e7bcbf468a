/**
 * Whom a server says that it waits for. In the modes whose workers wait for others its activity is
 * the reason why a step may not start, which names them: "waiting for worker 1, 3: ...".
 */

const sentence = /^waiting for worker (\d+(?:, \d+)*): /;

/** The ranks that a server's activity names; none where it waits for nobody. */
export function awaitedWorkers(activity: string): readonly number[] {
  const [, ranks] = sentence.exec(activity) ?? [];
  return ranks === undefined ? [] : ranks.split(", ").map(Number);
}

/** Two computers in network namespaces with a cable between them. Linux, as root, with iproute2. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { TestContext } from "node:test";

/** One of the two. */
export interface Computer {
  /** The namespace. */
  readonly space: string;
  readonly address: string;
  /** What starts a program there. */
  readonly through: readonly string[];
}

/** Runs iproute2. */
export function ip(words: string): void {
  execFileSync("ip", words.split(" "), { stdio: "pipe" });
}

/** Why there can be none here; null where there can. */
export function whyNoHosts(): string | null {
  if (process.platform !== "linux") return "network namespaces need Linux";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  return existsSync("/usr/sbin/ip") || existsSync("/sbin/ip") ? null : "iproute2 is not installed";
}

/** Makes both; they go when the test is over. @param network such as 10.77.0 */
export function connectComputers(context: TestContext, network: string): [Computer, Computer] {
  const name = network.replaceAll(".", "-");
  const computer = (letter: string, last: number): Computer => {
    const space = `paceline-${name}-${letter}-${process.pid}`;
    return { space, address: `${network}.${last}`, through: ["ip", "netns", "exec", space] };
  };
  const computers: [Computer, Computer] = [computer("a", 1), computer("b", 2)];
  context.after(() => {
    for (const { space } of computers) ip(`netns delete ${space}`);
  });
  const ends = computers.map((_, index) => `pl${process.pid % 100_000}${"ab"[index]}`);
  for (const { space } of computers) ip(`netns add ${space}`);
  ip(`link add ${ends[0]} type veth peer name ${ends[1]}`);
  for (const [index, { space, address }] of computers.entries()) {
    ip(`link set ${ends[index]} netns ${space}`);
    ip(`-n ${space} addr add ${address}/24 dev ${ends[index]}`);
    ip(`-n ${space} link set ${ends[index]} up`);
    ip(`-n ${space} link set lo up`);
  }
  return computers;
}

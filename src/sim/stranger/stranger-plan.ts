/** Strangers that knock at the processes of a run: when, at whose, and what is wrong with each. */
import type { Random } from "../../random.js";
import type { Fault, FaultScene } from "../fault-plan.js";

/** What is wrong with one that pushes, in a push that is right in all else. */
export const wrongOfPushes = ["term", "generation", "run", "life", "sender's role"] as const;
/** What may be wrong with a stranger. */
export const strangers = [
  ...(["token", "role", "protocol", "rank", "long gone"] as const),
  ...wrongOfPushes,
] as const;

/** What is wrong with one. */
export type Wrong = (typeof strangers)[number];

/** One that comes. */
export type StrangerFault = Fault & { readonly kind: "stranger" };

/** Draws some for a part of a run; none where it has no faults. */
export function drawStrangers(random: Random, scene: FaultScene, most: number): Fault[] {
  if (most === 0 || random.below(5) > 0) return [];
  return Array.from({ length: 1 + random.below(4) }, (): Fault => {
    const atMs = random.float() * scene.untilMs;
    const wrong = strangers[random.below(strangers.length)]!;
    return { kind: "stranger", atMs, wrong, server: random.below(scene.servers) };
  });
}

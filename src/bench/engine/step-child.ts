/**
 * A process that does nothing but training steps, as PyTorch's side does in bench/peers: told a
 * configuration on its first line, then how many steps to run.
 */
import { createInterface } from "node:readline";
import { bindSubject, type Subject } from "./engine-subject.js";

const answer = (words: object) => process.stdout.write(`${JSON.stringify(words)}\n`);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
if (first.done !== true) {
  const subject = bindSubject(JSON.parse(first.value) as Subject);
  answer({ reason: subject.reason });
  for (let line = await lines.next(); line.done !== true; line = await lines.next()) {
    const { steps } = JSON.parse(line.value) as { steps: number };
    answer({ seconds: subject.steps(steps) });
  }
  subject.close();
}

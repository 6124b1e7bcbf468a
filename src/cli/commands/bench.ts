/** `paceline bench`: how fast the parts of Paceline are, beside others that do the same. */

import { benches } from "../../bench/benches.js";
import { benchFlags } from "../../bench/harness/bench-option.js";
import { formatBenchmark } from "../../bench/harness/benchmark.js";
import { printable } from "../../report/progress.js";
import type { CommandPlan } from "./command-plan.js";

const names = benches.map(({ name }) => name);

/** The command with its words. */
export const benchPlan: CommandPlan = {
  name: "bench",
  sentence: "run a benchmark; --peers also measures comparable systems",
  options: "bench",
  arguments: [`<${names.join("|")}>`],
  verbs: benches.map(({ name, sentence }) => ({ name, words: "", sentence })),
  extra: benchFlags(benches),
  examples: [
    "paceline bench engine --peers",
    "paceline bench engine --model resnet18,resnet50 --stem imagenet --rows speed --peers",
    "paceline bench engine --dtype f32 --table",
    "paceline bench engine --dtype bf16 --soak 1000",
    "paceline bench engine --json",
  ],
  async run({ words, flags, options, io }) {
    const bench = benches.find(({ name }) => name === words[0])!;
    const log = (line: string) => io.stderr.write(`${printable(line)}\n`);
    const { report, appendix, holds } = await bench.measure(flags, { isJson: options.json, log });
    const text = formatBenchmark(report, options.json ? "json" : "table");
    io.stdout.write(`${text}\n`);
    if (!options.json) for (const line of appendix) io.stdout.write(`${line}\n`);
    return holds === false ? 1 : 0;
  },
};

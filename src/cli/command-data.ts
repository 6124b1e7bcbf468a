/** `paceline data`: the built-in data sets, listed, fetched and verified. */
import { PacelineError } from "../errors.js";
import { alternatives, didYouMean } from "../suggest.js";
import type { CommandPlan } from "./commands.js";

const verbs = ["ls", "fetch", "verify"] as const;

/** The command with its words. */
export const dataPlan: CommandPlan = {
  name: "data",
  sentence: "list, fetch or verify data sets",
  options: "data",
  arguments: [`<${verbs.join("|")}>`, "[names...]"],
  examples: [
    "paceline data ls",
    "paceline data fetch cifar10 fashion-mnist",
    "paceline data verify --json",
  ],
  async run({ words, options, io }) {
    const [word = "", ...names] = words;
    const verb = verbs.find((known) => known === word);
    if (verb === undefined) {
      const hint = didYouMean(word, verbs);
      throw usage(`paceline data has no part ${word}${hint}; write ${alternatives(verbs)}`);
    }
    const { fetchData, listData, verifyData } = await import("../runtime/data-command.js");
    if (verb === "fetch") return fetchData(names, options, io);
    if (verb === "verify") return verifyData(names, options, io);
    if (names.length === 0) return listData(options, io);
    throw usage(`paceline data ls takes no names; write paceline data verify ${names[0]}`);
  },
};

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}

/** `paceline data`: data sets, listed, fetched, verified and packed. */
import { PacelineError } from "../../errors.js";
import type { CommandPlan } from "./command-plan.js";

const verbs = ["ls", "fetch", "verify", "pack"] as const;
const examplesMax = 2_000_000_000;

/** The command with its words. */
export const dataPlan: CommandPlan = {
  name: "data",
  sentence: "list, fetch, verify or pack data sets",
  options: "data",
  arguments: [`<${verbs.join("|")}>`, "[names...]"],
  examples: [
    "paceline data ls",
    "paceline data fetch cifar10 fashion-mnist",
    "paceline data verify --json",
    "paceline data pack flowers --out data/flowers-packed",
  ],
  verbs: [
    { name: "ls", words: "", sentence: "list the data sets: size, classes, where the files are" },
    {
      name: "fetch",
      words: "NAME...",
      sentence: "download data sets, or copy them from --data-dir",
    },
    { name: "verify", words: "[NAME...]", sentence: "check the files of data sets by their sums" },
    {
      name: "pack",
      words: "NAME",
      sentence: "write a data set as shards, to train from a network",
    },
  ],
  extra: [
    {
      flags: "--out <folder>",
      sentence: "with pack: the folder to write",
      verbs: ["pack"],
    },
    {
      flags: "--shard-examples <count>",
      sentence: "with pack: examples in each file (default: as many as 64 MiB hold)",
      verbs: ["pack"],
    },
  ],
  async run({ words, flags, options, io }) {
    const [word, ...names] = words;
    const verb = word as (typeof verbs)[number];
    const out = flags.out as string | undefined;
    const shardExamples = shardExamplesOf(flags.shardExamples as string | undefined);
    if (verb !== "pack" && (out !== undefined || shardExamples !== null)) {
      const flag = out !== undefined ? "--out" : "--shard-examples";
      throw usage(`${flag} applies to pack only; leave it out`);
    }
    const { fetchData, listData, packData, verifyData } = await import("./data-command.js");
    if (verb === "fetch") return fetchData(names, options, io);
    if (verb === "verify") return verifyData(names, options, io);
    if (verb === "pack") {
      const [name, ...more] = names;
      if (name === undefined || more.length > 0 || out === undefined || out === "") {
        throw usage("paceline data pack takes one name and --out; write pack NAME --out FOLDER");
      }
      return packData(name, { out, shardExamples }, options, io);
    }
    if (names.length === 0) return listData(options, io);
    throw usage(`paceline data ls takes no names; write paceline data verify ${names[0]}`);
  },
};

function shardExamplesOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= examplesMax) return count;
  throw usage(`--shard-examples ${text} is out of range; write 1 to ${examplesMax}`);
}

function usage(message: string): PacelineError {
  return new PacelineError("usage", message);
}

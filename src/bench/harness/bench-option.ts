/**
 * What a benchmark is, and its own options. They are no rows of the options table: a benchmark
 * takes lists where a run takes one value, and what is set in the environment or a config file for
 * runs must not change what is measured. Their values are read and refused as the table's are.
 */
import { assert } from "../../assert.js";
import { PacelineError } from "../../errors.js";
import {
  duration,
  listOf,
  text,
  toggle,
  type ValueType,
  whole,
} from "../../options/option-values.js";
import { didYouMean } from "../../suggest.js";
import type { BenchmarkReport } from "./benchmark.js";

/** One option of a benchmark; several benchmarks may share it. */
export interface BenchOption<T> {
  /** As on the command line, without the dashes. */
  readonly name: string;
  readonly short?: string;
  readonly type: ValueType<T>;
  /** A switch is off. */
  readonly default: T;
  /** What help says of the default where the value itself says too little. */
  readonly defaultText?: string;
  readonly sentence: string;
}

/** An option for each field of a benchmark's values. */
export type BenchOptions<Values> = { readonly [Key in keyof Values]-?: BenchOption<Values[Key]> };

/** What a benchmark is given beside its values. */
export interface BenchTask {
  /** Whether the result is printed as JSON, so that only rows are seen. */
  readonly isJson: boolean;
  /** Takes a line on what is going on. */
  readonly log: (line: string) => void;
}

/** What a benchmark found. */
export interface BenchResult {
  readonly report: BenchmarkReport;
  /** Lines that follow the table of rows, for people. */
  readonly appendix: readonly string[];
  /** False where a limit was measured and exceeded: the command then fails. */
  readonly holds?: boolean;
}

/** A benchmark, as the command sees it. */
export interface Bench {
  readonly name: string;
  readonly sentence: string;
  readonly options: readonly BenchOption<unknown>[];
  /**
   * Reads the flags and measures.
   * @throws PacelineError `usage` for a flag that is wrong or that this benchmark doesn't take.
   */
  measure(flags: Readonly<Record<string, unknown>>, task: BenchTask): Promise<BenchResult>;
}

/** Makes a benchmark of its words, its options and what measures. */
export function benchOf<Values extends object>(bench: {
  readonly name: string;
  readonly sentence: string;
  readonly options: BenchOptions<Values>;
  readonly run: (values: Values, task: BenchTask) => Promise<BenchResult>;
}): Bench {
  const { name, sentence, run } = bench;
  const entries = Object.entries(bench.options) as [string, BenchOption<unknown>][];
  const options = entries.map(([, option]) => option);
  return {
    name,
    sentence,
    options,
    measure(flags, task) {
      refuseOthers(name, options, flags);
      const values = entries.map(([key, option]) => [key, readOption(option, flags)]);
      return run(Object.fromEntries(values) as Values, task);
    },
  };
}

/**
 * The flags of all benchmarks for the command's help. Options of one name are one flag, which each
 * benchmark may read in its own way.
 */
export function benchFlags(
  benches: readonly Bench[],
): readonly { readonly flags: string; readonly sentence: string }[] {
  const options = [...new Set(benches.flatMap((bench) => bench.options))];
  const names = [...new Set(options.map(({ name }) => name))];
  return names.map((name) => {
    const alike = options.filter((option) => option.name === name);
    const [flags, ...others] = new Set(
      alike.map(({ short, type }) => [short, isSwitch(type)].join()),
    );
    assert(flags !== undefined && others.length === 0, "flags of one name are alike", { name });
    const sentences = alike.map((option) => {
      const takers = benches.filter((bench) => bench.options.includes(option));
      const whose = takers.map((bench) => bench.name).join(", ");
      return `${takers.length === benches.length ? "" : `${whose}: `}${sentenceOf(option)}`;
    });
    return { flags: flagsOf(alike[0]!), sentence: sentences.join("; ") };
  });
}

/** Where Debian's Python is, which has its PyTorch; elsewhere the first of the path. */
const pythonDefault = process.platform === "linux" ? "/usr/bin/python3" : "python3";

/** Options that several benchmarks share. */
export const sharedOptions = {
  rounds: {
    name: "rounds",
    type: whole(1, 10_000, "turns"),
    default: 10,
    sentence: "measured turns per side; the median is reported",
  },
  turnMs: {
    name: "turn",
    type: duration(1, 600_000),
    default: 1000,
    sentence: "minimum duration of a turn",
  },
  peers: {
    name: "peers",
    type: toggle,
    default: false,
    sentence: "also measure comparable systems, turn by turn",
  },
  python: {
    name: "python",
    type: text("path", "the path of a Python that has PyTorch"),
    default: pythonDefault,
    sentence: "Python that runs PyTorch's side",
  },
} as const;

/** What is counted in a run, one number each; a benchmark gives the default. */
export const countOptions = {
  batch: {
    name: "batch-size",
    short: "b",
    type: whole(1, 1_000_000, "examples"),
    sentence: "examples per worker and step",
  },
  servers: { name: "servers", short: "s", type: whole(1, 64), sentence: "number of servers" },
  workers: { name: "workers", short: "w", type: whole(1, 64), sentence: "number of workers" },
} as const;

/** Of a type, or null where nothing was written and the benchmark finds a value itself. */
export function orFound<T>(type: ValueType<T>): ValueType<T | null> {
  return { ...type, print: (value) => (value === null ? "" : type.print(value)) };
}

/** At least one of one type, several with commas; a refusal names the one that is wrong. */
export function severalOf<T>(type: ValueType<T>): ValueType<readonly T[]> {
  return {
    ...listOf(type, ","),
    parse(text) {
      const values: T[] = [];
      const parts = text.split(",").map((part) => part.trim());
      for (const part of parts) {
        const parsed = part === "" ? { problem: "is empty" } : type.parse(part);
        if ("value" in parsed) values.push(parsed.value);
        else if (parts.length === 1) return parsed;
        else {
          const hint = didYouMean(part, type.choices ?? []);
          return { problem: `has "${part}", which ${parsed.problem}${hint}` };
        }
      }
      return { value: values };
    },
    ...(type.choices === undefined ? {} : { choices: type.choices }),
  };
}

function isSwitch({ placeholder }: ValueType<unknown>): boolean {
  return placeholder === "";
}

function flagsOf({ name, short, type }: BenchOption<unknown>): string {
  const dashes = short === undefined ? "" : `-${short}, `;
  const placeholder = isSwitch(type) ? "" : ` <${type.placeholder}>`;
  return `${dashes}--${name}${placeholder}`;
}

function sentenceOf({ sentence, type, default: value, defaultText }: BenchOption<unknown>): string {
  const shown = defaultText ?? (isSwitch(type) ? "" : type.print(value));
  return shown === "" ? sentence : `${sentence} (default: ${shown})`;
}

/** Under which a flag of this name is found. */
function attributeOf(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function readOption(option: BenchOption<unknown>, flags: Readonly<Record<string, unknown>>) {
  const { name, type, default: standard } = option;
  const written = flags[attributeOf(name)];
  if (written === undefined) return standard;
  if (typeof written === "boolean") return written;
  const parsed = type.parse(String(written));
  if ("value" in parsed) return parsed.value;
  const hint = didYouMean(String(written), type.choices ?? []);
  const shown = written === "" ? '""' : String(written);
  throw new PacelineError(
    "usage",
    `--${name} ${shown} ${parsed.problem}${hint}; write ${type.wanted}`,
    { details: { option: name, found: written } },
  );
}

/** Refuses what was written but means nothing to this benchmark. */
function refuseOthers(
  bench: string,
  own: readonly BenchOption<unknown>[],
  flags: Readonly<Record<string, unknown>>,
): void {
  const known = ["json", ...own.map(({ name }) => attributeOf(name))];
  const foreign = Object.keys(flags).find((attribute) => !known.includes(attribute));
  if (foreign === undefined) return;
  const flag = `--${foreign.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new PacelineError(
    "usage",
    `${flag} does not apply to paceline bench ${bench}; leave it out, or see paceline bench --help`,
  );
}

/**
 * What a command is: its words, its options, what it needs, and what it runs. The table of all
 * commands is the program's (cli/commands.ts).
 */
import type { CommandName } from "../../options/option-row.js";
import type { Resolution } from "../../options/resolve.js";
import type { CommandIo, ResolvedOptions } from "../../options/resolved-options.js";

/** What a command is called with. */
export interface Call {
  readonly words: readonly string[];
  /** Flags as commander read them, for those that are not in the options table. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly resolution: Resolution;
  readonly options: ResolvedOptions;
  readonly io: CommandIo;
  /** True where a coordinator goes on in place of one that died. */
  readonly goesOn?: boolean;
}

/** A flag that is not in the options table. */
export interface ExtraFlag {
  readonly flags: string;
  readonly sentence: string;
  /** The verbs that take it; all of them if left out. */
  readonly verbs?: readonly string[];
}

/** A part of a command that is chosen by its first word. */
export interface VerbPlan {
  readonly name: string;
  readonly sentence: string;
  /** What it takes besides, as help shows it; "" for nothing. */
  readonly words: string;
}

/** One command. */
export interface CommandPlan {
  readonly name: string;
  readonly sentence: string;
  /** Whose rows of the options table it takes. */
  readonly options: CommandName;
  /** Positional words, in commander's notation. */
  readonly arguments?: readonly string[];
  /** Its last word is a config file, and it takes --set. */
  readonly config?: boolean;
  readonly extra?: readonly ExtraFlag[];
  /** What its first word may be, where that is one of some verbs. */
  readonly verbs?: readonly VerbPlan[];
  /** Prints its resolved options once at the start. */
  readonly tellsOptions?: boolean;
  readonly examples: readonly string[];
  /** It takes what is not said anew from the run that --resume names. */
  readonly resumes?: boolean;
  /** It can do with --run-dir in a bucket. */
  readonly buckets?: boolean;
  /** What must have been said before it can start. */
  readonly needs?: "model and data" | "a coordinator";
  /** Resolves to the exit code. */
  run(call: Call): Promise<number>;
}

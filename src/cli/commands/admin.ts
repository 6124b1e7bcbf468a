/** `paceline admin`: acts on the run that a coordinator carries out. */
import { basename } from "node:path";
import type { PaceSettings } from "../../core/sync/pace.js";
import { PacelineError } from "../../errors.js";
import type { MemberPlace } from "../../protocol/identity.js";
import { alternatives } from "../../suggest.js";
import type { Transport } from "../../transport/transport.js";
import { type AdminCall, coordinatorAddress, coordinatorOfRun } from "../coordinator-address.js";
import type { CommandPlan } from "./command-plan.js";

/** What the command is given besides its words. */
export type AdminOptions = AdminCall["options"] & PaceSettings & { readonly runDir: string };

/** What an action does at a coordinator, with the words behind its name: a sentence on it. */
type Action = (
  words: readonly string[],
  transport: Transport,
  options: AdminOptions,
) => Promise<string>;

const actions: Readonly<Record<string, Action>> = { drain, switch: switchMode };

/** The command with its words. */
export const adminPlan: CommandPlan = {
  name: "admin",
  sentence: "act on a live run",
  options: "admin",
  arguments: [`<${Object.keys(actions).join("|")}>`, "[words...]"],
  verbs: [
    {
      name: "drain",
      words: "MEMBER [RUN]",
      sentence: "have a server or worker leave while the run goes on, as server-1 or worker-2",
    },
    {
      name: "switch",
      words: "MODE [RUN]",
      sentence: "have workers keep pace in another mode while the run goes on, as asp or ssp:2",
    },
  ],
  examples: [
    "paceline admin switch asp mlp-bsp-4w-001",
    "paceline admin switch ssp:2 mlp-bsp-4w-001",
    "paceline admin drain worker-2 mlp-bsp-4w-001",
    "paceline admin drain server-1 --coordinator 127.0.0.1:8000",
  ],
  run: ({ words, options, io }) => admin(words, options, io),
};

/** Runs the command; resolves to the exit code. */
export async function admin(
  [word = "", ...words]: readonly string[],
  options: AdminOptions,
  io: AdminCall["io"],
  given: Transport | null = null,
): Promise<number> {
  const transport = given ?? (await openTransport(options));
  try {
    const text = await actions[word]!(words, transport, options);
    io.stdout.write(`${options.json ? JSON.stringify({ text }) : text}\n`);
    return 0;
  } finally {
    await transport.close();
  }
}

async function openTransport(options: AdminCall["options"]): Promise<Transport> {
  return (await import("../admin-transport.js")).adminTransport(options);
}

async function drain(
  words: readonly string[],
  transport: Transport,
  options: AdminOptions,
): Promise<string> {
  const [name, run, ...others] = words;
  const example = "write paceline admin drain server-1";
  if (name === undefined) throw usage(`paceline admin drain needs a member; ${example}`);
  if (others.length > 0 || memberName.test(run ?? "")) {
    throw usage(`paceline admin drain takes one member, and got ${words.join(" ")}; ${example}`);
  }
  const member = memberNamed(name);
  const { runDir } = options;
  const address =
    run === undefined
      ? await placeOf(run, transport, options)
      : await coordinatorOfRun(run, runDir);
  return transport.drain(address, member);
}

/** The run keeps its own parameters of the mode, where it names that. */
async function switchMode(
  given: readonly string[],
  transport: Transport,
  options: AdminOptions,
): Promise<string> {
  const { modeNamed, modes, protocolOf } = await import("../../core/sync/modes.js");
  const { modeInWord } = await import("../../options/mode-words.js");
  // What a word says of its mode, as quorum:3, is stronger than options of their own.
  const settings = { ...options };
  const words = given.map((word) => {
    const found = modeInWord(word);
    Object.assign(settings, found?.values);
    return found?.mode ?? word;
  });
  const mode = words.map(modeNamed).find((found) => found !== null);
  const known = alternatives(modes().map(({ name }) => name));
  if (mode === undefined || mode === null) {
    const got = words.length === 0 ? "" : `, and got ${words.join(" ")}`;
    throw usage(`paceline admin switch needs a mode, ${known}${got}`);
  }
  const [run, ...others] = words.filter((word) => modeNamed(word) !== mode);
  if (others.length > 0) {
    throw usage(`paceline admin switch takes a mode and a run, and got ${given.join(" ")}`);
  }
  const address = await placeOf(run, transport, options);
  const request = {
    protocol: protocolOf(mode, settings),
    run: run === undefined ? "" : basename(run),
  };
  return transport.switchTo(address, request);
}

/** Where the run is led, as its folder or --coordinator says. */
async function placeOf(
  run: string | undefined,
  transport: Transport,
  options: AdminOptions,
): Promise<string> {
  if (options.coordinator !== null) return coordinatorAddress(options, transport);
  if (run !== undefined) return coordinatorOfRun(run, options.runDir);
  throw usage("where does the coordinator listen? Give the name of its run, or --coordinator");
}

const memberName = /^(server|worker)-(\d{1,4})$/;

function memberNamed(name: string): MemberPlace {
  const [, role, rank] = memberName.exec(name) ?? [];
  if (role === undefined) {
    const wanted = "write server-1 or worker-2, as paceline status shows them";
    throw usage(`${name} is not the name of a member; ${wanted}`);
  }
  return { role: role as MemberPlace["role"], rank: Number(rank) };
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

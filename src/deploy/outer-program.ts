/**
 * Runs the programs aws and terraform, and the scripts of terraform/. They are called as programs
 * and not through an SDK: a deployment needs them anyway, and they know every way in which
 * credentials come (profiles, single sign-on, the session of a lab). What they complain of becomes
 * a PacelineError here.
 */
import { spawn } from "node:child_process";
import { PacelineError } from "../errors.js";
import { reasonOf } from "../system-reason.js";

/** Where programs run. */
export interface ProgramPlace {
  /** What the program's process inherits. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly folder?: string;
}

/** Where what a program says goes as it comes. */
export interface ProgramOutput {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const remedies: readonly (readonly [RegExp, string])[] = [
  [
    /TargetNotConnected/,
    "the coordinator's task takes no sessions: paceline aws up lets it, and its role must too",
  ],
  [
    /ExpiredToken|InvalidClientToken|No ?(valid )?credential|Unable to locate cred|token.*expired/i,
    "AWS knows no credentials, or they have expired: run aws configure or aws sso login",
  ],
  [
    /AccessDenied|UnauthorizedOperation|not authorized to perform/i,
    "the account may not do this: with -var existing_role_name=LabRole no role is made",
  ],
  [
    /LimitExceeded|quota|VcpuLimit/i,
    "a limit of the account is reached: take fewer or smaller tasks, or ask for more",
  ],
  [/ClusterNotFound|ResourceNotFound/i, "it is not there any more: see paceline aws up"],
  [/state lock/i, "another terraform runs in the folder: wait for it, or terraform force-unlock"],
  [/Could not connect|no such host|timed? ?out/i, "AWS can't be reached: look at the network"],
];

/**
 * What a program printed.
 * @throws PacelineError `usage` where it is not installed, `refused` where it fails.
 */
export async function outputOf(
  program: string,
  words: readonly string[],
  place: ProgramPlace,
): Promise<string> {
  const told = { out: "", err: "" };
  const exitCode = await runProgramHere(program, words, place, {
    out: (text) => (told.out += text),
    err: (text) => (told.err += text),
  });
  if (exitCode === 0) return told.out;
  throw failureOf(program, words, told.err || told.out, exitCode);
}

/** The same of a program that prints JSON; null where it prints nothing. */
export async function jsonOf(
  program: string,
  words: readonly string[],
  place: ProgramPlace,
): Promise<unknown> {
  const text = await outputOf(program, words, place);
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const call = [program, ...words.slice(0, 2)].join(" ");
    const sentence = `${call} printed what is not JSON: ${text.trim().slice(0, 80)}`;
    throw new PacelineError("protocol", `${sentence}; is it the program of that name?`, { cause });
  }
}

const held: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];

/** Runs a program; what it says is passed on as it comes. Resolves to the exit code. */
export function runProgramHere(
  program: string,
  words: readonly string[],
  { environment, folder }: ProgramPlace,
  output: ProgramOutput,
): Promise<number> {
  const env = readable(environment);
  return new Promise((resolve, reject) => {
    const stdio: ("inherit" | "pipe")[] = ["inherit", "pipe", "pipe"];
    const child = spawn(program, words, { cwd: folder, env, stdio });
    // Ctrl-C reaches the program too, which ends in order while somebody takes what it says.
    const hold = () => {};
    for (const signal of held) process.on(signal, hold);
    child.once("close", () => {
      for (const signal of held) process.off(signal, hold);
    });
    child.stdout?.setEncoding("utf8").on("data", output.out);
    child.stderr?.setEncoding("utf8").on("data", output.err);
    child.on("error", (cause: NodeJS.ErrnoException) => {
      const isMissing = cause.code === "ENOENT";
      const why = isMissing ? "is not installed" : `can't be started (${reasonOf(cause)})`;
      const remedy = "see DEPLOYMENT.md for what a deployment needs";
      reject(new PacelineError("usage", `${program} ${why}; ${remedy}`, { cause }));
    });
    child.on("close", (exitCode) => resolve(exitCode ?? 1));
  });
}

/** The variables that have a value. */
export function readable(environment: ProgramPlace["environment"]): Record<string, string> {
  const set = Object.entries(environment).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as Record<string, string>;
}

/** A program's failure, with what it said and what that means. */
export function failureOf(
  program: string,
  words: readonly string[],
  err: string,
  exitCode: number,
): PacelineError {
  const call = [program, ...words.slice(0, 2)].join(" ");
  const lines = err.split("\n").map((line) => line.replace(/^[│╷╵\s]+/, "").trim());
  const said = lines.find((line) => /error/i.test(line)) ?? lines.find((line) => line !== "");
  const remedy = remedies.find(([pattern]) => pattern.test(err))?.[1];
  const sentence = `${call} failed: ${said ?? `exit code ${exitCode}`}`;
  return new PacelineError("refused", remedy === undefined ? sentence : `${sentence}; ${remedy}`);
}

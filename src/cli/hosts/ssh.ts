/** ssh as this needs it: without questions, with a lost connection noticed; and why it failed. */
import { type ChildProcess, spawn } from "node:child_process";
import { PacelineError } from "../../errors.js";
import type { Host } from "./hosts-file.js";

/** Another exit code is that of the command on the host. */
export const sshFailed = 255;

/** How ssh is called. */
export interface Ssh {
  /** The program and its first arguments. */
  readonly words: readonly string[];
  readonly connectSeconds: number;
}

/**
 * Starts a command on a host. It stands in a process group of its own, so that Ctrl-C of a terminal
 * does not end it: what it carries has work to save.
 */
export function startSsh(
  { words, connectSeconds }: Ssh,
  host: Host,
  command: string,
): ChildProcess {
  const [program = "ssh", ...first] = words;
  const port = host.sshPort === null ? [] : ["-p", String(host.sshPort)];
  const settings = [
    "BatchMode=yes",
    `ConnectTimeout=${connectSeconds}`,
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    // One that is shared would end all that it carries.
    "ControlMaster=no",
    "ControlPath=none",
  ];
  const options = settings.flatMap((setting) => ["-o", setting]);
  const given = [...first, "-T", ...options, ...port, "--", host.destination, command];
  return spawn(program, given, { stdio: ["pipe", "pipe", "pipe"], detached: true });
}

const changedKey = /REMOTE HOST IDENTIFICATION HAS CHANGED|Offending .* key in/;
const unknownKey = /Host key verification failed|No \S+ host key is known/;

/** Why ssh itself failed, from what it said. */
export function sshError(host: Host, told: string): PacelineError {
  const { destination, sshPort, where } = host;
  const port = sshPort === null ? "" : ` -p ${sshPort}`;
  const login = `ssh${port} ${destination}`;
  const lines = told.trim().split(/\r?\n/);
  const last = lines.at(-1) || "ssh ended without a word";
  const error = (code: "refused" | "unavailable" | "usage", sentence: string, remedy: string) =>
    new PacelineError(code, `${where}: ${destination}: ${sentence}; ${remedy}`);
  if (changedKey.test(told)) {
    const name = sshPort === null ? destination : `[${destination}]:${sshPort}`;
    const bare = name.replace(/[^@[]*@/, "");
    return error(
      "refused",
      "its host key is not the one that is known, so it may be another computer",
      `compare the fingerprints, and if it is the right one, ssh-keygen -R '${bare}' and ${login}`,
    );
  }
  if (unknownKey.test(told)) {
    const remedy = `log in once and compare the fingerprint: ${login}`;
    return error("refused", "its host key is not known here", remedy);
  }
  if (/Permission denied|Too many authentication failures/.test(told)) {
    const copy = `ssh-copy-id${port} ${destination}`;
    const remedy = `give it your key, as no password can be asked for: ${copy}`;
    return error("refused", `it does not let you in (${last})`, remedy);
  }
  if (/Could not resolve hostname/.test(told)) {
    return error(
      "usage",
      "no computer of that name is known",
      "check the name, or write its address",
    );
  }
  if (/Connection refused/.test(told)) {
    const remedy = `is sshd running there, on that port? Try ${login}`;
    return error("unavailable", "nobody listens for ssh", remedy);
  }
  if (/timed out|No route to host|Network is unreachable/.test(told)) {
    const remedy = `is it up, and does the firewall let ssh through? Try ${login}`;
    return error("unavailable", `it can't be reached (${last})`, remedy);
  }
  return error("unavailable", `ssh failed (${last})`, `try ${login}`);
}

/** Where the program ssh could not be started. */
export function sshMissing({ words }: Ssh, cause: unknown): PacelineError {
  const sentence = `the program ${words[0]} can't be started (${(cause as Error).message})`;
  const remedy = "install OpenSSH's client, or write --ssh";
  return new PacelineError("usage", `${sentence}; ${remedy}`, { cause });
}

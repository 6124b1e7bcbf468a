/** Looks at every host before anything is started: can it be reached, and is Paceline there? */
import { PacelineError } from "../../errors.js";
import type { Host } from "./hosts-file.js";
import { checkCommand, scriptCodes } from "./remote-script.js";
import { type Ssh, sshError, sshFailed, sshMissing, startSsh } from "./ssh.js";

/**
 * Asks all of them at a time.
 * @param tell hears of each host that is not ready, and what to do, where there are several.
 * @throws PacelineError where one is not ready.
 */
export async function checkHosts(
  ssh: Ssh,
  hosts: readonly Host[],
  version: string,
  tell: (line: string) => void,
): Promise<void> {
  const found = await Promise.all(hosts.map((host) => problemOf(ssh, host, version)));
  const problems = found.filter((problem) => problem !== null);
  const [first] = problems;
  if (first === undefined) return;
  if (problems.length === 1) throw first;
  for (const { message } of problems) tell(message);
  const count = `${problems.length} of ${hosts.length} hosts are not ready`;
  throw new PacelineError(first.code, `${count}; nothing was started`);
}

async function problemOf(ssh: Ssh, host: Host, version: string): Promise<PacelineError | null> {
  const { exitCode, out, err } = await answerOf(ssh, host);
  if (exitCode === sshFailed) return sshError(host, err);
  const { where, destination, program, dir } = host;
  const start = `${where}: ${destination}`;
  const usage = (sentence: string) => new PacelineError("usage", `${start}: ${sentence}`);
  if (exitCode === scriptCodes.missing) {
    const missing = err.trim().split("\n").at(-1) ?? "";
    const isNode = /(^|\/)node$/.test(missing);
    const what = isNode ? "there is no Node.js" : "there is no Paceline";
    const remedy = isNode
      ? "install Node.js 20 or later, or write node=/path/to/node"
      : "npm install -g paceline there, or write program=/path/to/paceline, or to its main.js";
    return usage(`${what} (${missing} is not found by a shell that nobody logs in to); ${remedy}`);
  }
  if (exitCode !== 0) {
    const told = err.trim().split("\n").at(-1) || `exit code ${exitCode}`;
    const isNode = /env:.*node/.test(told);
    const remedy = isNode
      ? "install Node.js 20 or later there, or write node=/path/to/node program=/path/to/main.js"
      : `try it there: cd ${dir}; ${program.join(" ")} --version`;
    return usage(`${program.join(" ")} --version failed (${told}); ${remedy}`);
  }
  const theirs = out.trim().split("\n").at(-1) ?? "";
  if (theirs === version) return null;
  const sentence = `it has Paceline ${theirs}, this computer ${version}`;
  return usage(`${sentence}; install the same version on both`);
}

async function answerOf(ssh: Ssh, host: Host) {
  const child = startSsh(ssh, host, checkCommand(host.dir, host.program));
  const answer = { exitCode: 0, out: "", err: "" };
  child.stdin?.on("error", () => {}).end();
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (answer.out += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (answer.err += text));
  return new Promise<typeof answer>((resolve, reject) => {
    child.on("error", (cause) => reject(sshMissing(ssh, cause)));
    child.on("close", (code) => resolve({ ...answer, exitCode: code ?? sshFailed }));
  });
}

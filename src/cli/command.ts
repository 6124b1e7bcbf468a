/** The `paceline` command. What it needs is loaded when there is room for it. */
import { openFilesBase, openFilesLimit, openFilesProblem } from "./open-files.js";
import { guardProcessOutput } from "./output.js";
import { ignoreHangUp } from "./signals.js";

/** Commands of which what they print is in a run's folder or a log as well. */
const keepingResults = ["train", "resume", "baseline", "coordinator", "server", "worker"].concat(
  "experiments",
);

/** How long what a command has left open may take to close. */
const lingerMs = 500;

/**
 * Ends this process though something is left open: a connection that is being tried keeps it for
 * two minutes where the other side drops what is sent. A process with nothing left ends at once.
 */
function endSoon(): void {
  const look = () => {
    const { stdout, stderr } = process;
    if (stdout.writableLength + stderr.writableLength === 0) process.exit();
    endSoon();
  };
  setTimeout(look, lingerMs).unref();
}

async function carryOut(): Promise<void> {
  const problem = openFilesProblem(openFilesBase, openFilesLimit());
  if (problem !== null) {
    process.stderr.write(`paceline: ${problem}\n`);
    process.exitCode = 1;
    return;
  }
  const { readEnvironment } = await import("../options/options.js");
  const { reportUncaught, runProgram } = await import("./program.js");
  process.once("uncaughtException", (thrown) => process.exit(reportUncaught(thrown, process)));
  process.exitCode = await runProgram(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    environment: readEnvironment(),
    isTerminal: process.stderr.isTTY === true,
  });
  endSoon();
}

guardProcessOutput(() => keepingResults.includes(process.argv[2] ?? ""));
ignoreHangUp();
void carryOut();

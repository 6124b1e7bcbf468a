#!/usr/bin/env node
/** The entry of the `paceline` command. What it needs is loaded when there is room for it. */
import { openFilesBase, openFilesLimit, openFilesProblem } from "./open-files.js";
import { guardProcessOutput } from "./output.js";

guardProcessOutput();

const problem = openFilesProblem(openFilesBase, openFilesLimit());
if (problem === null) {
  const { readEnvironment } = await import("../options/options.js");
  const { reportUncaught, runProgram } = await import("./program.js");
  process.once("uncaughtException", (thrown) => process.exit(reportUncaught(thrown, process)));
  process.exitCode = await runProgram(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    environment: readEnvironment(),
    isTerminal: process.stderr.isTTY === true,
  });
} else {
  process.stderr.write(`paceline: ${problem}\n`);
  process.exitCode = 1;
}

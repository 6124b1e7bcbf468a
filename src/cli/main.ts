#!/usr/bin/env node
/** The entry of the `paceline` command. */
import { readEnvironment } from "../options/options.js";
import { runProgram } from "./program.js";

// A reader that has seen enough (head, less) closes the pipe; that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

process.exitCode = await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: readEnvironment(),
  isTerminal: process.stderr.isTTY === true,
});

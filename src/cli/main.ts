#!/usr/bin/env node
/** The entry of the `paceline` command. */
import { readEnvironment } from "../options/options.js";
import { guardProcessOutput } from "./output.js";
import { runProgram } from "./program.js";

guardProcessOutput();

process.exitCode = await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: readEnvironment(),
  isTerminal: process.stderr.isTTY === true,
});

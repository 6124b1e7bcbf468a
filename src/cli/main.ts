#!/usr/bin/env node
/** Where the `paceline` command begins: command.ts has what it does. */
import { runPart } from "../runtime/process/bundle.js";

await runPart("command", () => import("./command.js"));

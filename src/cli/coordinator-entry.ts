/** Where the coordinator's process of `train` begins: coordinator-process.ts has what it does. */
import { runPart } from "../runtime/process/bundle.js";

await runPart("coordinator", () => import("./coordinator-process.js"));

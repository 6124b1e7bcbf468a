/** Where a compute thread begins: compute-service.ts has what it does. */
import { runPart } from "../process/bundle.js";

await runPart("compute", () => import("./compute-service.js"));

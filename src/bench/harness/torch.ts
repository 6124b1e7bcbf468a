/** Whether PyTorch is here to be measured beside Paceline. */
import { spawnSync } from "node:child_process";
import { sentenceOf } from "../../system-reason.js";
import { measuredEnvironment } from "./measured-environment.js";

/** PyTorch's version, or why there is none to measure. */
export type FoundTorch = { readonly version: string } | { readonly problem: string };

/** Asks a Python for its PyTorch. */
export function findTorch(python: string): FoundTorch {
  const { error, status, stdout, stderr } = spawnSync(
    python,
    ["-c", "import torch; print(torch.__version__)"],
    { encoding: "utf8", timeout: 60_000, env: measuredEnvironment() },
  );
  if (status === 0) return { version: stdout.trim() };
  const why = error ? sentenceOf(error) : (stderr.trim().split("\n").at(-1) ?? "");
  const remedy = "install Debian's python3-torch, or name a Python that has it with --python";
  return { problem: `there is no PyTorch with ${python} (${why}): ${remedy}` };
}

/** As findTorch, with a line on what was found. */
export function tellTorch(python: string, log: (line: string) => void): boolean {
  const torch = findTorch(python);
  if ("problem" in torch) log(`rows without peers: ${torch.problem}`);
  else log(`peer pytorch: PyTorch ${torch.version} of ${python}`);
  return "version" in torch;
}

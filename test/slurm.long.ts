/**
 * The batch script of docs/operating/hosts.md, run by a stand-in of srun that starts its tasks here
 * with the variables of Slurm. POSIX; `make test-long` runs it.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { mainPath, makePlace } from "./run-paceline.js";

const page = await readFile(new URL("../docs/operating/hosts.md", import.meta.url), "utf8");
const script = /```sh\n(#!\/bin\/bash.*?)```/s.exec(page)![1]!;

const srun = `#!/bin/bash
[ "$1" = --overlap ] && shift
for rank in 0 1; do
  SLURM_PROCID=$rank SLURM_STEP_NUM_TASKS=2 "$@" &
done
wait
`;

test("a job of two tasks trains to its end", async (context) => {
  const place = await makePlace(context);
  await mkdir(place.path("bin"));
  const programs = {
    srun,
    paceline: `#!/bin/sh\nexec ${process.execPath} ${mainPath} "$@"\n`,
    job: script.replace("-w 4 -s 4 --threads 7", "-w 2 -s 2 --threads 1"),
  };
  for (const [name, text] of Object.entries(programs)) {
    await writeFile(place.path("bin", name), text);
    await chmod(place.path("bin", name), 0o755);
  }
  await writeFile(
    place.path("run.yaml"),
    "model: mlp\ndata: mnist\nbatch-size: 16\nepochs: 2\nname: job\n",
  );
  const env = {
    ...{ PATH: `${place.path("bin")}:${process.env.PATH}`, HOME: place.folder },
    ...{ PACELINE_DATA_DIR: place.path("data"), PACELINE_ENGINE: "reference" },
    // As in a batch script: one number for all that is not a step's task.
    ...{ SLURM_PROCID: "0", SLURM_JOB_NODELIST: "localhost" },
    SLURMD_NODENAME: "localhost",
  };
  const job = spawn("bash", [place.path("bin", "job")], { cwd: place.folder, env });
  let said = "";
  for (const stream of [job.stdout, job.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  }
  const code = await new Promise((resolve) => job.on("close", resolve));
  assert.equal(code, 0, said);
  assert.match(said, /coordinator=localhost:8000 \(SLURM_JOB_NODELIST\), rank=1 \(SLURM_PROCID\)/);
  const { raw_worker_metrics: workers } = await place.result("job");
  assert.deepEqual(
    workers.map(({ worker_id: id }) => id),
    [0, 1],
  );
});

/**
 * A run of one role a process, whose logs are all that is left of it: what collectors make of them,
 * with a worker that was killed and started again, gives the run's own result.json.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { freePort, mainPath, makePlace, type Place, type RunningCommand } from "./run-paceline.js";

const work = ["--model", "mlp", "--data", "mnist", "--batch-size", "16"];
const time = (index: number) => `2026-03-01T10:00:${String(index % 60).padStart(2, "0")}`;

/** What each container said, standard error before standard output. */
type Said = Readonly<Record<string, readonly string[]>>;

const linesOf = ({ err, out }: RunningCommand) => `${err}${out}`.trimEnd().split("\n");

/** A coordinator, a server and two workers, of which one is killed and comes again. */
async function trainInContainers(place: Place, name: string): Promise<Said> {
  const port = await freePort();
  const at = ["--coordinator", `127.0.0.1:${port}`];
  const words = [...work, "-w", "2", "-s", "1", "--epochs", "4", "--name", name];
  const coordinator = place.start(["coordinator", "--port", `${port}`, ...words]);
  const server = place.start(["server", ...at]);
  const first = place.start(["worker", ...at, "--rank", "0"]);
  const killed = place.start(["worker", ...at, "--rank", "1"]);
  await place.step(name, 10);
  killed.kill("SIGKILL");
  await killed.ended;
  const again = place.start(["worker", ...at, "--rank", "1"]);
  const all = { coordinator, server, "worker-0": first, "worker-1": again };
  for (const command of Object.values(all)) {
    assert.equal((await command.end()).exitCode, 0, command.told());
  }
  const said = Object.entries(all).map(([container, command]) => [container, linesOf(command)]);
  return { ...Object.fromEntries(said), "worker-1-killed": linesOf(killed) };
}

/** All lines in one, each behind its container's name; a worker's metrics come twice, once cut. */
function composed(said: Said): string {
  const lines = Object.entries(said).flatMap(([container, own]) =>
    own.flatMap((line) => {
      const prefix = `\u001b[36m${container.padEnd(16)} | \u001b[0m`;
      const isMetrics = /^(METRICS|RESULT)_JSON/.test(line);
      const cut = isMetrics ? [`${prefix}${line.slice(0, 90)}`, `${prefix}${line}`] : [];
      return [...cut, `${prefix}${line}`];
    }),
  );
  return `${lines.join("\n")}\n`;
}

/** Every line in pieces of 700 bytes, as a runtime of Kubernetes cuts at 16 KiB. */
function criFile(lines: readonly string[]): string {
  return lines
    .flatMap((line, index) => {
      const pieces = line.match(/.{1,700}/gs) ?? [""];
      return pieces.map((piece, at) => {
        const mark = at === pieces.length - 1 ? "F" : "P";
        return `${time(index)}.123456789Z stdout ${mark} ${piece}\n`;
      });
    })
    .join("");
}

function jsonFile(lines: readonly string[]): string {
  return lines
    .map((line, index) => {
      const pieces = `${line}\n`.match(/[\s\S]{1,900}/g)!;
      const told = pieces.map((log) => ({ log, stream: "stdout", time: `${time(index)}.5Z` }));
      return told.map((one) => `${JSON.stringify(one)}\n`).join("");
    })
    .join("");
}

/** Every line of metrics is written into the midst of another's. */
function interleaved(said: Said): string {
  const isMetrics = (line: string) => /^(METRICS|RESULT)_JSON/.test(line);
  const metrics = Object.values(said).flat().filter(isMetrics);
  const pairs = metrics.map((line, index) => [line, metrics[(index + 1) % metrics.length]!]);
  return pairs
    .map(([outer, inner]) => `${outer!.slice(0, 60)}${inner}\n${outer!.slice(60)}\n`)
    .join("");
}

async function put(place: Place, path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(place.path(path)), { recursive: true });
  await writeFile(place.path(path), content);
}

test("logs give the run's own result.json, whatever collected them", async (context) => {
  const place = await makePlace(context);
  const said = await trainInContainers(place, "logged");
  const result = await readFile(place.path("runs", "logged", "result.json"), "utf8");
  await put(place, "compose.log", composed(said));
  await put(place, "wide.log", Buffer.from(`\uFEFF${composed(said)}`, "utf16le"));
  await put(place, "mixed.log", interleaved(said));
  for (const [name, lines] of Object.entries(said)) {
    await put(place, `pods/ns_${name}_1/main/0.log`, criFile(lines));
    await put(place, `containers/${name}/${name}-json.log`, jsonFile(lines));
    const tail = lines.map((line, at) => `${time(at)}+00:00 ecs/${name}/0a1b ${line}\n`).join("");
    await put(place, `tail/${name}.log.gz`, gzipSync(tail));
    const prefixed = lines.map((line) => `[pod/${name}/main] ${line}\n`).join("");
    await put(place, `kubectl/${name}.log`, prefixed);
    const events = lines.map((message, at) => ({ timestamp: at, message, eventId: `${at}` }));
    await put(place, `events/${name}.txt`, JSON.stringify({ events }, null, 2));
  }
  const forms = ["compose.log", "wide.log", "mixed.log", "pods", "containers", "tail", "kubectl"];
  for (const form of [...forms, "events", "runs/logged/logs"]) {
    const { exitCode, out, err } = await place.call(["parse-logs", form]);
    assert.equal(exitCode, 0, `${form}: ${err}`);
    assert.equal(out, result, form);
  }
  const kept = await place.call(["parse-logs", "pods", "-o", "results/logged.json"]);
  assert.match(kept.err, /result in results\/logged.json/);
  assert.equal(await readFile(place.path("results", "logged.json"), "utf8"), result);
  const again = await place.call(["parse-logs", "tail", "-o", "results/logged.json"]);
  assert.match(again.err, /results\/logged.json is the same already/);

  // Without the coordinator's lines of the whole result, workers' own lines tell what they know.
  const bare = composed(said).replaceAll(/.*RESULT_JSON.*\n/g, "");
  const words = [mainPath, "parse-logs", "-", "--experiment-name", "renamed", "--json"];
  const { stdout, status, stderr } = spawnSync(process.execPath, words, { input: bare });
  assert.equal(status, 0, stderr.toString());
  const { experiment, gaps } = JSON.parse(stdout.toString());
  const own = await place.result("logged");
  assert.deepEqual(gaps, []);
  assert.equal(experiment.experiment_name, "renamed");
  assert.deepEqual(experiment.server_metrics, own.server_metrics);
  const steps = (file: typeof own) => file.raw_worker_metrics.map((one) => one.total_workers);
  assert.deepEqual(steps(experiment), steps(own));

  // The killed worker's log alone: what is missing is told, and what is there is kept.
  await put(place, "few/a.log", (said["worker-1-killed"] ?? []).join("\n"));
  await put(place, "few/b.log", `${(said["worker-0"] ?? []).join("\n")}\n`);
  const few = await place.call(["parse-logs", "few", "-o", "results/logged.json"]);
  assert.equal(few.exitCode, 2);
  assert.match(few.err, /worker 1 of 2 is missing: it ended before it printed them/);
  assert.match(few.err, /holds more than these logs give \(2 workers' metrics, these logs 1\)/);
  const forced = await place.call(["parse-logs", "few", "-o", "results/logged.json", "--force"]);
  assert.equal(forced.exitCode, 7);
  assert.match(forced.err, /the servers' metrics are missing: the coordinator's log is not among/);

  await rm(place.path("few"), { recursive: true });
  assert.ok((await readdir(place.path("results"))).length === 1, "nothing is left aside");
});

const outputs = {
  aws_region: { value: "us-west-2" },
  parameter_server_log_group: { value: "/ecs/demo-dev-parameter-server" },
  worker_log_group: { value: "/ecs/demo-dev-worker" },
  public_subnet_ids: { value: ["subnet-1"] },
};
const metricsWorker = (id: number) =>
  'METRICS_JSON: {"type":"WORKER_FINAL_METRICS","total_workers":2,"local_steps_completed":3,' +
  '"total_training_time_seconds":9,"batch_size":128,"learning_rate":0.1,"num_epochs":3,' +
  `"worker_id":${id}}`;

test("log groups that terraform tells are read; what a window lacks is said", async (context) => {
  const place = await makePlace(context);
  const asked: string[] = [];
  const service = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (more: string) => (text += more));
    request.on("end", () => {
      const { logGroupName, nextToken } = JSON.parse(text);
      asked.push(logGroupName);
      const line = logGroupName.endsWith("worker")
        ? metricsWorker(nextToken === "two" ? 1 : 0)
        : "";
      const events = [{ logStreamName: "a/b/c", timestamp: 1_772_359_200_000, message: line }];
      const more = nextToken === undefined ? { nextToken: "two" } : {};
      response.end(JSON.stringify({ events: line === "" ? [] : events, ...more }));
    });
  });
  context.after(() => service.close());
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  await put(place, "bin/terraform", `#!/bin/sh\necho '${JSON.stringify(outputs)}'\n`);
  await chmod(place.path("bin", "terraform"), 0o755);
  await mkdir(place.path("infra"));
  const environment = {
    ...{ PATH: `${place.path("bin")}:${process.env.PATH}`, AWS_SECRET_ACCESS_KEY: "secret" },
    AWS_ENDPOINT_URL: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
    ...{ AWS_ACCESS_KEY_ID: "key", AWS_EC2_METADATA_DISABLED: "true" },
  };
  const words = ["--experiment-name", "sync_2workers", "--hours-ago", "2", "-o", "out.json"];
  const folder = ["--use-terraform", "--terraform-dir", "infra"];
  const { exitCode, err } = await place.run(["parse-logs", ...folder, ...words], environment);
  assert.equal(exitCode, 7, err);
  assert.match(err, /the servers' metrics are missing: .*; where the run is older, write --hours-/);
  assert.deepEqual(
    [...new Set(asked)],
    Object.values(outputs)
      .slice(1, 3)
      .map((one) => one.value),
  );
  const file = JSON.parse(await readFile(place.path("out.json"), "utf8"));
  assert.equal(file.raw_worker_metrics.length, 2);
  assert.equal(file.timestamp, "2026-03-01T10:00:00.000Z");

  const refused = async (more: readonly string[], expected: RegExp) => {
    const { exitCode: code, err: told } = await place.call(["parse-logs", ...more]);
    assert.equal(code, 2, told);
    assert.match(told, expected);
  };
  await refused(["--use-terraform"], /there is no folder terraform; write --terraform-dir/);
  await refused(["a", "--hours-ago", "2"], /--hours-ago means something with --server-log-group/);
  await refused(["--server-log-group", "a b"], /--server-log-group a b is no log group/);
  await refused(["no-such.log"], /there is no file or folder no-such.log; give log files/);
  await refused(["data", "--run", ""], /--run is empty; write a value or leave it out/);
});

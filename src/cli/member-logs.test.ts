/** Logs of members whose run is in a bucket, here one of this process. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { SampleBucket } from "../store/testing/sample-bucket.js";
import { MemberLogs } from "./member-logs.js";

const kept = { ...process.env };
let bucket: SampleBucket;

before(async () => {
  for (const name of Object.keys(process.env)) if (/^AWS_/.test(name)) delete process.env[name];
  bucket = await SampleBucket.start();
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: bucket.url,
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_CONFIG_FILE: join(tmpdir(), "paceline-no-such-file"),
    AWS_SHARED_CREDENTIALS_FILE: join(tmpdir(), "paceline-no-such-file"),
    AWS_ACCESS_KEY_ID: "id",
    AWS_SECRET_ACCESS_KEY: "secret",
  });
});
after(async () => {
  process.env = kept;
  await bucket.close();
});

test("logs that could not be brought to the bucket stay, and it is said where", async (context) => {
  const logs = new MemberLogs("s3://place/runs/one");
  const [worker, server] = [logs.pathOf("worker", 0), logs.pathOf("server", 0)];
  const folder = dirname(dirname(worker));
  context.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(worker, "what the worker said\n");
  await writeFile(server, "what the server said\n");
  bucket.interfere = ({ method, name }) =>
    method === "PUT" && name.endsWith("worker-0.log") ? { status: 403, body: "" } : null;
  const told: string[] = [];
  await logs.keep((text) => told.push(text));
  assert.equal(bucket.text("place/runs/one/logs/server-0.log"), "what the server said\n");
  assert.equal(existsSync(server), false);
  assert.equal(told.length, 1);
  assert.match(told[0]!, /^can't write s3:.*worker-0\.log: access denied .*; the log is in \//);
  assert.ok(told[0]!.endsWith(worker));
  assert.equal(await readFile(worker, "utf8"), "what the worker said\n");

  bucket.interfere = () => null;
  await logs.keep((text) => told.push(text));
  assert.equal(told.length, 1);
  assert.equal(bucket.text("place/runs/one/logs/worker-0.log"), "what the worker said\n");
  assert.equal(existsSync(folder), false);
});

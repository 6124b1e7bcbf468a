/** Runs whose folder is in a bucket of S3, here one of this process. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { SampleBucket } from "../dist/store/testing/sample-bucket.js";
import { endProcess, makePlace, until } from "./run-paceline.js";

const run = "place/runs/one";
const mlp = ["--model", "mlp", "--data", "mnist", "--batch-size", "16", "-w", "2", "-s", "1"];

test("a run in a bucket outlives its coordinator, to a folder's bits", async (context) => {
  const bucket = await SampleBucket.start();
  context.after(() => bucket.close());
  const place = await makePlace(context);
  const environment = {
    AWS_ENDPOINT_URL: bucket.url,
    AWS_ACCESS_KEY_ID: "id",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
  };
  const words = ["train", ...mlp, "--name", "one", "--checkpoint-every", "50it"];
  const there = ["--run-dir", "s3://place/runs"];
  const long = place.start([...words, ...there, "--epochs", "10"], environment);
  await until("a checkpoint", () => bucket.objects.has(`${run}/checkpoints/step-50/manifest.json`));
  const pid = coordinatorIn(bucket);
  assert.notEqual(pid, null);
  endProcess(pid!);
  const { exitCode, err } = await long.end();
  assert.equal(exitCode, 0, err);
  assert.match(err, /^the coordinator \(pid \d+\) ended with SIGKILL: it is started again in/m);
  assert.notEqual(coordinatorIn(bucket), pid);

  const local = await place.run([...words, "--epochs", "10"]);
  assert.equal(local.exitCode, 0, local.err);
  const [last] = (await place.checkpoints("one")).slice(-1);
  const weights = bucket.objects.get(`${run}/checkpoints/${last}/model.safetensors`);
  assert.ok(weights !== undefined, [...bucket.objects.keys()].join("\n"));
  assert.equal(createHash("sha256").update(weights).digest("hex"), await place.weights("one"));

  const resumed = ["train", "--resume", "one", ...there, "--epochs", "11"];
  const further = await place.run(resumed, environment);
  assert.equal(further.exitCode, 0, further.err);
  assert.match(further.err, /result in s3:\/\/place\/runs\/one\/result\.json/);
  assert.match(bucket.text(`${run}/logs/worker-1.log`) ?? "", /Worker 1 completed training/);
});

test("what needs a folder says so of a bucket", async (context) => {
  const place = await makePlace(context);
  const refused = await place.call(["runs", "ls", "--run-dir", "s3://place/runs"]);
  assert.equal(refused.exitCode, 2);
  assert.match(refused.err, /^paceline runs needs a folder of this machine, --run-dir is s3:/);
});

function coordinatorIn(bucket: SampleBucket): number | null {
  const { members } = JSON.parse(bucket.text(`${run}/cluster.json`) ?? '{"members":[]}') as {
    readonly members: readonly { readonly role: string; readonly pid: number }[];
  };
  return members.find(({ role }) => role === "coordinator")?.pid ?? null;
}

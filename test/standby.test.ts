/** Coordinators that stand by over an etcd: one leads, and where it ends another goes on. */
import assert from "node:assert/strict";
import { testWithEtcd } from "../dist/store/testing/real-etcd.js";
import { SampleBucket } from "../dist/store/testing/sample-bucket.js";
import { freePort, makePlace, until } from "./run-paceline.js";

const rule = [
  ...["--model", "mlp", "--data", "mnist", "--batch-size", "8"],
  ...["--optimizer", "adam", "--lr", "0.002", "--epochs", "5"],
];
const work = [...rule, "-w", "2", "-s", "1", "--name", "led"];

testWithEtcd(
  "a leader frozen, the next killed, the third sent away: the fourth ends the run",
  async (context, etcd) => {
    const place = await makePlace(context, { train: 960 });
    const ports = [await freePort(), await freePort(), await freePort(), await freePort()];
    const store = ["--store", `etcd://${etcd.endpoint}/test`, "--hand-over"];
    const stand = (index: number) =>
      place.start(["coordinator", ...work, ...store, "--port", String(ports[index])]);
    const first = stand(0);
    await first.waitFor(/^leads run led$/m);
    const standbys = [stand(1), stand(2), stand(3)];
    for (const one of standbys)
      await one.waitFor(/stands by: the coordinator at \S+ \(pid \d+\) leads/);

    const places = ports.map((port) => `127.0.0.1:${port}`);
    const found = ["--coordinator", places.join(",")];
    const members = [["server"], ["worker"], ["worker"]].map((role) =>
      place.start([...role, ...found, "--start-timeout", "60s"]),
    );
    const reach = async (port: number, step: number) => {
      await until(`step ${step}`, async () => {
        const picture = await place.snapshotAt(`127.0.0.1:${port}`).catch(() => null);
        return (picture?.globalSteps ?? 0) >= step;
      });
    };
    await reach(ports[0]!, 40);
    first.kill("SIGSTOP");
    context.after(() => first.kill("SIGKILL"));
    const gone = new Set<(typeof standbys)[number]>();
    const leading = () =>
      standbys.find((one) => !gone.has(one) && /^leads run led$/m.test(one.err)) ?? null;
    /** The next leader, once the run has come to a step under it. */
    const next = async (step: number) => {
      const leader = await until("another leader", leading);
      gone.add(leader);
      await reach(ports[1 + standbys.indexOf(leader)]!, step);
      return leader;
    };
    (await next(100)).kill("SIGKILL");
    const sent = await next(180);
    sent.kill("SIGTERM");
    const left = await sent.end();
    assert.equal(left.exitCode, 0, left.err);
    assert.match(left.err, /^leaves the lead to another coordinator$/m);
    const last = await until("another leader", leading);
    const end = await last.end();
    assert.equal(end.exitCode, 0, end.err);
    for (const member of members) {
      const { exitCode, err, out } = await member.end();
      assert.equal(exitCode, 0, out + err);
    }
    // The one that slept finds that it is no longer the leader, and touches nothing.
    first.kill("SIGCONT");
    const woken = await first.end();
    assert.equal(woken.exitCode, 1, woken.err);
    assert.match(woken.err, /paceline: leads no longer: .*; start it again to stand by\n$/);

    const late = await stand(0).end();
    assert.equal(late.exitCode, 0, late.err);
    assert.match(late.err, /^run led is over; see its result\.json$/m);
    const alone = ["baseline", ...rule, "--as-workers", "2", "--name", "alone"];
    const whole = await place.run(alone);
    assert.equal(whole.exitCode, 0, whole.err);
    assert.equal(await place.weights("led"), await place.weights("alone"));
  },
);

testWithEtcd(
  "a leader that is sent away leaves no line of a bucket behind",
  async (context, etcd) => {
    const bucket = await SampleBucket.start();
    context.after(() => bucket.close());
    const place = await makePlace(context, { train: 240 });
    const environment = {
      AWS_ENDPOINT_URL: bucket.url,
      AWS_ACCESS_KEY_ID: "id",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_REGION: "us-east-1",
      AWS_EC2_METADATA_DISABLED: "true",
    };
    const port = String(await freePort());
    const store = ["--store", `etcd://${etcd.endpoint}/test`, "--hand-over", "--port", port];
    const there = ["--run-dir", "s3://place/runs"];
    const leader = place.start(["coordinator", ...work, ...store, ...there], environment);
    await leader.waitFor(/^coordinator listens on /m);
    place.start(["server", "--coordinator", `127.0.0.1:${port}`, "--start-timeout", "60s"]);
    const [told] = await leader.waitFor(/^.*Server 0 registered .*$/m);
    const lines = () => bucket.text("place/runs/led/events.jsonl") ?? "";
    // What is not asked for is sent a second later.
    leader.kill("SIGTERM");
    const left = await leader.end();
    assert.equal(left.exitCode, 0, left.err);
    assert.match(lines(), /Server 0 registered/, told);
  },
);

/** Coordinators that serve and stand by over an etcd: the next one has the queue and the runs. */
import assert from "node:assert/strict";
import { EtcdClient } from "../dist/store/etcd/etcd-client.js";
import { testWithEtcd } from "../dist/store/testing/real-etcd.js";
import { freePort, makePlace, until } from "./run-paceline.js";
import { work } from "./serving-cluster.js";

testWithEtcd("a leader that serves is killed: the next ends both jobs", async (context, etcd) => {
  const place = await makePlace(context, { train: 480 });
  const ports = [await freePort(), await freePort()];
  const store = `etcd://${etcd.endpoint}/test`;
  const stand = (index: number) =>
    place.start(["coordinator", "--serve", "--store", store, "--port", `${ports[index]}`]);
  const first = stand(0);
  await first.waitFor(/^leads the cluster's jobs$/m);
  await first.waitFor(/^coordinator listens on/m);
  const second = stand(1);
  await second.waitFor(/stands by: the coordinator at \S+ \(pid \d+\) leads/);

  const reach = ["--coordinator", ports.map((port) => `127.0.0.1:${port}`).join(",")];
  const members = ["server", "worker"].map((role) => place.start([role, ...reach]));
  const job = (name: string, epochs: number) => [
    ...["submit", ...reach, ...work, "--name", name, "--wait"],
    ...["-w", "2", "-s", "1", "--epochs", `${epochs}`],
  ];
  const jobs = [place.start(job("one", 10))];
  await jobs[0]!.waitFor(/^one$/m);
  jobs.push(place.start(job("two", 2)));
  await jobs[1]!.waitFor(/^two$/m);
  // It comes last, so that the first job can't be over before the second is in the queue.
  members.push(place.start(["worker", ...reach]));
  await until("step 60", async () => {
    const picture = await place.snapshotAt(`127.0.0.1:${ports[0]}`).catch(() => null);
    return (picture?.globalSteps ?? 0) >= 60;
  });
  first.kill("SIGKILL");
  await second.waitFor(/goes on with one, two, of etcd:\/\/\S+\/test\/queue\.json/);
  await second.waitFor(/under term \d+: the run goes on in place, with 3 members/);
  for (const one of jobs) {
    const { exitCode } = await one.end();
    assert.equal(exitCode, 0, one.told() + second.told());
  }
  const { paceline } = await place.result("one");
  for (const { examples, skipped } of paceline.epochs) {
    assert.deepEqual([examples, skipped], [480, 0]);
  }
  assert.equal((await place.result("two")).paceline.outcome, "done");
  const alone = ["baseline", ...work, "--as-workers", "2", "--epochs", "10", "--name", "alone"];
  assert.equal((await place.run(alone)).exitCode, 0);
  assert.equal(await place.weights("one"), await place.weights("alone"));

  // Of jobs that have ended nothing is left for a next coordinator but their lines in the queue.
  const client = new EtcdClient([etcd.endpoint], 1000);
  context.after(() => client.close());
  const isKept = async (key: string) => (await client.read(`test/.serving/${key}`)) !== null;
  assert.equal(await isKept("queue.json"), true);
  for (const name of ["one", "two"]) {
    await until(
      `no state of ${name}`,
      async () => !(await isKept(`runs/${name}/coordinator.json`)),
    );
  }
  second.kill("SIGTERM");
  assert.equal((await second.end()).exitCode, 143, second.told());
  for (const member of members) await member.end();
  assert.deepEqual(await place.leftovers(), []);
});

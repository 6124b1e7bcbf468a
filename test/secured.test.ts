/** Whole clusters with certificates and a token: the same bits, and nobody else gets in. */
import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { longTest, makePlace, type Place, type RunningCommand, until } from "./run-paceline.js";

const token = "0123456789abcdef0123456789abcdef";
const work = [
  ...["--model", "logistic", "--data", "mnist-parity", "--batch-size", "8"],
  ...["--eval-every", "none"],
];

/** A place with the certificates of a cluster, and a token. */
async function securedPlace(context: TestContext): Promise<Place> {
  const place = await makePlace(context);
  const made = await place.call(["certs", "init", "--out", place.path("certs")]);
  assert.equal(made.exitCode, 0, made.err);
  await writeFile(place.path("token"), `${token}\n`, { mode: 0o600 });
  return place;
}

/** Every file of a run, and the words that its processes were started with, hold no secret. */
async function assertNoSecret(place: Place, run: string, commands: readonly RunningCommand[]) {
  const folder = place.path("runs", run);
  const texts = commands.flatMap(({ out, err }) => [out, err]);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    texts.push(await readFile(join(entry.parentPath, entry.name), "latin1"));
  }
  assert.ok(texts.length > 5);
  for (const text of texts) assert.doesNotMatch(text, new RegExp(`${token}|PRIVATE KEY`));
}

test("a run with certificates and a token ends in the bits of one without", async (context) => {
  const place = await securedPlace(context);
  const base = ["train", ...work, "-w", "2", "-s", "2", "--replicas", "2", "--epochs", "1"];
  const alone = ["baseline", ...work, "--as-workers", "2", "--epochs", "1", "--name", "plain"];
  const plain = await place.run(alone);
  assert.equal(plain.exitCode, 0, plain.err);
  const bits = await place.weights("plain");
  for (const transport of ["tcp", "grpc"]) {
    const words = [...base, "--transport", transport, "--name", transport];
    const secured = ["--tls", "certs", "--token-file", "token"];
    const command = place.start([...words, ...secured]);
    const worker = await place.member(transport, "worker", 0);
    const words0 = await readFile(`/proc/${worker.pid}/cmdline`, "utf8").catch(() => "");
    assert.doesNotMatch(words0, new RegExp(token));
    assert.equal((await command.end()).exitCode, 0, command.told());
    assert.equal(await place.weights(transport), bits, transport);
    await assertNoSecret(place, transport, [command]);
  }
});

longTest(
  "a coordinator that dies goes on with its certificates, to the same bits",
  async (context) => {
    const place = await securedPlace(context);
    const base = ["train", ...work, "-w", "2", "-s", "1", "--transport", "tcp", "--epochs", "2"];
    assert.equal((await place.run([...base, "--name", "plain"])).exitCode, 0);
    const fault = [
      "--inject",
      "kill:coordinator=0,at=20",
      "--tls",
      "certs",
      "--token-file",
      "token",
    ];
    const ended = await place.run([...base, ...fault, "--name", "killed"]);
    assert.equal(ended.exitCode, 0, ended.err);
    assert.match(ended.err, /coordinator \(pid \d+\) ended with SIGKILL: it is started again/);
    assert.equal(await place.weights("killed"), await place.weights("plain"));
  },
);

test("options and the environment name the token's file, never the token", async (context) => {
  const place = await securedPlace(context);
  const environment = { PACELINE_TOKEN_FILE: "token", PACELINE_TLS: "certs" };
  const printed = await place.call(["config", "print", "--json"], environment);
  assert.equal(printed.exitCode, 0, printed.err);
  assert.match(printed.out, /certs/);
  assert.doesNotMatch(printed.out + printed.err, new RegExp(token));
});

test("a coordinator that listens beyond loopback asks for certificates", async (context) => {
  const place = await securedPlace(context);
  const open = ["coordinator", "--serve", "--host", "0.0.0.0", "--port", "0"];
  const refused = await place.call(open);
  assert.equal(refused.exitCode, 2);
  assert.match(refused.err, /0\.0\.0\.0.*--tls DIR.*paceline certs init.*--insecure/);
  const command = place.start([...open, "--tls", "certs"]);
  const [, port] = await command.waitFor(/coordinator listens on 0\.0\.0\.0:(\d+)/);
  const address = ["--coordinator", `127.0.0.1:${port}`];
  const told = await place.call(["status", ...address, "--tls", "certs"]);
  assert.match(told.out, /run +none/, told.err);
  const plain = await place.call(["status", ...address]);
  assert.equal(plain.exitCode, 1);
  assert.match(plain.err, /called without: give --tls DIR/);
  command.kill("SIGTERM");
  await command.end();
});

/** Processes of one cluster, each with a folder of its own as on a computer of its own. */
async function startCluster(place: Place, words: readonly string[]) {
  for (const role of ["coordinator", "server", "worker"]) {
    const add = ["certs", "add", role, "--out", place.path("certs"), "--name", `one-${role}`];
    assert.equal((await place.call(add)).exitCode, 0);
  }
  const own = (role: string) => ["--tls", `certs/one-${role}`, "--token-file", "token"];
  const base = ["coordinator", "--port", "0", ...work, ...words, "--name", "run"];
  const coordinator = place.start([...base, ...own("coordinator")]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const reach = ["--coordinator", address!];
  const start = (role: string, ...more: string[]) =>
    place.start([role, ...reach, "--transport", "tcp", ...more, ...own(role)]);
  return { coordinator, reach, own, start };
}

test("members with certificates of their own train, strangers hear why not", async (context) => {
  const place = await securedPlace(context);
  await place.call(["certs", "init", "--out", place.path("others")]);
  await mkdir(place.path("stolen"));
  const copies = [
    ["ca.pem", "ca.pem"],
    ["worker.pem", "server.pem"],
    ["worker-key.pem", "server-key.pem"],
  ];
  for (const [from, to] of copies) {
    await copyFile(place.path("certs", from!), place.path("stolen", to!));
  }
  await writeFile(place.path("wrong"), "another-0123456789abcdef\n", { mode: 0o600 });
  const { coordinator, reach, start } = await startCluster(place, [
    "-w",
    "2",
    "-s",
    "1",
    "--epochs",
    "1",
  ]);
  const shown = await place.call(["certs", "show", "--out", place.path("certs"), "--json"]);
  const { certificates } = JSON.parse(shown.out) as {
    certificates: { file: string; serial: string }[];
  };
  const { serial } = certificates.find(({ file }) => file === "worker.pem")!;
  await writeFile(place.path("certs", "one-coordinator", "revoked.txt"), `${serial}\n`);
  const asked = ["--token-file", "token"];
  const strangers: [string[], RegExp][] = [
    [["worker", ...asked], /called without: give --tls DIR/],
    [
      ["worker", ...asked, "--tls", "others"],
      /certificate of \S+ is not of this cluster's authority/,
    ],
    [["worker", ...asked, "--tls", "certs"], /\(serial [0-9A-F]+\) is revoked/],
    [
      ["server", ...asked, "--tls", "stolen"],
      /server\.pem is no server's certificate, but a worker's/,
    ],
    [
      ["worker", "--tls", "certs/one-worker"],
      /asks for a token: give the cluster's with --token-file/,
    ],
    [
      ["worker", "--token-file", "wrong", "--tls", "certs/one-worker"],
      /token is not this cluster's/,
    ],
    [
      ["status", ...asked, "--tls", "certs/one-worker"],
      /no admin\.pem; make it with: paceline certs add/,
    ],
  ];
  for (const [words, told] of strangers) {
    const { exitCode, err } = await place.run([words[0]!, ...reach, ...words.slice(1)]);
    assert.match(err, told, words.join(" "));
    assert.ok(exitCode === 1 || exitCode === 2, `${words.join(" ")} ends with ${exitCode}`);
  }
  const members = [start("server"), start("worker"), start("worker")];
  for (const command of [coordinator, ...members]) {
    assert.equal((await command.end()).exitCode, 0, command.told());
  }
  await assertNoSecret(place, "run", [coordinator, ...members]);
  assert.match(coordinator.err, /is refused: .*is revoked/);
});

test("certificates are changed while a run trains", async (context) => {
  const place = await securedPlace(context);
  const words = ["-w", "1:2", "-s", "1", "--mode", "asp", "--epochs", "1000"];
  const { coordinator, reach, start } = await startCluster(place, words);
  const server = start("server");
  const first = start("worker");
  await first.waitFor(/registered with ID/);
  for (const role of ["coordinator", "server", "worker"]) {
    const add = ["certs", "add", role, "--out", place.path("certs"), "--name", `one-${role}`];
    assert.equal((await place.call(add)).exitCode, 0);
  }
  const second = start("worker");
  await second.waitFor(/registered with ID/);
  const steps = () =>
    place.call(["status", ...reach, "--tls", "certs", "--token-file", "token", "--json"]);
  const bothStep = async () => {
    const { out } = await steps();
    const { members } = JSON.parse(out) as { members: { worker: { clock: number } | null }[] };
    return members.filter(({ worker }) => (worker?.clock ?? 0) > 3).length === 2;
  };
  await until("steps of the second worker", bothStep, 60_000, 200);
  coordinator.kill("SIGTERM");
  assert.equal((await coordinator.end()).exitCode, 143, coordinator.told());
  for (const command of [server, first, second]) await command.end();
  assert.deepEqual(await place.leftovers(), []);
});

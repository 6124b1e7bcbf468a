/**
 * `paceline up --hosts` against the sshd of two computers in network namespaces. Linux, as root,
 * with iproute2 and OpenSSH's server; `make test-long` runs it.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { mainPath, makePlace, type Place, until } from "./run-paceline.js";
import { type Computer, connectComputers, whyNoHosts } from "./two-hosts.js";

const sshdPath = "/usr/sbin/sshd";
const missing = whyNoHosts() ?? (existsSync(sshdPath) ? null : "openssh-server is not installed");
if (missing !== null) throw new Error(`${missing}: this test needs it`);

const work = ["--model", "mlp", "--data", "mnist", "--batch-size", "16", "--insecure"];
const engine = ["--engine", "reference"];

/** Two computers with an sshd, and what a third party needs to log in to them. */
interface Hosts {
  readonly place: Place;
  readonly computers: readonly [Computer, Computer];
  readonly sshds: readonly ChildProcess[];
  /** Starts `paceline up` on the first one. */
  up(hosts: string, ...words: string[]): ReturnType<Place["start"]>;
  /** Lines of a hosts file by what runs on each. */
  lines(first: string, second: string): string;
}

function keyPair(path: string): void {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
}

async function makeHosts(context: TestContext, network: string): Promise<Hosts> {
  const place = await makePlace(context);
  const computers = connectComputers(context, network);
  for (const name of ["host-key", "user-key", "other-key"]) keyPair(place.path(name));
  await mkdir("/run/sshd", { recursive: true });
  const hostKey = (await readFile(place.path("host-key.pub"), "utf8")).trim();
  const known = computers.map(({ address }) => `${address} ${hostKey}\n`).join("");
  await writeFile(place.path("known"), known);
  const client = [
    ...[`IdentityFile ${place.path("user-key")}`, "IdentitiesOnly yes", "User root"],
    ...[`UserKnownHostsFile ${place.path("known")}`, "GlobalKnownHostsFile /dev/null"],
  ];
  await writeFile(place.path("ssh-config"), `${client.join("\n")}\n`);
  const sshds = await Promise.all(computers.map((computer) => startSshd(context, place, computer)));
  const lines = (first: string, second: string) =>
    [first, second]
      .map((roles, index) => {
        const settings = [`dir=${place.path(`home-${index}`)}`, `program=${mainPath}`];
        const data = `node=${process.execPath} data-dir=${place.path("data")}`;
        return `${computers[index]!.address} ${roles} ${settings.join(" ")} ${data}\n`;
      })
      .join("");
  let files = 0;
  const up = (hosts: string, ...words: string[]) => {
    files += 1;
    const path = place.path(`hosts-${files}`);
    execFileSync("tee", [path], { input: hosts, stdio: ["pipe", "ignore", "inherit"] });
    const ssh = ["--ssh", `ssh -F ${place.path("ssh-config")}`];
    const all = ["up", "--hosts", path, ...ssh, ...work, ...engine, ...words];
    return place.start(all, {}, computers[0].through);
  };
  return { place, computers, sshds, up, lines };
}

async function startSshd(context: TestContext, place: Place, computer: Computer) {
  const config = [
    ...[`HostKey ${place.path("host-key")}`, `ListenAddress ${computer.address}`, "Port 22"],
    ...[`AuthorizedKeysFile ${place.path("user-key.pub")}`, "StrictModes no", "UsePAM no"],
    ...["PermitRootLogin prohibit-password", "PasswordAuthentication yes", "PidFile none"],
  ];
  const path = place.path(`sshd-${computer.address}`);
  await writeFile(path, `${config.join("\n")}\n`);
  const words = [...computer.through, sshdPath, "-D", "-e", "-f", path];
  const child = spawn(words[0]!, words.slice(1), { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  context.after(() => child.kill("SIGTERM"));
  await until(`sshd of ${computer.address} listens`, () => said.includes("Server listening"));
  return child;
}

/** Pids of processes, with the folder they run in. */
async function processes(): Promise<{ pid: number; folder: string; parent: number }[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const folder = await readlink(`/proc/${pid}/cwd`).catch(() => "");
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      return { pid, folder, parent: Number(/\) \S (\d+)/.exec(stat)?.[1] ?? 0) };
    }),
  );
  return found;
}

async function assertNothingLeft({ place }: Hosts): Promise<void> {
  const homes = ["home-0", "home-1"].map((name) => place.path(name));
  await until("no process is left on the hosts", async () => {
    return (await processes()).every(({ folder }) => !homes.includes(folder));
  });
  const kept = async () => (await readdir("/tmp")).filter((name) => /^paceline-up-/.test(name));
  await until("no keeper has left anything", async () => (await kept()).length === 0);
}

const runFolder = ["home-0", "runs", "on-hosts"] as const;

test("a run on two hosts outlives its ssh connections and leaves nothing", async (context) => {
  const hosts = await makeHosts(context, "10.78.0");
  const { place, sshds } = hosts;
  const file = hosts.lines("coordinator server worker", "server worker=2");
  const up = hosts.up(file, "--epochs", "16", "--name", "on-hosts");
  await up.waitFor(/Epoch 2\/16 completed/);
  const [, second] = sshds;
  const sessions = (await processes()).filter(({ parent }) => parent === second!.pid);
  assert.equal(sessions.length, 3, "a server and two workers");
  for (const { pid } of sessions) process.kill(pid, "SIGKILL");
  await up.waitFor(/worker-2@10\.78\.0\.2: the ssh connection is lost; it runs on/);
  await up.waitFor(/worker-2@10\.78\.0\.2: connected again/);
  const { exitCode, out } = await up.end();
  assert.equal(exitCode, 0, up.told());
  for (const name of ["coordinator-0@10.78.0.1", "server-1@10.78.0.2", "worker-2@10.78.0.2"]) {
    assert.match(out, new RegExp(`^${name.replaceAll(".", "\\.")} +\\| `, "m"));
  }
  const words = out.match(/^worker-[12].*Worker \d completed training!$/gm) ?? [];
  assert.equal(words.length, 2, "nothing is lost or said twice where the connection broke");
  const result = await readFile(place.path(...runFolder, "result.json"), "utf8");
  await writeFile(place.path("up.log"), out);
  const parsed = await place.call(["parse-logs", "up.log"]);
  assert.equal(parsed.out, result, parsed.err);
  assert.equal(JSON.parse(result).raw_worker_metrics.length, 3);
  await assertNothingLeft(hosts);
});

test("Ctrl-C saves and ends a run, and so do hosts that are left alone", async (context) => {
  const hosts = await makeHosts(context, "10.79.0");
  const file = hosts.lines("coordinator server worker", "worker");
  const first = hosts.up(file, "--epochs", "1000", "--name", "on-hosts");
  await first.waitFor(/Epoch 2\/1000 completed/);
  first.kill("SIGINT");
  const { exitCode } = await first.end();
  assert.equal(exitCode, 130, first.told());
  assert.match(first.out, /checkpoint of step \d+ written/);
  await assertNothingLeft(hosts);

  const second = hosts.up(file, "--epochs", "1000", "--name", "again", "--keep-for", "3");
  await second.waitFor(/Epoch 2\/1000 completed/);
  second.kill("SIGKILL");
  await second.ended;
  await assertNothingLeft(hosts);
  const checkpoints = await readdir(hosts.place.path("home-0", "runs", "again", "checkpoints"));
  assert.ok(checkpoints.length > 0);
});

test("hosts that are not ready are told before anything starts", async (context) => {
  const hosts = await makeHosts(context, "10.80.0");
  const { place } = hosts;
  const good = hosts.lines("coordinator server worker", "worker");
  const refused = async (
    file: string,
    exitCode: number,
    expected: RegExp,
    words: string[] = [],
  ) => {
    const up = hosts.up(file, ...words);
    const end = await up.end();
    assert.match(end.err, expected);
    assert.equal(end.exitCode, exitCode, up.told());
  };
  const changed = (from: RegExp | string, to: string) => good.replace(from, to);
  await refused(changed("10.80.0.2", "10.80.0.9"), 1, /10\.80\.0\.9: it can't be reached/);
  await refused(
    changed("10.80.0.2", "10.80.0.2:23"),
    1,
    /:2: 10\.80\.0\.2: nobody listens for ssh/,
  );
  await refused(changed("10.80.0.2", "nobody@10.80.0.2"), 1, /does not let you in.*ssh-copy-id/);
  await refused(changed("10.80.0.2", "no-such-host.invalid"), 2, /no computer of that name/);
  await refused(changed(/program=\S+/, "program=/no/paceline.js"), 2, /there is no Paceline/);
  await refused(changed(/node=\S+/, "node=/no/node"), 2, /there is no Node.js \(\/no\/node/);
  const two = good.replaceAll(/program=\S+/g, "program=/no/paceline.js");
  await refused(
    two,
    2,
    /1: 10\.80\.0\.1: there is.*\n.*:2: 10\.80\.0\.2: .*\n.*2 of 2 hosts are not ready/,
  );

  const other = (await readFile(place.path("other-key.pub"), "utf8")).trim();
  const known = await readFile(place.path("known"), "utf8");
  await writeFile(place.path("known"), `10.80.0.2 ${other}\n`);
  await refused(good, 1, /:1: 10\.80\.0\.1: its host key is not known here/);
  await refused(good, 1, /:2: 10\.80\.0\.2: its host key is not the one that is known/);
  await writeFile(place.path("known"), known);

  const ready = hosts.up(good, "--check");
  assert.equal((await ready.end()).exitCode, 0, ready.told());
  assert.match(ready.err, /2 hosts are ready for 4 processes/);

  const without = changed(/(10\.80\.0\.2.*)data-dir=\S+/, "$1data-dir=/no/data");
  await refused(without, 2, /worker-1@10\.80\.0\.2: ended with exit code 2\nthe run is given up/);

  const listener = ["-e", 'require("node:net").createServer().listen(8000, "10.80.0.1")'];
  const [through, ...rest] = [...hosts.computers[0].through, process.execPath, ...listener];
  const squatter = spawn(through!, rest, { stdio: "ignore" });
  context.after(() => squatter.kill("SIGKILL"));
  const inUse = hosts.up(good);
  const { exitCode, out } = await inUse.end();
  assert.notEqual(exitCode, 0);
  assert.match(out, /coordinator-0@10\.80\.0\.1 \| .*(8000|EADDRINUSE|in use)/);
  assert.doesNotMatch(out, /worker-0@/, "members are not started");
  await assertNothingLeft(hosts);
});

/**
 * What goes wrong with containers, told in a sentence: files that are missing or that others may
 * read, a root that can't be written to, users that nobody knows, little memory, few cores, and an
 * image for another processor. `make test-containers` runs it.
 */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { writeSampleMnist } from "../../dist/data/testing/sample-files.js";
import { initFolder } from "../../dist/transport/credentials/certificate-folder.js";
import { readCompose } from "./compose-file.js";
import { asSecretVolume } from "./kube-pods.js";
import { podman, runOnce } from "./podman.js";

const { services } = readCompose();
const [server, worker] = [services["server-0"]!.image, services.worker!.image];
const folder = mkdtempSync(join(tmpdir(), "paceline-bad-containers-"));
const certs = join(folder, "certs");
const user = 10001;

before(async () => {
  // The folder above is its maker's alone.
  chmodSync(folder, 0o755);
  await initFolder(certs, [], 30);
  writeFileSync(join(certs, "token"), "0123456789abcdef0123456789abcdef\n", { mode: 0o600 });
  await writeSampleMnist(join(folder, "data"), { train: 512, test: 64, seed: 1 });
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A copy of the certificates whose files have an owner, a group and a mode. */
function copyOfCerts(name: string, owner: number, group: number, mode: number): string {
  const to = join(folder, name);
  cpSync(certs, to, { recursive: true });
  for (const file of readdirSync(to)) {
    chownSync(join(to, file), owner, group);
    chmodSync(join(to, file), mode);
  }
  chmodSync(to, 0o755);
  return to;
}

/** A worker with a folder of certificates, whose coordinator is nowhere. */
function startWith(flat: string, ...options: string[]) {
  const secrets = ["--tls", "/certs/worker", "--token-file", "/certs/worker/token"];
  const where = ["--coordinator", "127.0.0.1:1", "--start-timeout", "1s"];
  const mounted = ["--volume", `${flat}:/certs/worker:ro`, "--network", "none"];
  return runOnce([...mounted, ...options], worker, "worker", ...where, ...secrets);
}

/** It has read its files, and found nobody to talk to. */
const hasRead = /127\.0\.0\.1:1 can't be reached/;

test("without certificates a process ends with what to do", async () => {
  const { exitCode, err } = await startWith(join(folder, "data"));
  assert.equal(exitCode, 2, err);
  assert.match(err, /--tls \/certs\/worker: there is no worker\.pem; make it with/);
  const open = ["coordinator", "--serve", "--host", "0.0.0.0"];
  const told = await runOnce(["--network", "none"], server, ...open);
  assert.equal(told.exitCode, 2, told.err);
  assert.match(told.err, /--host 0\.0\.0\.0 is not a loopback.*--tls DIR/);
});

test("secrets that others may read are refused, with the mode", async () => {
  const { exitCode, err } = await startWith(copyOfCerts("open", 0, 0, 0o444));
  assert.equal(exitCode, 2, err);
  assert.match(err, /other users may read .*worker-key\.pem \(mode 0444\)/);
});

test("secrets as Kubernetes mounts them are read, also by a user that nobody knows", async () => {
  const flat = asSecretVolume(copyOfCerts("mounted", 0, user, 0o440));
  const known = await startWith(flat);
  assert.match(known.err, hasRead);
  const unknown = await startWith(flat, "--user", "123456:654321", "--group-add", String(user));
  assert.match(unknown.err, hasRead);
  const stranger = await startWith(flat, "--user", "123456:654321");
  assert.equal(stranger.exitCode, 2);
  assert.match(stranger.err, /can't read .*worker-key\.pem .*EACCES|permission/);
});

test("secrets of the user's own are read", async () => {
  assert.match((await startWith(copyOfCerts("own", user, user, 0o400))).err, hasRead);
});

test("a root that is read-only needs a folder for the socket, and says so", async () => {
  const fixed = ["--read-only", "--read-only-tmpfs=false", "--network", "none"];
  const where = ["--coordinator", "127.0.0.1:1", "--start-timeout", "1s"];
  const { exitCode, err } = await runOnce(fixed, server, "server", ...where);
  assert.equal(exitCode, 2, err);
  assert.match(err, /--health-socket: can't listen on .*\/tmp\/paceline-health.*or leave it out/);
  const given = await runOnce([...fixed, "--tmpfs", "/tmp:mode=1777"], server, "server", ...where);
  assert.match(given.err, hasRead);
});

test("offline, as any user, with little /dev/shm and all memory limited it trains", async () => {
  const apart = ["--network", "none", "--read-only", "--tmpfs", "/tmp:mode=1777", "--shm-size"];
  const limits = [...apart, "64k", "--memory", "1g", "--user", "123456:0"];
  const data = ["--volume", `${join(folder, "data")}:/data:ro`, "--tmpfs", "/runs:mode=1777"];
  const words = "train --model mlp --data mnist -w 2 -s 2 -e 1 -b 32 --name small --json";
  const { exitCode, out, err } = await runOnce([...limits, ...data], worker, ...words.split(" "));
  assert.equal(exitCode, 0, err);
  assert.match(out, /"final_test_accuracy_percent"/);
});

test("cores and memory are those of the container's limits", async () => {
  const limits = ["--cpus", "1.5", "--memory", "700m", "--network", "none"];
  const { out } = await runOnce(limits, worker, "doctor", "--json");
  const { findings } = JSON.parse(out) as { findings: { name: string; text: string }[] };
  const text = (name: string) => findings.find((one) => one.name === name)!.text;
  assert.match(text("cores"), /^1 \(a control group limits this process to 1\.5\)/);
  assert.match(text("memory"), /a control group limits this process to 0\.7 GiB/);
});

test("an image for another processor does not start, and says so", async () => {
  const image = "localhost/paceline-worker-arm64:0.1.0";
  const { out } = await podman("image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", image);
  assert.equal(out.trim(), "linux/arm64");
  const { exitCode, err } = await runOnce(["--network", "none"], image, "--version");
  assert.notEqual(exitCode, 0);
  assert.match(err, /exec format error/);
});

test("an image holds what production needs, and nobody may change it", async () => {
  for (const image of [server, worker]) {
    const look = (script: string) =>
      runOnce(["--network", "none", "--entrypoint", '["/bin/sh","-c"]'], image, script);
    const unwanted = "find /app/dist -name '*.test.js' -o -name '*.ts' -o -name testing";
    assert.equal((await look(unwanted)).out, "");
    const { out } = await look("ls /app /app/node_modules | sort | tr '\\n' ' '");
    assert.doesNotMatch(
      out,
      /(^| )(typescript|assemblyscript|kubernetes-models|c8|src|test|Dockerfile.*)( |$)/,
    );
    assert.match(out, /package\.json/);
    assert.equal((await look("find /app /usr/local -writable ! -type l")).out, "");
  }
  const engine = await runOnce(["--network", "none"], worker, "doctor", "--json");
  assert.match(engine.out, /oneDNN 2\.6\.3/);
});

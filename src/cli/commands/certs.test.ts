import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runProgram } from "../program.js";

const root = mkdtempSync(join(tmpdir(), "paceline-command-certs-"));
after(() => rmSync(root, { recursive: true }));

async function certs(...words: string[]) {
  const told = { out: "", err: "" };
  const exitCode = await runProgram(["certs", ...words], {
    stdout: { write: (text) => (told.out += text) },
    stderr: { write: (text) => (told.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...told };
}

test("certificates are made, shown, made anew and shown as revoked", async () => {
  const out = join(root, "one");
  const made = await certs("init", "--out", out);
  assert.equal(made.exitCode, 0, made.err);
  assert.deepEqual(made.out.trim().split("\n").length, 10);
  assert.match(made.err, /start each process with --tls \S+one; keep \S+ca-key\.pem/);
  assert.equal(statSync(join(out, "admin-key.pem")).mode & 0o777, 0o600);
  const added = await certs("add", "worker", "--out", out, "--name", "node-3", "--host", "a,::1");
  assert.equal(added.exitCode, 0, added.err);
  const shown = await certs("show", "--out", out);
  const year = new Date().getUTCFullYear();
  assert.match(shown.out, /^File +Name +Role +Hosts +Until +State +Serial\n/);
  assert.match(shown.out, /^ca\.pem +Paceline cluster [0-9a-f]{8} +authority +any +20\S+ +good/m);
  assert.match(shown.out, /^node-3\/worker\.pem +node-3 +worker +a,\S+ +20\S+Z +good +[0-9A-F]+$/m);
  assert.match(shown.out, new RegExp(`^admin\\.pem +admin +admin +any +${year + 1}-`, "m"));
  const { certificates } = JSON.parse((await certs("show", "--out", out, "--json")).out);
  assert.equal(certificates.length, 6);
  writeFileSync(join(out, "revoked.txt"), `${certificates.at(-1).serial}\n`);
  await certs("add", "server", "--out", out, "--days", "7");
  const after = JSON.parse((await certs("show", "--out", out, "--json")).out).certificates;
  assert.deepEqual(
    after.map(({ state }: { state: string }) => state),
    ["good", "good", "good", "good", "good", "revoked"],
  );
  const changed = after.filter(
    ({ serial }: { serial: string }, index: number) => serial !== certificates[index].serial,
  );
  assert.deepEqual(
    changed.map(({ file }: { file: string }) => file),
    ["server.pem"],
  );
});

test("certificates are revoked by name, and shown so", async () => {
  const out = join(root, "three");
  await certs("init", "--out", out);
  await certs("add", "worker", "--out", out, "--name", "node-3");
  const first = await certs("revoke", "node-3", "--out", out);
  assert.equal(first.exitCode, 0, first.err);
  assert.equal(first.out, `${join(out, "crl.pem")}\n${join(out, "node-3", "crl.pem")}\n`);
  assert.match(first.err, /^node-3 \(worker, node-3\/worker\.pem\), serial \w+, is revoked\n/);
  assert.match(first.err, /\ncopy \S+crl\.pem into the --tls folder of every process/);
  const second = await certs("revoke", "node-3", "AB:CD:EF:01:23:45:67", "--out", out, "--json");
  const { revoked } = JSON.parse(second.out);
  assert.deepEqual(
    revoked.map(({ file, wasRevoked }: Record<string, unknown>) => [file, wasRevoked]),
    [
      [join("node-3", "worker.pem"), true],
      [null, false],
    ],
  );
  const shown = (await certs("show", "--out", out)).out;
  assert.match(shown, /^node-3\/worker\.pem .* revoked +\w+$/m);
  assert.equal(shown.match(/ revoked /g)?.length, 1);
});

test("what is wrong with the words is said with what to write", async () => {
  const out = join(root, "two");
  for (const [words, told] of [
    [["init"], /needs a folder; write --out certs/],
    [["make", "--out", out], /no subcommand make/],
    [["add", "--out", out], /takes one role, coordinator, server, worker or admin/],
    [["add", "workr", "--out", out], /workr is no role.*worker/],
    [["add", "worker", "--out", out], /no ca-key\.pem, so nothing can be signed there/],
    [["init", "--out", out, "--days", "0"], /--days 0 is not a number of days from 1 to 3650/],
    [["init", "--out", out, "--name", "x"], /--name does not apply to paceline certs init/],
    [
      ["show", "--out", join(root, "none")],
      /can't read the folder \S+ \(there is no such file or folder\); name/,
    ],
    [["show", "x", "--out", out], /takes no words, and got x/],
    [["revoke", "--out", out], /takes names of certificates; write paceline certs revoke node-3/],
    [["revoke", "x", "--out", out], /no ca-key\.pem, so nothing can be signed there/],
    [["revoke", "x", "--out", join(root, "one")], /has no certificate x; see paceline certs show/],
  ] as const) {
    const { exitCode, err } = await certs(...words);
    assert.equal(exitCode, 2, err);
    assert.match(err, told);
  }
});

// `make conversation`: has the Python worker train beside one of Paceline's own and puts what it
// said and heard into docs/protocol.md. Needs python3-grpcio, python3-numpy, and MNIST or a way to
// fetch it.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const page = "docs/protocol.md";
const folder = mkdtempSync(join(tmpdir(), "paceline-conversation-"));
const at = (name) => join(folder, name);
const children = [];

/** Starts a process; told its standard output, whole so far, with each piece of it. */
function start(command, words, onOutput = () => {}) {
  const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let said = "";
  const hear = (text) => onOutput((said += text));
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", hear);
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(said))));
  });
  return ended;
}

const paceline = (words, onOutput) => start(process.execPath, ["dist/cli/main.js", ...words], onOutput);

async function record() {
  execFileSync("node_modules/.bin/buf", ["build", "proto", "-o", at("descriptors.binpb")]);
  const work = "--model mlp --data mnist --train-limit 32 --test-limit 16 -b 8 -e 1 --seed 1 -w 2";
  const rest = "-s 1 --feed central --checkpoint-every 1it --lr 0.1 --threads 1 --engine reference";
  const words = ["coordinator", "--port", "0", ...`${work} ${rest}`.split(" ")];
  let hasAddress;
  const listening = new Promise((resolve) => (hasAddress = resolve));
  const ends = [
    paceline([...words, "--name", "digits", "--run-dir", at("runs")], (said) => {
      const [, address] = /coordinator listens on (\S+:\d+)/.exec(said) ?? [];
      if (address !== undefined) hasAddress(address);
    }),
  ];
  const address = await Promise.race([listening, ends[0]]);
  ends.push(paceline(["server", "--coordinator", address, "--port", "0"]));
  // The Python worker comes first, so it has rank 0.
  const python = ["-B", "test/python/numpy_worker.py", at("descriptors.binpb"), address, at("record")];
  ends.push(start("/usr/bin/python3", python));
  ends.push(paceline(["worker", "--coordinator", address]));
  await Promise.all(ends);
  return readFileSync(at("record"), "utf8").trim().split("\n");
}

/** What a reader needs: the first heartbeat and its answer, nothing of this machine. */
function forReaders(lines) {
  const seen = new Set();
  return lines
    .filter((line) => {
      const [kind] = /"heartbeat(Ack)?": /.exec(line) ?? [];
      const isRepeated = kind !== undefined && seen.has(kind);
      seen.add(kind);
      return !isRepeated;
    })
    .map((line) =>
      line
        .replace(/"pid": \d+/, '"pid": 4711')
        .replace(/"host": "[^"]+"/, '"host": "host-1"')
        .replace(/"unix": "[^"]+"/, '"unix": "/run/paceline/server.sock"')
        .replace(/("(?:lossSum|loss|seconds)": )(-?[\d.e+-]+)/g, (_, name, value) => {
          return name + Number(Number(value).toPrecision(6));
        }),
    );
}

try {
  const lines = forReaders(await record());
  const text = readFileSync(page, "utf8");
  const block = /(## A recorded conversation\n[^`]*(?:`[^`\n]+`[^`]*)*?```\n)[\s\S]*?(```\n)/;
  if (!block.test(text)) throw new Error(`${page} has no block for the conversation`);
  writeFileSync(
    page,
    text.replace(block, (_, head, foot) => `${head}${lines.join("\n")}\n${foot}`),
  );
  console.log(`${lines.length} lines in ${page}`);
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
}

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { writeSampleMnist } from "../data/testing/sample-files.js";
import { type ProgramHost, reportUncaught, runProgram } from "./program.js";

interface Outcome {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

async function call(line: string, environment: ProgramHost["environment"] = {}): Promise<Outcome> {
  const texts = { out: "", err: "" };
  const host: ProgramHost = {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment,
    isTerminal: false,
  };
  const exitCode = await runProgram(line.split(" ").filter(Boolean), host);
  return { exitCode, ...texts };
}

describe("a wrong command line ends with one sentence and exit code 2", () => {
  const wrong: readonly (readonly [string, string])[] = [
    ["trian", "paceline has no command trian (did you mean train?); see paceline --help"],
    [
      "predict caf\uFFFD.png",
      'paceline: the argument "caf\uFFFD.png" holds bytes that are not UTF-8, which ' +
        "can't be passed on to a program: rename what it names, or link to it by another name",
    ],
    [
      "train --wrokers 3",
      "paceline train has no option --wrokers (did you mean --workers?); see paceline train --help",
    ],
    ["train --standbys=2", "paceline train has no option --standbys; see paceline train --help"],
    ["train --port", "paceline: --port has no value; write a whole number from 0 to 65535"],
    [
      "train a.yaml b.yaml",
      "paceline train takes at most one word, [run.yaml], and got 2; see paceline train --help",
    ],
    [
      "doctor here",
      "paceline doctor takes options only, and got 1 words besides; see paceline doctor --help",
    ],
    [
      "train --learning-rate 0.1",
      "paceline train has no option --learning-rate (did you mean --lr?); " +
        "see paceline train --help",
    ],
    [
      "train --staleness-bound 3 --staleness-max 4",
      "paceline: --staleness-max and --staleness-bound are two names of one option; " +
        "keep one of them",
    ],
    [
      "eval --follow=~ada/runs/x",
      "paceline: --follow ~ada/runs/x begins with the home folder of another user or a name " +
        "with ~; write the path in full",
    ],
    ["aggregate --help", "paceline has no command aggregate; see paceline --help"],
    [
      "charts --output-dir=~ada/charts",
      "paceline: --output-dir ~ada/charts begins with the home folder of another user or a name " +
        "with ~; write the path in full",
    ],
    [
      "train -w 1025",
      "paceline: --workers 1025 is above 1024; " +
        "write a whole number from 1 to 1024, or two such as 2:8",
    ],
    [
      "server",
      "paceline server needs to know where the coordinator listens; " +
        "write paceline server --coordinator 127.0.0.1:8000",
    ],
    [
      "train --model mlp --data mnist --dry-run -b 20000 --cache-dir none-here",
      "paceline: --batch-size 20000 is larger than a worker's slice of 15000 " +
        "(60000 training examples over 4 workers); write 15000 or less, or lower --workers",
    ],
    [
      "ring --remove sever4",
      "paceline: --remove sever4 names no server (did you mean server4?); " +
        "write one of server0 to server4",
    ],
    [
      "tune switch --replay t.csv --runs 2",
      "paceline: --runs has no effect beside --replay, which runs nothing; leave it out",
    ],
    [
      "tune swtch --replay t.csv",
      "paceline tune has no subcommand swtch (did you mean switch?); write switch",
    ],
    ["jobs list", "paceline jobs has no subcommand list; write ls, show, cancel or logs"],
    ["ckpt", "paceline ckpt needs a subcommand; write ls, inspect, verify or export"],
    ["resume", "paceline resume needs <run>, as in paceline resume mlp-bsp-4w-001"],
    [
      "experiments status",
      "paceline experiments status needs <matrix.yaml>, as in " +
        "paceline experiments status configs/experiments-quick.yaml",
    ],
    [
      "config prnt",
      "paceline config has no subcommand prnt (did you mean print?); write print, schema or docs",
    ],
  ];
  for (const [line, sentence] of wrong) {
    test(`paceline ${line}`, async () => {
      const { exitCode, out, err } = await call(line);
      assert.deepEqual(
        { exitCode, out, last: err.trimEnd().split("\n").at(-1) },
        {
          exitCode: 2,
          out: "",
          last: sentence,
        },
      );
    });
  }
  test("and nothing in it is obeyed by a terminal", async () => {
    const { err } = await call("train --model \u001b[2J\u0007mlp");
    assert.match(err, /--model {2}?\[2J mlp is unknown/);
    assert.doesNotMatch(err.trimEnd(), /\p{Cc}/u);
  });
  test("with --json it is an object on standard output too", async () => {
    const { exitCode, out } = await call("train --mode bps --json");
    const { error } = JSON.parse(out) as { error: Record<string, unknown> };
    assert.equal(exitCode, 2);
    assert.equal(error.code, "usage");
    assert.equal(error.exitCode, 2);
    assert.match(String(error.message), /--mode bps is unknown/);
  });
});

describe("what a run can't take is refused by --dry-run too", () => {
  const run = "train --model mlp --data mnist --cache-dir none-here --run-dir none-here --dry-run";
  const refused: readonly (readonly [string, RegExp, number?])[] = [
    ["--name a/b", /--name a\/b can't be the name of a run's folder; write at most 100 letters/],
    ["--name ../x", /--name \.\.\/x can't be the name/],
    ["--name .", /--name \. can't be the name/],
    ["--name .x", /--name \.x can't be the name/],
    [`--name ${"x".repeat(300)}`, /has 300 characters; write at most 100/],
    ["--resume nope", /--resume nope is neither a run in none-here nor a folder/, 6],
    ["--resume auto", /there is no checkpoint/, 6],
    [
      "--dtype bf16 --engine reference",
      /--dtype bf16 is not computed by --engine reference; write/,
    ],
    [
      "--train-limit 70000",
      /--train-limit 70000 is more than the 60000 training examples of mnist; write 60000 or less/,
    ],
    ["--test-limit 10001", /--test-limit 10001 is more than the 10000 test examples of mnist/],
    ["--tls nowhere", /--tls nowhere: there is no coordinator.pem; make it with: paceline certs/],
    ["--token-file nowhere", /can't read the token file nowhere/],
    [
      "--transport unix --inject straggler:worker=0,delay=1ms",
      /straggler:worker=0,delay=1ms,from=1: .* --transport unix has none; write/,
    ],
    ["--inject kill:worker=9,at=1", /--inject kill:worker=9,at=1 names no worker/],
    ["--inject kill:server=0,at=0", /kill:server=0,at=0 is at step 0, and the first is 1; write a/],
    [
      "--data-dir ftp://host/data",
      /--data-dir ftp:\/\/host\/data is no source of data; write the path/,
    ],
    ["--data-dir https://", /--data-dir https:\/\/ is not a URL; write the path of a folder, an h/],
    [`--run-dir ${"x".repeat(300)}`, /can't make the folder x+: the name is too long/, 1],
    [
      "--data-dir /nowhere/data",
      /--data-dir \/nowhere\/data can't be read \(there is no such file or folder\); give the fold/,
    ],
    ["--data nope", /data set "nope" is unknown; choose one of mnist, .*cifar100/],
  ];
  for (const [words, message, code = 2] of refused) {
    test(words.slice(0, 60), async () => {
      const { exitCode, out, err } = await call(`${run} ${words}`);
      assert.deepEqual([exitCode, out], [code, ""]);
      assert.match(err.trimEnd().split("\n").at(-1) ?? "", message);
    });
  }
  test("a small run has fewer examples than --fast takes, and no limit above them", async () => {
    const data = await mkdtemp(join(tmpdir(), "paceline-small-"));
    await writeSampleMnist(data, { train: 400, test: 100, seed: 5 });
    const small = `${run} --fast --name free --data-dir ${data}`;
    assert.equal((await call(small)).exitCode, 0);
    const { exitCode, err } = await call(`${small} --test-limit 101`);
    assert.equal(exitCode, 2);
    assert.match(err, /--test-limit 101 is more than the 100 test examples of mnist/);
    await rm(data, { recursive: true });
  });
});

describe("a matrix of experiments that ships", () => {
  for (const word of ["experiments-quick", "quick"]) {
    test(`is found as ${word}`, async () => {
      const { exitCode, out } = await call(`experiments run ${word} --dry-run --json`);
      assert.equal(exitCode, 0);
      assert.equal((JSON.parse(out) as { cells: unknown[] }).cells.length, 6);
    });
  }
  test("is offered where the name is another", async () => {
    const { exitCode, err } = await call("experiments status experiments-quik");
    assert.equal(exitCode, 2);
    assert.match(err, /no matrix experiments-quik \(did you mean experiments-quick\?\); give/);
  });
});

describe("what the system refuses is one sentence with its remedy", () => {
  for (const [code, remedy] of [
    ["EMFILE", /ulimit -n/],
    ["EACCES", /permissions/],
    ["ENOSPC", /free some space/],
    ["EPERM", /permissions/],
    ["EADDRINUSE", /another --port/],
    ["EAGAIN", /ulimit -u/],
  ] as const) {
    test(code, () => {
      let err = "";
      const stream = { write: (text: string) => (err += text) };
      const thrown = Object.assign(new Error("raw"), { code, syscall: "open", path: "x" });
      assert.equal(reportUncaught(thrown, { stdout: stream, stderr: stream }), 1);
      assert.match(err, /^paceline: can't open x: [^\n]*\n$/);
      assert.match(err, remedy);
    });
  }
});

describe("bare commands say what to do next", () => {
  test("paceline", async () => {
    const { exitCode, out } = await call("");
    assert.equal(exitCode, 0);
    assert.match(out, /paceline train --model mlp --data mnist --fast/);
  });
  test("paceline train", async () => {
    const { exitCode, out, err } = await call("train");
    assert.equal(exitCode, 2);
    assert.equal(out, "");
    assert.match(
      err,
      /^paceline train needs --model and --data\. For instance:\n\n {2}paceline tr/,
    );
  });
  test("with --json what is needed is an error object too", async () => {
    const { exitCode, out } = await call("train --json");
    const { error } = JSON.parse(out);
    assert.deepEqual([exitCode, error.code, error.exitCode], [2, "usage", 2]);
    assert.equal(error.message, "paceline train needs --model and --data");
  });
  test("paceline train with a model suggests the data that fits it", async () => {
    const { err } = await call("train --model logistic");
    assert.match(err, /needs --data\. .*\n\n {2}paceline train --model logistic --data mnist-par/);
  });
});

describe("commands", () => {
  const folder = mkdtempSync(join(tmpdir(), "paceline-program-"));
  after(() => rmSync(folder, { recursive: true }));

  test("--version and --help end with 0", async () => {
    const { exitCode, out } = await call("--version");
    assert.equal(exitCode, 0);
    assert.match(out, /^\d+\.\d+\.\d+\n$/);
    assert.match((await call("--help")).out, /Commands:/);
    const help = await call("server --help");
    assert.equal(help.exitCode, 0);
    assert.match(help.out, /--advertise <host:port>/);
    assert.doesNotMatch(help.out, /--epochs/);
  });
  test("flags, --set, the environment and a file meet in config print", async () => {
    const path = join(folder, "run.yaml");
    writeFileSync(path, "epochs: 9\nlr: 0.5\nworkers: 8\nmode: ssp\nprogress: true\n");
    const line = `config print ${path} -e 2 --set lr=0.25 --set seed=5 --no-progress --json`;
    const { exitCode, out } = await call(line, { WORLD_SIZE: "6" });
    const values = JSON.parse(out) as Record<string, { value: unknown; origin: string }>;
    assert.equal(exitCode, 0);
    assert.deepEqual(values.epochs, { value: 2, origin: "flag --epochs" });
    assert.deepEqual(values.lr, { value: 0.25, origin: "--set lr" });
    assert.deepEqual(values.seed, { value: 5, origin: "--set seed" });
    assert.deepEqual(values.workers, { value: "6", origin: "environment WORLD_SIZE" });
    assert.deepEqual(values.mode, { value: "ssp", origin: `file ${path}` });
    assert.deepEqual(values.progress, { value: false, origin: "flag --progress" });
  });
  test("--inject may be given more than once", async () => {
    const line = "config print --inject kill:worker=2,at=50 --inject kill:server=1,at=9";
    const { out } = await call(line);
    assert.match(out, /inject: kill:worker=2,at=50;kill:server=1,at=9/);
  });
  test("ring prints loads and moves as JSON", async () => {
    const line = "ring -s 5 --chunk-values 1 --load-bound none --remove server4 --json";
    const { out } = await call(line);
    const { loads, moved } = JSON.parse(out) as Record<string, unknown>;
    assert.deepEqual(loads, {
      server0: 160,
      server1: 155,
      server2: 143,
      server3: 173,
      server4: 154,
    });
    assert.deepEqual(moved, { server0: 24, server1: 43, server2: 48, server3: 39 });
  });
  test("a dry run shows the plan and tells its options once", async () => {
    const line = "train --model mlp --data mnist -s 2 --chunk-values 4096 --dry-run";
    const { exitCode, out, err } = await call(`${line} --cache-dir ${join(folder, "cache")}`);
    assert.equal(exitCode, 0);
    assert.match(out, /mlp, 101770 trained values in 26 chunks/);
    assert.match(out, /3 epochs of 235 steps, 705 updates/);
    assert.match(out, /Nothing was started/);
    assert.match(err, /^paceline train \S+: servers=2 \(--servers\), .*\n$/);
  });
  test("the place that options come from is told once, and of many options so many", async () => {
    const told = async (content: string) => {
      const file = join(folder, "run.yaml");
      writeFileSync(file, content);
      const { err } = await call(`train ${file} --dry-run --cache-dir ${join(folder, "cache")}`);
      assert.equal(err.split(file).length, 2, err);
      return err.slice(0, err.indexOf(" ("));
    };
    const few = "model: mlp\ndata: mnist\nlr: 0.2\n";
    assert.match(await told(few), /^paceline train \S+: model=mlp, data=mnist, lr=0.2$/);
    const cluster = "workers: 4\nservers: 2\nchunk-values: 16384\nfeed: static\nkeep: 2\n";
    const pace = "mode: bsp\nreduce: mean\nepochs: 3\nbatch-size: 32\noptimizer: momentum\n";
    const more = "seed: 1\nlr-schedule: onecycle\nweight-decay: 0.001\naugment: none\n";
    assert.match(await told(few + cluster + pace + more), /^.{100,200} and [4-9] more$/);
  });
  test("config docs writes its pages to a folder, and says where none can be made", async () => {
    const into = join(folder, "new", "docs");
    assert.equal((await call(`config docs --write ${into}`)).exitCode, 0);
    assert.deepEqual(readdirSync(into), ["config.md", "errors.md"]);
    const { exitCode, err } = await call("config docs --write /proc/paceline/docs");
    assert.equal(exitCode, 1);
    assert.match(err, /^paceline: can't make the folder \/proc\/paceline\/docs: the file system/);
  });
  test("init writes a file that train can be given, once", async () => {
    const path = join(folder, "made.yaml");
    const { exitCode, out } = await call(`init ${path} --mode asp -w 2 --lr 0.05`);
    assert.deepEqual([exitCode, out], [0, `${path}\n`]);
    const line = `train ${path} --dry-run --cache-dir ${join(folder, "cache")}`;
    assert.match(
      (await call(line)).out,
      /workers {4}2,[\s\S]*pace {7}asp[\s\S]*learning rate 0.05/,
    );
    const again = await call(`init ${path}`);
    assert.equal(again.exitCode, 2);
    assert.match(again.err, /exists already and is not overwritten/);
  });
  test("a doubtful name in the environment is one line", async () => {
    const { err } = await call("config print", { PACELINE_EPOCH: "3" });
    assert.equal(err, "PACELINE_EPOCH is not an option (did you mean PACELINE_EPOCHS?)\n");
  });
});

describe("an error is an object on standard output", () => {
  const lines: readonly (readonly [string, Record<string, string>, boolean])[] = [
    ["status --json --lr 1", {}, true],
    ["status --lr 1", { PACELINE_JSON: "1" }, true],
    ["status --lr 1", { PACELINE_JSON: "0" }, false],
    ["status --no-json --lr 1", { PACELINE_JSON: "1" }, false],
    ["train --set showing.json=true --epochs x", {}, true],
    ["train --set showing.json=false --epochs x", {}, false],
  ];
  for (const [line, environment, isWanted] of lines) {
    test(`${JSON.stringify(environment)} ${line}`, async () => {
      const { exitCode, out } = await call(line, environment);
      assert.equal(exitCode, 2);
      assert.equal(out === "" ? "none" : JSON.parse(out).error.code, isWanted ? "usage" : "none");
    });
  }
});

test("a flag that takes no value says how it is written", async () => {
  const { err } = await call("status --json=false");
  assert.equal(err, "paceline: --json takes no value; write --json or --no-json\n");
});

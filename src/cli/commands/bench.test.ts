import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { benches } from "../../bench/benches.js";
import { sharedOptions } from "../../bench/harness/bench-option.js";
import { findTorch } from "../../bench/harness/torch.js";
import { openDnnl } from "../../nn/onednn/library.js";
import { runProgram } from "../program.js";

async function call(...words: readonly string[]) {
  const texts = { out: "", err: "" };
  const exitCode = await runProgram(["bench", ...words], {
    stdout: { write: (text) => (texts.out += text) },
    stderr: { write: (text) => (texts.err += text) },
    environment: {},
    isTerminal: false,
  });
  return { exitCode, ...texts };
}

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly ratio?: number;
}

const brief = ["--rounds", "1", "--turn", "5ms"];
const tiny = ["--engine", "reference", "--model", "logistic", "-b", "2", ...brief];
const isLinux = process.platform === "linux";
const memoryRows = ["logistic/f32/b2/t1/peak-memory", "logistic/f32/b4/t1/peak-memory"];

describe("paceline bench engine", () => {
  test("--json prints one object of the documented form and nothing else", async () => {
    const { exitCode, out, err } = await call("engine", ...tiny, "--json");
    assert.equal(exitCode, 0);
    assert.equal(out.trimEnd().split("\n").length, 1);
    const report = JSON.parse(out) as { rows: readonly Row[] };
    assert.deepEqual(Object.keys(report), ["bench", "machine", "rows"]);
    assert.deepEqual(
      report.rows.map(({ name, unit }) => [name, unit]),
      [
        ["logistic/f32/b2/t1", "images/s"],
        ["logistic/f32/b2/t1/input", "ms"],
        ["logistic/f32/b2/t1/input-share", "% of a step"],
        ...(isLinux ? memoryRows.map((name) => [name, "MB"]) : []),
      ],
    );
    for (const row of report.rows) {
      assert.deepEqual(Object.keys(row), ["name", "value", "unit"]);
      assert.ok(row.value > 0, row.name);
    }
    assert.match(err, /engine reference: .*: f32 on one thread, 2 examples a step\n/);
    assert.match(err, /no bf16 rows: /);
  });

  test("with peers each row has PyTorch's value, or a line says how to install it", async () => {
    const words = [...tiny, "--rows", "speed", "--peers", "--json"];
    const { exitCode, out, err } = await call("engine", ...words);
    assert.equal(exitCode, 0);
    const { rows } = JSON.parse(out) as { rows: readonly Row[] };
    if ("problem" in findTorch(sharedOptions.python.default)) {
      assert.match(err, /rows without peers: .*install Debian's python3-torch/);
      assert.ok(rows.every(({ peer }) => peer === undefined));
      return;
    }
    assert.equal(rows.length, 1);
    for (const row of rows) {
      assert.deepEqual(
        Object.keys(row),
        ["name", "value", "unit", "peer", "peerValue", "ratio"],
        err,
      );
      assert.match(row.peer ?? "", /^pytorch (contiguous|channels-last)$/);
    }
  });

  for (const [what, python, why] of [
    [
      "no such Python",
      "/no/such/python",
      /can't start \/no\/such\/python: there is no such file or folder/,
    ],
    ["a Python without PyTorch", process.execPath, /there is no PyTorch with/],
  ] as const) {
    test(`${what} is a line, and the rows stand without peers`, async () => {
      const words = [...tiny, "--rows", "speed", "--peers", "--python", python];
      const { exitCode, out, err } = await call("engine", ...words);
      assert.equal(exitCode, 0);
      assert.match(err, why);
      assert.match(err, /install Debian's python3-torch, or name a Python that has it/);
      assert.match(out, /^engine: .*\nCase +Paceline +Unit\nlogistic\/f32\/b2\/t1 +\d/);
    });
  }

  test("with oneDNN one model's table of layers follows, without it that is said", async () => {
    const engine = openDnnl().dnnl === null ? "reference" : "onednn";
    const small = ["--model", "resnet20", "-b", "1", "--threads", "1", ...brief];
    const words = [...small, "--dtype", "f32", "--rows", "speed", "--table", "--engine", engine];
    const { exitCode, out, err } = await call("engine", ...words);
    assert.equal(exitCode, 0, err);
    if (engine === "reference") {
      assert.match(err, /no table: the reference engine does not report/);
      return;
    }
    assert.match(out, /\nlayer3\.2\.conv2 +64x8x8 to 64x8x8 +[a-z/]+( +\d+\.\d\d){4} +\d+ +\d/);
    assert.match(out, /the ceiling is \d+\.\d images\/s, and the step has reached \d+ % of it\n$/);
  });

  test("a soak reads memory ten times and says whether it is flat", async () => {
    const { exitCode, out, err } = await call("engine", ...tiny, "--soak", "40");
    if (!isLinux) {
      assert.equal(exitCode, 2);
      assert.match(err, /which .* lacks; run it on Linux/);
      return;
    }
    assert.equal(exitCode, 0, err);
    assert.equal([...out.matchAll(/^logistic\/f32\/b2\/t1\/soak\/\d+0% +\d/gm)].length, 10);
    assert.match(out, /\/soak: 40 steps, (NOT )?flat: \d+\.\d MB at 20 %/);
  });
});

describe("docs/benchmarks.md", () => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "ARCHITECTURE.md"))) folder = dirname(folder);
  const page = readFileSync(join(folder, "docs", "benchmarks.md"), "utf8");

  for (const { name, options } of benches) {
    test(`tells every option of ${name}, and shows commands that it takes`, () => {
      assert.ok(new RegExp(`^## ${name}$`, "m").test(page), `there is no section ## ${name}`);
      const known = new Set([...options.map((option) => option.name), "json"]);
      for (const option of known) assert.ok(page.includes(`--${option}`), `--${option}`);
      const commands = [...page.matchAll(new RegExp(`^paceline bench ${name}\\b(.*)$`, "gm"))];
      assert.ok(commands.length > 0, "no command is shown");
      for (const [command, words = ""] of commands) {
        for (const [, flag = ""] of words.matchAll(/--([a-z-]+)/g)) {
          assert.ok(known.has(flag), command);
        }
      }
    });
  }
});

describe("paceline bench refuses", () => {
  const refused: [words: string, message: RegExp][] = [
    ["engin", /bench has no subcommand engin \(did you mean engine\?\); write engine/],
    ["engine --dtype bf61", /--dtype bf61 is unknown \(did you mean bf16\?\); write f32 or bf16/],
    ["engine --model resnet19", /--model resnet19 is unknown \(did you mean resnet18\?\)/],
    ["engine --model resnet20 --stem imagenet", /--stem imagenet has no effect on model resnet20/],
    ["engine --engine synthetic", /--engine synthetic is unknown; write auto, onednn or reference/],
    ["engine --rounds 0", /--rounds 0 is below 1/],
    ["engine --soak 3", /--soak 3 is below 10/],
    ["engine --peer", /bench has no option --peer \(did you mean --peers\?\)/],
    ["engine --engine reference --dtype bf16", /--dtype bf16 can't be computed here/],
    ["push-pull --link 100MB/s", /--link 100MB\/s is not a link; write a link such as 100Mb\/s/],
    ["push-pull --link 1Gb/s --transport tcp,unix", /--transport unix bypasses --link 1Gb\/s/],
    ["push-pull --servers 1,0", /--servers 1,0 has "0", which is below 1/],
    ["train --compress none,fp16+int8", /has "fp16\+int8", which has a pull that is unknown/],
    ["train --link 1Gb/s --transport unix", /--transport unix bypasses --link 1Gb\/s/],
    ["", /bench needs a subcommand; write engine, kernels/],
  ];
  for (const [words, message] of refused) {
    test(`${words || "nothing"} with exit code 2`, async () => {
      const { exitCode, out, err } = await call(...words.split(" ").filter(Boolean));
      assert.equal(exitCode, 2);
      assert.equal(out, "");
      assert.match(err, message);
    });
  }
});

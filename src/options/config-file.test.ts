import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readAssignments } from "./assignments.js";
import { configSchema, printConfig, readConfigFile, readConfigText } from "./config-file.js";
import type { OptionKey } from "./options.js";
import { resolve } from "./resolve.js";

const flags = (entries: Partial<Record<OptionKey, string>>) =>
  new Map(Object.entries(entries) as [OptionKey, string][]);

describe("a config file", () => {
  test("is read flat and by group, lists and empty groups included", () => {
    const text = `
workers: 2:8
data: mnist
training: { model: mlp, lr: 0.05, lr-schedule: step, lr-milestones: [50%, 0.75] }
keeping:
max-steps: null
`;
    const file = { path: "run.yaml", values: readConfigText(text, "run.yaml") };
    const { options } = resolve("train", { file });
    assert.deepEqual(options.workers, { min: 2, max: 8, start: 2 });
    assert.equal(options.model, "mlp");
    assert.equal(options.lr, 0.05);
    assert.deepEqual(options.lrMilestones, [0.5, 0.75]);
    assert.equal(options.maxSteps, null);
  });
  test("gives a text option the text that stands there", () => {
    for (const name of ["007", "1e3", "0x10", "1_000", "1.0", "true", "2026-01-02"]) {
      const values = readConfigText(`name: ${name}`, "run.yaml");
      const { options } = resolve("train", { file: { path: "run.yaml", values } });
      assert.equal(options.name, name);
    }
  });
  test("may be empty", () => {
    assert.equal(readConfigText("", "run.yaml").size, 0);
  });

  const refused: readonly (readonly [string, string])[] = [
    [
      "wrokers: 4",
      '"wrokers" in run.yaml is not an option (did you mean workers?); see paceline config schema',
    ],
    ["pace: { lr: 1 }", '"lr" in run.yaml belongs under training, not pace; move it'],
    ["lr: 1\ntraining: { lr: 2 }", '"lr" appears twice in run.yaml; keep one of the two'],
    ["lr: [1, 2]", '"lr" in run.yaml is a list or mapping; write a number from 0 to 1000000'],
    ["training: 3", 'training: "3" in run.yaml is a group; write its options under it'],
    ["- 1", 'run.yaml is not a mapping; write lines such as "workers: 4"'],
    ["lr: 1\nlr: 2", "run.yaml line 2 has a key twice; keep one of the two"],
    ["lr: *base", "run.yaml line 1 has the alias *base of no anchor; write the value in full"],
  ];
  for (const [text, message] of refused) {
    test(message, () => {
      assert.throws(() => readConfigText(text, "run.yaml"), { code: "usage", message });
    });
  }
  test("that is not there is refused with its path", () => {
    assert.throws(() => readConfigFile("nowhere/run.yaml"), {
      code: "usage",
      message: /nowhere\/run\.yaml can't be read \(there is no such file or folder\)/,
    });
  });
});

describe("--set", () => {
  test("takes names with and without their group, and the last of two", () => {
    const values = readAssignments(["training.lr=0.1", "lr=0.2", "name=a=b"]);
    assert.equal(values.get("lr"), "0.2");
    assert.equal(values.get("name"), "a=b");
  });
  for (const [assignment, message] of [
    ["lr", /--set lr has no "="/],
    [
      "trainign.lr=1",
      /"trainign" in --set trainign\.lr=1 is not a group \(did you mean training\?\)/,
    ],
    ["training.lrr=1", /"lrr" .* is not an option \(did you mean lr\?\)/],
    ["pace.lr=1", /"lr" .* belongs under training, not pace/],
  ] as const) {
    test(`${assignment} is refused`, () => {
      assert.throws(() => readAssignments([assignment]), { code: "usage", message });
    });
  }
});

describe("what is printed", () => {
  const given = {
    flags: flags({
      mode: "ssp",
      workers: "2:3",
      name: "2024",
      inject: "kill:worker=0,at=1;kill:server=0,at=2",
      lrSchedule: "step",
      chunkValues: "100",
    }),
    environment: { PACELINE_LR: "0.25", PACELINE_LEASE: "1500ms" },
  };
  const resolution = resolve("train", given);

  test("can be read again and means the same", () => {
    const text = printConfig("train", resolution, true);
    const values = readConfigText(text, "config.yaml");
    const again = resolve("train", { file: { path: "config.yaml", values } });
    assert.deepEqual(again.options, resolution.options);
  });
  test("names each origin", () => {
    const text = printConfig("train", resolution, true);
    assert.match(text, /^ {2}mode: ssp +# flag --mode$/m);
    assert.match(text, /^ {2}lr: 0\.25 +# environment PACELINE_LR$/m);
    assert.match(text, /^ {2}epochs: 3 +# default$/m);
  });
  test("leaves out what has no effect", () => {
    assert.doesNotMatch(printConfig("train", resolution, false), /staleness-rule|^ {2}momentum/m);
  });
  test("the schema knows every option, at the top and under its group", () => {
    const { properties } = configSchema() as { properties: Record<string, { properties: object }> };
    assert.ok("batch-size" in properties);
    assert.ok("batch-size" in properties.training!.properties);
  });
});

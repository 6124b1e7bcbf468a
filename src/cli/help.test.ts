import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keysOf, optionNames, rowOf } from "../options/options.js";
import { optionHint, synonymTargets } from "../options/synonyms.js";
import { completionScript } from "./commands/completion.js";
import { commandPlans } from "./commands.js";
import { commandHelp, verbHelp } from "./help.js";
import { helpAsked } from "./help-request.js";

const planOf = (name: string) => commandPlans.find((plan) => plan.name === name)!;
const asked = (line: string) => helpAsked(line.split(" "), commandPlans);

describe("help", () => {
  for (const plan of commandPlans) {
    test(`paceline ${plan.name} --help-all has every option and an example`, () => {
      const [whole, short] = [commandHelp(plan, true), commandHelp(plan)];
      for (const key of keysOf(plan.options)) {
        const { name, default: value } = rowOf(key);
        const flag = value === true ? `--no-${name}` : `--${name}`;
        assert.ok(whole.includes(flag) && short.includes(flag), name);
      }
      assert.match(whole, new RegExp(`Examples:\n {2}paceline ${plan.name}`));
    });
  }
  test("of a command with many options explains the common ones on a page", () => {
    const short = commandHelp(planOf("train"));
    assert.ok(short.split("\n").length < 75, `${short.split("\n").length} lines`);
    assert.match(short, /--help-all explains every option/);
    assert.match(short, /^ {6}also .*--max-restarts/m);
    assert.match(commandHelp(planOf("train"), true), /--max-restarts <count> +how many/);
  });
  test("each verb has a text of its own", () => {
    for (const plan of commandPlans)
      for (const verb of plan.verbs ?? []) {
        const text = verbHelp(plan, verb);
        assert.match(text, new RegExp(`^paceline ${plan.name} ${verb.name}`));
        assert.ok(text.includes(verb.sentence));
        assert.notEqual(text, commandHelp(plan));
      }
    const removal = verbHelp(planOf("runs"), planOf("runs").verbs![3]!);
    assert.match(removal, /^paceline runs rm RUN\.\.\. \[options\]/);
    assert.match(removal, /--dry-run/);
    assert.doesNotMatch(removal, /--csv|runs ls$/m);
  });
  test("verbs are those of the command's first word", () => {
    for (const { arguments: words = [], verbs, name } of commandPlans) {
      if (verbs === undefined) continue;
      assert.equal(words[0], `<${verbs.map((verb) => verb.name).join("|")}>`, name);
    }
  });
});

describe("a question for help", () => {
  const answers: readonly (readonly [string, RegExp])[] = [
    ["help", /^paceline: train a neural network/],
    ["--help", /^paceline: train a neural network/],
    ["-h", /^paceline: train a neural network/],
    ["help train", /^paceline train \[run\.yaml\]/],
    ["train --model mlp --help", /^paceline train \[run\.yaml\]/],
    ["train --help-all", /--max-restarts <count> +how many/],
    ["help runs", /^paceline runs </],
    ["help runs show", /^paceline runs show RUN/],
    ["runs show --help", /^paceline runs show RUN/],
    ["runs show some -h", /^paceline runs show RUN/],
    ["ckpt verify --help", /^paceline ckpt verify/],
    ["data pack --help", /^paceline data pack NAME/],
  ];
  for (const [line, pattern] of answers)
    test(`paceline ${line}`, () => assert.match(asked(line) ?? "", pattern));
  for (const line of ["train", "train -- --help", "--version", "runs ls"])
    test(`paceline ${line} is none`, () => assert.equal(asked(line), null));
  const refused: readonly (readonly [string, RegExp])[] = [
    ["aggregate --help", /^paceline has no command aggregate; see paceline --help$/],
    ["trian --help", /no command trian \(did you mean train\?\)/],
    ["help trian", /no command trian \(did you mean train\?\)/],
    ["trian --version", /no command trian/],
    ["hlep train", /no command hlep \(did you mean help\?\)/],
    ["help runs shwo", /runs has no subcommand shwo \(did you mean show\?\); write ls, show/],
    ["runs shwo --help", /runs has no subcommand shwo \(did you mean show\?\)/],
  ];
  for (const [line, message] of refused)
    test(`paceline ${line} is refused`, () =>
      assert.throws(() => asked(line), { code: "usage", message }));
});

describe("words of other programs", () => {
  test("lead to the option that means the same", () => {
    const rows = {
      "learning-rate": "lr",
      num_workers: "workers",
      dataset: "data",
      optim: "optimizer",
    };
    for (const [word, option] of Object.entries(rows))
      assert.equal(optionHint(word, optionNames, "--"), ` (did you mean --${option}?)`);
    assert.equal(optionHint("learning-rate", ["host"]), "");
  });
  test("lead to options that there are", () => {
    for (const option of synonymTargets) assert.ok(optionNames.includes(option), option);
  });
});

describe("completion", () => {
  test("knows every command, the verbs and the words of options", () => {
    for (const shell of ["bash", "zsh", "fish"]) {
      const script = completionScript(shell, commandPlans);
      for (const { name } of commandPlans) assert.ok(script.includes(name), `${shell}: ${name}`);
      assert.match(script, /bsp ssp dssp asp/);
      assert.match(script, /compare/);
    }
  });
  test("refuses another shell", () => {
    const message = /does not support fsh \(did you mean zsh\?\); write bash, zsh or fish/;
    assert.throws(() => completionScript("fsh", commandPlans), { code: "usage", message });
  });
});

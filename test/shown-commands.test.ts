import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Call, CommandPlan } from "../dist/cli/commands/command-plan.js";
import { commandPlans } from "../dist/cli/commands.js";
import { runProgram } from "../dist/cli/program.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true })
    .map((name) => join("docs", String(name)))
    .filter((name) => name.endsWith(".md")),
];

interface Shown {
  readonly place: string;
  /** It runs in a coordinator's container, whose environment says where that is. */
  readonly isInside: boolean;
  readonly words: readonly string[];
}

/**
 * Commands in blocks and in inline code, by either name, also such as are run in a container or
 * read what another program writes; a line that ends in \ goes on.
 */
function commandsOf(place: string, text: string): Shown[] {
  const whole = text.replace(/\s*\\\n\s*/g, " ");
  const program = /(^|`|\$ |\| | exec .* )(?:paceline|node dist\/cli\/main\.js) /.source;
  const command = new RegExp(`${program}([^\`\\n]+?)(?:\`|\\s{2,}.*|\\s+#.*|$)`, "gm");
  return [...whole.matchAll(command)].map(([, before, line]) => {
    // What follows a pipe or a redirection is the shell's; a word in capitals stands for a value.
    const own = line!.split(/\s[|>&]/)[0]!.trim();
    const words = own.replaceAll(/\$\{?workers\}?/g, "8").split(/\s+/);
    return { place, isInside: before!.startsWith(" exec "), words };
  });
}

const shown: Shown[] = [
  ...pages.flatMap((page) => commandsOf(page, readFileSync(join(root, page), "utf8"))),
  ...commandPlans.flatMap(({ name, examples }) =>
    examples.flatMap((example) => commandsOf(`the help of ${name}`, example)),
  ),
];

describe("commands that documents and help show", () => {
  const calls: { plan: string; call: Call }[] = [];
  before(() => {
    process.chdir(root);
    // A bucket that a document names is looked for on this machine alone.
    process.env.AWS_ENDPOINT_URL = "http://127.0.0.1:1";
    for (const plan of commandPlans as (CommandPlan & { run: CommandPlan["run"] })[]) {
      plan.run = async (call) => {
        calls.push({ plan: plan.name, call });
        return 0;
      };
    }
  });

  test("there are some of every role", () => {
    const names = new Set(shown.map(({ words }) => words[0]));
    for (const name of ["train", "baseline", "coordinator", "server", "worker", "status"]) {
      assert.ok(names.has(name), name);
    }
  });
  for (const { place, isInside, words } of shown) {
    if (words[0]!.startsWith("-")) continue;
    if (words.length === 1 || words.some((word) => /^[A-Z]+$/.test(word))) {
      test(`${place}: there is paceline ${words[0]}`, () => {
        assert.ok(commandPlans.some(({ name }) => name === words[0]));
      });
      continue;
    }
    test(`${place}: paceline ${words.join(" ")}`, async () => {
      let told = "";
      const sink = { write: (text: string) => (told += text) };
      const own = words.map((word) => (word === "run.yaml" ? "configs/demo-bsp.yaml" : word));
      const before = calls.length;
      const inside = isInside ? { PACELINE_COORDINATOR: "coordinator:8000" } : {};
      const environment = { PACELINE_RUN_DIR: join(root, "test", "no-runs"), ...inside };
      const host = { stdout: sink, stderr: sink, environment, isTerminal: false };
      const exitCode = await runProgram(own, host);
      if (own[0] === "resume" || own.includes("--resume")) {
        // Everything else is judged before the run is looked for, and here is none.
        assert.equal(exitCode, 6, told);
        return;
      }
      assert.equal(exitCode, 0, told);
      const isHelp = own.includes("--help");
      assert.equal(calls.length, isHelp ? before : before + 1, told);
      if (!isHelp) assert.equal(calls.at(-1)!.plan, own[0]);
    });
  }
});

describe("make targets that documents show", () => {
  const makefile = readFileSync(join(root, "Makefile"), "utf8");
  for (const page of pages) {
    test(`${page} shows only targets that the Makefile has`, () => {
      const text = readFileSync(join(root, page), "utf8");
      for (const [, target] of text.matchAll(/(?:^|`)make ([a-z][a-z-]*)(?:`|\s{2,}|$)/gm)) {
        const isThere = new RegExp(`^${target}:`, "m").test(makefile);
        assert.ok(isThere || target!.startsWith("bench-"), `make ${target}`);
      }
    });
  }
});

/**
 * Does what docs/operating/two-computers.md says, literally: the commands of its two blocks run in
 * two network namespaces with a cable between them. Linux, as root, with iproute2; `make test-long`
 * runs it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { makePlace, metricsOf } from "./run-paceline.js";
import { connectComputers } from "./two-hosts.js";

const page = readFileSync(new URL("../docs/operating/two-computers.md", import.meta.url), "utf8");

const titles = ["On the first computer", "On the second computer"] as const;

/** The commands in the block below a title, without the program. */
function commandsBelow(title: string): string[][] {
  const block = new RegExp(`## ${title}[^#]*?\`\`\`\\n(.*?)\`\`\``, "s").exec(page)?.[1] ?? "";
  const lines = block.trimEnd().split("\n");
  return lines.map((line) => line.replace("node dist/cli/main.js ", "").split(" "));
}

test("two computers train together with the commands of the page", async (context) => {
  const computers = connectComputers(context, "10.77.0");
  const place = await makePlace(context);
  const members = computers.flatMap(({ through }, index) => {
    const commands = commandsBelow(titles[index]!);
    assert.ok(commands.length > 0, titles[index]);
    return commands.map((words) => place.start(words, {}, through));
  });
  assert.equal(members.length, 5);
  const [coordinator] = members;
  for (const member of members) assert.equal((await member.end()).exitCode, 0, member.told());
  assert.deepEqual(
    members.map(({ out }) => metricsOf(out).length),
    [1, 0, 1, 0, 1],
  );
  const events = await place.events("mlp-bsp-2w-001");
  assert.deepEqual(
    events.filter(({ kind }) => kind === "lost"),
    [],
  );
  const accuracy = /Final test accuracy: ([\d.]+)%/.exec(coordinator!.out)?.[1];
  assert.ok(Number(accuracy) > 50, accuracy);
});

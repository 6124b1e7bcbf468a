/**
 * Does what docs/operating/two-computers.md says, literally: the commands of its two blocks run in
 * two network namespaces with a cable between them. Linux, as root, with iproute2; `make test-long`
 * runs it.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { makePlace, metricsOf } from "./run-paceline.js";

const page = readFileSync(new URL("../docs/operating/two-computers.md", import.meta.url), "utf8");

const computers = [
  { title: "On the first computer", space: `paceline-a-${process.pid}`, address: "10.77.0.1" },
  { title: "On the second computer", space: `paceline-b-${process.pid}`, address: "10.77.0.2" },
] as const;

function ip(words: string): void {
  execFileSync("ip", words.split(" "), { stdio: "pipe" });
}

/** Two namespaces with a cable. */
function connectComputers(): void {
  const ends = computers.map((_, index) => `pl${process.pid % 100_000}${"ab"[index]}`);
  for (const { space } of computers) ip(`netns add ${space}`);
  ip(`link add ${ends[0]} type veth peer name ${ends[1]}`);
  for (const [index, { space, address }] of computers.entries()) {
    ip(`link set ${ends[index]} netns ${space}`);
    ip(`-n ${space} addr add ${address}/24 dev ${ends[index]}`);
    ip(`-n ${space} link set ${ends[index]} up`);
    ip(`-n ${space} link set lo up`);
  }
}

/** The commands in the block below a title, without the program. */
function commandsBelow(title: string): string[][] {
  const block = new RegExp(`## ${title}[^#]*?\`\`\`\\n(.*?)\`\`\``, "s").exec(page)?.[1] ?? "";
  const lines = block.trimEnd().split("\n");
  return lines.map((line) => line.replace("node dist/cli/main.js ", "").split(" "));
}

test("two computers train together with the commands of the page", async (context) => {
  context.after(() => {
    for (const { space } of computers) ip(`netns delete ${space}`);
  });
  connectComputers();
  const place = await makePlace(context);
  const members = computers.flatMap(({ title, space }) => {
    const commands = commandsBelow(title);
    assert.ok(commands.length > 0, title);
    const through = ["ip", "netns", "exec", space];
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

/**
 * Behaviour to be read: each file of test/transcripts holds commands ("> ...") and, indented by two
 * spaces, all that the machines said in reply, with prose between. PACELINE_REWRITE_TRANSCRIPTS=1
 * writes the replies anew, to be reviewed as a difference.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ClusterScene } from "./testing/transcript-cluster.js";
import { ShardScene } from "./testing/transcript-shard.js";

function transcripts(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "ARCHITECTURE.md"))) folder = dirname(folder);
  return join(folder, "test", "transcripts");
}

/** The transcript as it is when its commands are carried out. */
function played(text: string): string {
  const [first] = text.split("\n").filter((line) => line.startsWith("> "));
  const scene = first?.startsWith("> cluster") === true ? new ClusterScene() : new ShardScene();
  const kept = text.split("\n").filter((line) => !line.startsWith("  "));
  const lines = kept.flatMap((line) => {
    if (!line.startsWith("> ")) return [line];
    return [line, ...scene.run(line.slice(2).split(" ")).map((reply) => `  ${reply}`)];
  });
  return lines.join("\n");
}

const folder = transcripts();

for (const name of readdirSync(folder).filter((file) => file.endsWith(".txt"))) {
  test(`the machines say what ${name} has them say`, () => {
    const path = join(folder, name);
    const text = readFileSync(path, "utf8");
    const found = played(text);
    if (process.env.PACELINE_REWRITE_TRANSCRIPTS === "1") writeFileSync(path, found);
    else assert.equal(found, text);
    assert.match(found, /\n {2}\S/, "something is said in reply");
  });
}

test("there is a transcript of each protocol, of a lost worker and of an interrupt", () => {
  const names = readdirSync(folder);
  for (const about of ["bsp", "ssp", "asp", "lost", "interrupt", "batch"]) {
    assert.ok(
      names.some((name) => name.includes(about)),
      about,
    );
  }
});

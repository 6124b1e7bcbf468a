import assert from "node:assert/strict";
import { test } from "node:test";
import { type ChunkHeader, emptyHeader } from "../../protocol/messages.js";
import { EarlyMessages, earlyMax } from "./early-messages.js";

const about = (kind: ChunkHeader["kind"], chunk: number, incarnation: number) =>
  ({ ...emptyHeader, kind, chunk, incarnation }) as const;

test("there is room for what workers and other servers send before their view", () => {
  const spec = { workersMax: 1, servers: 2, serversMax: 3 };
  const early = new EarlyMessages(earlyMax(spec, 2));
  const came = [0, 1].flatMap((chunk) => [
    ...[7, 8, 9].map(
      (server) => ({ type: "follow", header: about("follow", chunk, server) }) as const,
    ),
    { type: "push", header: about("push", chunk, 1) } as const,
    { type: "pull", header: about("pull", chunk, 1) } as const,
  ]);
  const watches = [7, 8, 9].map((server) => {
    return { type: "watch", header: about("watch", 0, server) } as const;
  });
  for (const message of [...came, ...watches]) assert.ok(early.keep(message).kept);
  const again = early.keep(came[0]!);
  assert.equal(again.replaced, came[0], "the same asked again takes its own place");
  assert.equal(early.keep({ type: "push", header: about("push", 0, 99) }).kept, false);
});

/** Calls about jobs and what is asked of a run while it is on, over every transport. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { jobRecords } from "../protocol/run-events.js";
import { kinds } from "./testing/kinds.js";
import { Coordinator } from "./testing/recording.js";

for (const kind of kinds) {
  describe(`jobs by the ${kind.name} transport`, () => {
    test("are shown, cancelled and followed by name", async (context) => {
      const { server, client } = kind.create();
      const listener = await server.serveCoordinator(kind.listenAddress, new Coordinator());
      const { address } = listener;
      context.after(async () => {
        await client.close();
        await listener.close();
        await server.close();
      });
      assert.deepEqual(await client.jobs(address, "x"), [{ id: 1, name: "first", job: "x" }]);
      const missing = { code: "refused", message: /there is no job 7/ };
      await assert.rejects(async () => client.jobs(address, "7"), missing);
      assert.equal(await client.cancelJob(address, "x"), "job x is cancelled");
      for (const [from, isOver] of [
        [0, false],
        [13, true],
      ] as const) {
        const part = await client.jobEvents(address, { job: "x", from, record: null });
        assert.deepEqual(part, { text: '{"job":"x"}\n', next: from + 13, isOver });
      }
      for (const record of jobRecords) {
        const { text } = await client.jobEvents(address, { job: "x", from: 0, record });
        assert.equal(text, `{"job":"x","record":"${record}"}\n`);
      }
      const protocol = { mode: "ssp", staleness: 3 };
      assert.equal(await client.switchTo(address, { protocol, run: "x" }), "x goes to ssp 3");
      const again = client.switchTo(address, { protocol: { mode: "bsp" }, run: "" });
      await assert.rejects(again, { code: "refused", message: /it is bsp already/ });
    });
  });
}

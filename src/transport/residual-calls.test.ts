/** Residuals travel in calls of their own, over every transport. */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { kinds } from "./testing/kinds.js";
import { Coordinator } from "./testing/recording.js";

const place = { run: "run-1", rank: 2, incarnation: 41, chunk: 7 } as const;

for (const kind of kinds) {
  describe(`residuals by the ${kind.name} transport`, () => {
    async function coordinate(context: TestContext) {
      const { server, client } = kind.create();
      const coordinator = new Coordinator();
      const listener = await server.serveCoordinator(kind.listenAddress, coordinator);
      context.after(async () => {
        await client.close();
        await listener.close();
        await server.close();
      });
      return { coordinator, client, server, listener, address: listener.address };
    }

    test("arrive as they were given, and are given back so", async (context) => {
      const { coordinator, client, address } = await coordinate(context);
      const bytes = Uint8Array.from({ length: 2 ** 20 }, (_, index) => (index * 7) % 251);
      for (const [chunk, values] of [
        [7, bytes],
        [8, bytes.subarray(4, 12)],
        [7, bytes],
      ] as const) {
        await client.keepResidual(address, { ...place, chunk, barrier: 3, values });
        assert.ok(Buffer.from(values).equals(coordinator.residuals.get(chunk)!));
        const read = await client.readResidual(address, { ...place, chunk });
        assert.ok(Buffer.from(values).equals(read));
      }
      assert.equal(coordinator.residuals.size, 2);
    });

    test("that are not wanted, or not there, are refused with the reason", async (context) => {
      const { client, address } = await coordinate(context);
      const asked = client.keepResidual(address, {
        ...place,
        barrier: 4,
        values: new Uint8Array(8),
      });
      await assert.rejects(asked, { code: "refused", message: /barrier 4 is not being taken/ });
      const none = { code: "refused", message: /no residuals of worker 2/ };
      await assert.rejects(client.readResidual(address, place), none);
    });

    test("can't be given where nobody listens, and can once somebody is back", async (context) => {
      const { client, server, listener, address } = await coordinate(context);
      const residual = { ...place, barrier: 3, values: new Uint8Array(8) };
      await client.keepResidual(address, residual);
      await listener.close();
      await assert.rejects(client.keepResidual(address, residual), { code: "unavailable" });
      const back = await server.serveCoordinator(address, new Coordinator());
      context.after(() => back.close());
      await client.keepResidual(address, residual);
    });
  });
}

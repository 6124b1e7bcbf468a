/**
 * Twenty switches between ways to keep pace in one run of real processes, while ten servers are
 * killed: no example is lost or used twice. `make test-long` runs it; it takes a minute or two.
 */
import { test } from "node:test";
import { makePlace } from "./run-paceline.js";
import { trainSwitching } from "./switched-run.js";

test("twenty switches under ten kills of servers lose nothing", async (context) => {
  const place = await makePlace(context, { train: 120 });
  const round = ["asp", "ssp", "bsp", "ssp", "bsp"];
  const modes = [...round, ...round, ...round, ...round];
  await trainSwitching(place, modes, (switches) => (switches % 2 === 1 ? null : switches % 3));
});

/** Signals that meet the coordinator's process before it takes any. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { OptionKey } from "../options/options.js";
import { resolve } from "../options/resolve.js";
import { lives } from "../store/process-life.js";
import { CoordinatorChild } from "./coordinator-child.js";

/** A run that can't begin, as its data set is not there. */
const flags = new Map<OptionKey, string>([
  ["model", "mlp"],
  ["data", "nowhere"],
]);
const { options } = resolve("train", { flags, environment: {} });
const listener = { onPrepared: () => assert.fail("nothing is prepared"), onFault: () => {} };

function carryOut(child: CoordinatorChild): { told: string[]; ended: Promise<number> } {
  const told: string[] = [];
  const sink = { write: (text: string) => told.push(text) };
  const io = {
    ...{ stdout: sink, stderr: sink, color: false, isTerminal: false },
    ...{ environment: {}, version: "", configText: "", readConfig: () => options },
  };
  return { told, ended: child.carryOut(options, io, listener) };
}

for (const isGone of [false, true]) {
  const when = isGone ? "before a run is carried out" : "while it loads";
  const signalled = async (signal: NodeJS.Signals) => {
    const child = new CoordinatorChild(process.env);
    process.kill(child.pid, signal);
    // A process that has ended is there until its parent has heard of it.
    while (isGone && lives(child.pid)) await sleep(1);
    return { child, ...carryOut(child) };
  };

  test(`a signal to stop that meets it ${when} ends the command with its own code`, async () => {
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      const { child, told, ended } = await signalled(signal);
      assert.equal(await ended, code);
      assert.deepEqual(told, [`${signal}: the run ends before it has begun\n`]);
      await child.close();
    }
  });

  test(`one that is killed ${when} is an error with what to do`, async () => {
    const { child, ended } = await signalled("SIGKILL");
    await assert.rejects(ended, {
      code: "member_lost",
      message: /ended with SIGKILL: the run is over; it left no checkpoint, start it again$/,
    });
    await child.close();
  });

  test(`a hang-up that meets it ${when} ends nothing`, async () => {
    const { child, ended } = await signalled("SIGHUP");
    // Another process has looked at the options.
    await assert.rejects(ended, { code: "usage", message: /data set "nowhere" is unknown/ });
    await child.close();
  });
}

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { InjectedFault } from "../protocol/injected-fault.js";
import { type FaultPicture, InjectedFaults } from "./injected-faults.js";

type PictureMember = FaultPicture["members"][number];

const server = (rank: number, incarnation = rank): PictureMember => ({
  ...{ role: "server", rank, incarnation, pid: 100 + incarnation, inView: true, worker: null },
});
const worker = (rank: number, clock: number, inView = true): PictureMember => ({
  ...{ role: "worker", rank, incarnation: 50 + rank, pid: 200 + rank, inView },
  worker: { clock } as PictureMember["worker"],
});

function picture(globalSteps: number, ...members: readonly PictureMember[]): FaultPicture {
  return { phase: "training", globalSteps, members };
}

const killServer: InjectedFault = { kind: "kill", role: "server", rank: 1, at: 5 };
const pauseWorker: InjectedFault = { kind: "pause", role: "worker", rank: 0, at: 7, forMs: 3000 };

function dueOf(faults: InjectedFaults, seen: FaultPicture): InjectedFault[] {
  return faults.due(seen).map(({ fault }) => fault);
}

describe("injected faults", () => {
  test("are due once, when anybody has told of their step", () => {
    const faults = new InjectedFaults([pauseWorker, killServer]);
    assert.deepEqual(dueOf(faults, picture(4, server(1), worker(0, 4))), []);
    assert.deepEqual(dueOf(faults, picture(4, server(1), worker(0, 5))), [killServer]);
    const [paused, ...others] = faults.due(picture(8, server(1), worker(0, 6)));
    assert.deepEqual([paused?.fault, others], [pauseWorker, []]);
    const text = "worker-0 (pid 200) suffers pause:worker=0,at=7,for=3s at step 8";
    assert.equal(paused?.text, text);
    assert.deepEqual(dueOf(faults, picture(99, server(1, 9), worker(0, 99))), []);
    assert.deepEqual(faults.left, []);
  });

  test("wait for training, and for a member that is not there or not in the view", () => {
    const faults = new InjectedFaults([killServer, pauseWorker]);
    const whole = picture(9, server(1), worker(0, 9));
    assert.deepEqual(dueOf(faults, { ...whole, phase: "preparing" }), []);
    assert.deepEqual(dueOf(faults, picture(9, server(0), worker(0, 9, false))), []);
    assert.deepEqual(dueOf(faults, whole), [killServer, pauseWorker]);
  });

  test("kill the same member again only when it is back", () => {
    const faults = new InjectedFaults([killServer, { ...killServer, at: 6 }]);
    assert.deepEqual(dueOf(faults, picture(6, server(1, 1))), [killServer]);
    assert.deepEqual(dueOf(faults, picture(7, server(1, 1))), [], "it has not been missed yet");
    assert.equal(faults.left.length, 1);
    assert.deepEqual(dueOf(faults, picture(8, server(1, 2))), [{ ...killServer, at: 6 }]);
  });
});

/**
 * Thousands of callers that nobody knows, beside a run with certificates: it ends in the bits of
 * one that was left alone, and the memory of who was called stays bounded.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectSecurely } from "node:tls";
import { encodeGreeting } from "../dist/transport/wire/frame-codec.js";
import { isAlive, makePlace, until } from "./run-paceline.js";

const connections = 5000;
/** So many are under way at a time: a process may have so many sockets and more. */
const atOnce = 500;
const residentMaxMiB = 600;
const work = [
  ...["train", "--model", "logistic", "--data", "mnist-parity", "--batch-size", "4"],
  ...["-w", "2", "-s", "2", "--transport", "tcp", "--eval-every", "none", "--epochs", "120"],
];

/** What a stranger does with a connection. */
const manners: readonly ((socket: Socket, port: number) => void)[] = [
  () => {},
  (socket) => void socket.write(randomBytes(3000)),
  (socket) => void socket.write(Buffer.of(0x16)),
  (socket) => void socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  (socket) => void socket.write(Buffer.concat([encodeGreeting(), randomBytes(500)])),
  (socket) => void socket.pause(),
  (socket) => void connectSecurely({ socket, rejectUnauthorized: false }).on("error", () => {}),
];

/** MiB of memory that a process holds; 0 once it has ended. */
async function residentMiB(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) / 1024;
}

test("5,000 strangers change no bit of a run, and take no memory", async (context) => {
  const place = await makePlace(context);
  assert.equal((await place.call(["certs", "init", "--out", place.path("certs")])).exitCode, 0);
  const alone = await place.run([...work, "--name", "alone"]);
  assert.equal(alone.exitCode, 0, alone.err);
  const command = place.start([...work, "--tls", "certs", "--name", "beside"]);
  const members = [
    await place.member("beside", "coordinator", 0),
    await place.member("beside", "server", 0),
    await place.member("beside", "server", 1),
  ];
  let made = 0;
  let open = 0;
  let peakMiB = 0;
  let madeBesideIt = 0;
  const call = (): void => {
    const port = Number(members[made % members.length]!.address.split(":").at(-1));
    const socket = connect({ port, host: "127.0.0.1" });
    const manner = manners[made % manners.length]!;
    made += 1;
    if (!command.isOver) madeBesideIt = made;
    open += 1;
    socket.on("error", () => {});
    socket.on("close", () => {
      open -= 1;
    });
    socket.on("connect", () => manner(socket, port));
    setTimeout(() => socket.destroy(), 3000).unref();
  };
  await until(
    "the end of all strangers",
    async () => {
      while (made < connections && open < atOnce) call();
      for (const { pid } of members) peakMiB = Math.max(peakMiB, await residentMiB(pid));
      return made === connections && open === 0;
    },
    300_000,
  );
  assert.ok(members.every(({ pid }) => command.isOver || isAlive(pid)));
  const { exitCode } = await command.end(300_000);
  assert.equal(exitCode, 0, command.told());
  assert.equal(await place.weights("beside"), await place.weights("alone"));
  assert.ok(madeBesideIt > connections / 2, `the run ended beside ${madeBesideIt} strangers`);
  assert.ok(peakMiB < residentMaxMiB, `${peakMiB.toFixed(0)} MiB`);
  context.diagnostic(
    `${madeBesideIt} strangers beside the run, at most ${peakMiB.toFixed(0)} MiB a process`,
  );
});

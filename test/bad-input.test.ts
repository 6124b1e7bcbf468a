import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, rm, truncate, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { protocolVersion, type RegisterRequest } from "../dist/protocol/messages.js";
import { createGrpcTransport } from "../dist/transport/grpc/grpc-transport.js";
import { type Ended, freePort, makePlace, type Place, until } from "./run-paceline.js";

const logistic = ["--model", "logistic", "--data", "mnist-parity", "--eval-every", "none"];

/** The command fails with this code and sentence, soon, and leaves neither process nor file. */
async function fails(
  place: Place,
  words: readonly string[],
  exitCode: number,
  pattern: RegExp,
): Promise<void> {
  const command = place.start(words);
  judge(await command.end(30_000), words, exitCode, pattern);
  assert.deepEqual(await place.leftovers(), [], words.join(" "));
  assert.deepEqual(
    (await place.files()).filter((name) => /tmp|checkpoints/.test(name)),
    [],
  );
}

function judge(ended: Ended, words: readonly string[], exitCode: number, pattern: RegExp): void {
  assert.equal(ended.exitCode, exitCode, `${words.join(" ")}: ${ended.err}`);
  const sentence = ended.err.trimEnd().split("\n").at(-1)!;
  assert.match(sentence, pattern);
  assert.doesNotMatch(ended.err, /^ {4}at /m, "no stack trace");
  assert.equal(ended.out, "");
}

test("what is plainly wrong is refused with 2 before anything is made", async (context) => {
  const place = await makePlace(context);
  const table: readonly [string, RegExp][] = [
    ["train --model resnet --data mnist", /--model.*resnet.*mlp.*logistic/],
    [
      "train --model mlp --data mnits",
      /"mnits" is unknown \(did you mean mnist\?\).*mnist-parity.*put your own in/,
    ],
    ["train --model mlp --data ../mnist", /--data \.\.\/mnist is not a plain name/],
    ["train --model mlp --data mnist --mode sometimes", /--mode.*sometimes.*bsp/],
    ["train --model mlp --data mnist --epoch 3", /no option --epoch \(did you mean --epochs\?\)/],
    ["train --model mlp --data mnist -w 0", /--workers.*0.*1.*1024/],
    ["train --model mlp --data mnist -w 1025", /--workers.*1025.*1024/],
    ["train --model mlp --data mnist -w 8:2", /--workers.*8:2/],
    ["train --model mlp --data mnist -s 257", /--servers.*257.*256/],
    ["train --model mlp --data mnist --batch-size 129", /--batch-size 129.*slice of 128.*write/],
    ["train --model mlp --data mnist --lr fast", /--lr.*fast/],
    ["train --model mlp --data mnist --name ../up", /--name.*\.\.\/up/],
    ["train --model logistic --data mnist", /logistic.*mnist/],
    ["train nowhere.yaml", /nowhere\.yaml/],
    ["train --model mlp --data mnist --resume nowhere", /nowhere/],
    ["coordinator --model mlp --data mnist --host 0.0.0.0", /--host 0\.0\.0\.0.*--insecure/],
    ["server --coordinator 127.0.0.1:1 --host 0.0.0.0 --insecure", /0\.0\.0\.0.*--advertise/],
    ["worker", /--coordinator 127\.0\.0\.1:8000/],
    ["server --coordinator http://here", /--coordinator.*here.*host:port/],
    ["wrok", /no command wrok; see paceline --help/],
  ];
  for (const [text, pattern] of table) {
    const exitCode = text.includes("--resume") ? 6 : 2;
    const words = text.split(" ");
    judge(await place.call(words), words, exitCode, pattern);
    assert.deepEqual(await place.files(), [], text);
    assert.deepEqual(await place.leftovers(), [], text);
  }
  // As a process it ends no other way.
  await fails(place, ["train", "--model", "mlp", "--data", "mnits"], 2, /did you mean mnist\?/);
  assert.deepEqual(await place.files(), []);
});

test("cut, garbled or incomplete data ends with 7 and the file's name", async (context) => {
  const place = await makePlace(context);
  const images = place.path("data", "mnist", "train-images-idx3-ubyte");
  const words = ["train", ...logistic, "--name", "run"];
  const refused = async (pattern: RegExp) => judge(await place.call(words), words, 7, pattern);
  await truncate(images);
  await fails(place, words, 7, /train-images-idx3-ubyte.*10000|train-images-idx3-ubyte.*bytes/);
  const file = await open(images, "r+");
  await file.write(Buffer.from("not an IDX file"), 0, 15, 0);
  await file.close();
  await refused(/train-images-idx3-ubyte/);
  await writeFile(`${images}.gz`, "no gzip");
  await rm(images);
  await refused(/train-images-idx3-ubyte\.gz/);
  await rm(`${images}.gz`);
  await refused(/lacks train-images-idx3-ubyte/);
  assert.deepEqual(await place.files(), []);
  assert.deepEqual(await place.leftovers(), []);
});

test("a checkpoint that is broken or of another model ends with 6", async (context) => {
  const place = await makePlace(context);
  const words = ["-w", "1", "--epochs", "1"];
  const made = await place.run(["train", ...logistic, ...words, "--name", "made"]);
  assert.equal(made.exitCode, 0, made.err);
  const again = ["train", ...logistic, ...words, "--resume", "made"];
  const [last] = await place.checkpoints("made");
  const folder = place.path("runs", "made", "checkpoints", last!);
  const before = await place.files();
  const refused = async (command: readonly string[], pattern: RegExp) => {
    const ended = await place.call(command);
    assert.equal(ended.exitCode, 6, ended.err);
    assert.match(ended.err, pattern);
    assert.deepEqual(await place.files(), before);
  };
  const mlp = ["train", "--model", "mlp", "--data", "mnist", ...words, "--resume", "made"];
  await refused(mlp, /logistic.*mlp|mlp.*logistic/);
  await refused([...again, "--batch-size", "32"], /--batch-size 64 .*32/);
  await truncate(`${folder}/model.safetensors`, 100);
  await refused(again, /model\.safetensors/);
});

/** A listener that never says a word; it goes when the test is over. */
async function silentListener(context: TestContext): Promise<{ server: Server; port: number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

test("a port in use is named with the remedy", async (context) => {
  const place = await makePlace(context);
  const { port } = await silentListener(context);
  const pattern = new RegExp(`port ${port} on 127\\.0\\.0\\.1 is in use.*--port`);
  const words = [...logistic, "--port", `${port}`, "--name", "run"];
  await fails(place, ["train", ...words], 2, pattern);
  await fails(place, ["coordinator", ...words], 2, pattern);
  const server = ["server", "--coordinator", "127.0.0.1:1", "--port", `${port}`];
  await fails(place, server, 2, pattern);
});

test("a coordinator that is absent or mute is given up within the time-out", async (context) => {
  const place = await makePlace(context);
  const nobody = `127.0.0.1:${await freePort()}`;
  const { port } = await silentListener(context);
  for (const address of [nobody, `127.0.0.1:${port}`]) {
    const reach = ["--coordinator", address, "--io-timeout", "1s"];
    const pattern = new RegExp(address);
    for (const words of [
      ["status", ...reach],
      ["submit", ...logistic, ...reach],
    ]) {
      judge(await place.call(words), words, 1, pattern);
    }
    // Without the limit it would take a minute, the default.
    const roles = ["worker", "server"].map(async (role) => {
      const words = [role, ...reach, "--start-timeout", "2s"];
      judge(await place.start(words).end(30_000), words, 1, pattern);
    });
    await Promise.all(roles);
    assert.deepEqual(await place.leftovers(), []);
  }
});

/**
 * A port whose queue of connections is full, with nobody who takes one: what comes is neither taken
 * nor refused, as behind a firewall that drops packets.
 */
async function fullPort(context: TestContext): Promise<number> {
  const script =
    'const server = require("node:net").createServer();' +
    'server.listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {' +
    '  process.stdout.write(server.address().port + "\\n", () => {' +
    '    process.kill(process.pid, "SIGSTOP");' +
    "  });" +
    "});";
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  context.after(() => child.kill("SIGKILL"));
  const [told] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(told.toString());
  let taken = 0;
  const sockets = Array.from({ length: 16 }, () => {
    const socket = connect(port, "127.0.0.1", () => (taken += 1));
    return socket.on("error", () => {});
  });
  context.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await until("the queue is full", () => taken >= 2);
  return port;
}

test("a coordinator whose host drops what is sent is given up", async (context) => {
  const place = await makePlace(context);
  const address = `127.0.0.1:${await fullPort(context)}`;
  const reach = ["--coordinator", address, "--io-timeout", "1s"];
  const pattern = new RegExp(`${address} (did not answer in time|can't be reached)`);
  const commands = [
    ["status", ...reach],
    ["worker", ...reach, "--start-timeout", "2s"],
    ["server", ...reach, "--start-timeout", "2s"],
  ];
  // A connection that is being tried would keep a process for two minutes.
  const ends = commands.map(async (words) => {
    judge(await place.start(words).end(30_000), words, 1, pattern);
  });
  await Promise.all(ends);
});

test("numbers that no member can compute in end train with 2 and the remedy", async (context) => {
  const place = await makePlace(context);
  const words = [...logistic, "-w", "2", "--name", "run", "--dtype", "bf16!"];
  const { exitCode, err } = await place.run(["train", ...words, "--engine", "synthetic"]);
  assert.equal(exitCode, 2, err);
  assert.match(err, /worker-\d: --dtype bf16! can't be kept: .*; write --dtype bf16 or f32/);
  assert.equal((await place.result("run")).paceline.exitCode, 2);
  assert.deepEqual(await place.leftovers(), []);
});

test("a cluster that does not form ends with 3, saying who is missing", async (context) => {
  const place = await makePlace(context);
  const words = [...logistic, "-w", "2", "-s", "1", "--name", "run", "--start-timeout", "1s"];
  const ended = await place.run(["coordinator", "--port", "0", ...words]);
  assert.equal(ended.exitCode, 3, ended.err);
  const counts = /0 of 1 servers and 0 of 2 workers have come: .*--start-timeout/;
  assert.match(ended.err, counts);
});

test("a loss that is not finite ends with 5, naming step and worker", async (context) => {
  const place = await makePlace(context);
  const words = ["--model", "mlp", "--data", "mnist", "--lr", "1e6", "--name", "run"];
  const command = place.start(["train", ...words, "-w", "2", "-s", "2", "--batch-size", "8"]);
  const ended = await command.end();
  assert.equal(ended.exitCode, 5, command.told());
  assert.match(ended.err, /at step \d+ on worker \d: lower --lr/);
  assert.equal((await place.result("run")).paceline.exitCode, 5);
  assert.deepEqual(await place.checkpoints("run"), []);
  assert.deepEqual(await place.leftovers(), []);
});

test("strangers, old versions and other models do not disturb a run", async (context) => {
  const place = await makePlace(context);
  const words = [...logistic, "-w", "2", "-s", "1", "--epochs", "1", "--name", "run"];
  const coordinator = place.start(["coordinator", "--port", "0", ...words, "--lease", "1s"]);
  const [, address] = await coordinator.waitFor(/coordinator listens on (\S+:\d+)/);
  const transport = createGrpcTransport({ ioTimeoutMs: 5000 });
  context.after(() => transport.close());
  const port = Number(address!.split(":")[1]);
  for (const word of ["", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage"]) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(word);
    context.after(() => socket.destroy());
  }
  const request: RegisterRequest = {
    protocol: protocolVersion,
    role: "worker",
    rank: null,
    incarnation: null,
    pid: process.pid,
    host: "elsewhere",
    address: "",
    frames: null,
    attempt: "",
  };
  const old = await transport.register(address!, { ...request, protocol: protocolVersion + 1 });
  assert.ok(!old.accepted);
  assert.equal(old.code, "protocol");
  const versions = `speaks protocol ${protocolVersion + 1}, the coordinator ${protocolVersion}`;
  assert.ok(old.reason.includes(`${versions}: run the same version`), old.reason);

  const mute = await transport.register(address!, { ...request, rank: 0 });
  assert.ok(mute.accepted);
  await coordinator.waitFor(/^worker-0 .*(silent|never|no word|lost)/m);

  const other = await transport.register(address!, { ...request, rank: 1 });
  assert.ok(other.accepted);
  const { incarnation, rank } = other;
  const stops: string[] = [];
  const session = transport.openSession(
    address!,
    { role: "worker", rank, incarnation },
    {
      onMessage(message) {
        if (message.type === "stop") stops.push(message.reason);
        if (message.type !== "prepare") return;
        const tensors = [{ name: "fc_weights", shape: [3], group: "weight" }] as const;
        const { run } = message.spec;
        session.send({ type: "ready", run, tensors, engine: "", algorithms: [] });
      },
      onClose() {},
    },
  );
  const body = { activity: "", server: null, worker: null, reach: [] };
  session.send({ type: "heartbeat", sequence: 1, received: 0, term: 0, ...body });
  await until("the coordinator stops the other model", () => stops.length > 0);
  assert.match(stops[0]!, /worker-1's model is not the run's logistic: .*fc_weights.*same version/);
  session.close();

  const reach = ["--coordinator", address!];
  const members = [
    place.start(["server", ...reach]),
    place.start(["worker", ...reach]),
    place.start(["worker", ...reach]),
  ];
  for (const command of [coordinator, ...members]) {
    assert.equal((await command.end()).exitCode, 0, command.told());
  }
});

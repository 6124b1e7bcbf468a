import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PacelineError } from "../../errors.js";
import { aroundFiles, type Files, readWhole, writeTextAtomically } from "../files.js";
import { JsonLinesWriter, readJsonLines } from "../runs/json-lines.js";
import { openRunDirectory } from "../runs/run-directory.js";
import { SampleBucket } from "../testing/sample-bucket.js";
import { Bucket } from "./s3-bucket.js";
import { connectToS3 } from "./s3-connection.js";
import { s3Files } from "./s3-files.js";

const kept = { ...process.env };
const root = "s3://some-bucket/runs";
const object = { Bucket: "some-bucket", Key: "some-key" };
let bucket: SampleBucket;
let files: Files;

before(() => {
  for (const name of Object.keys(process.env)) if (/^AWS_/.test(name)) delete process.env[name];
  process.env.AWS_EC2_METADATA_DISABLED = "true";
  process.env.AWS_CONFIG_FILE = join(tmpdir(), "paceline-no-such-file");
  process.env.AWS_SHARED_CREDENTIALS_FILE = process.env.AWS_CONFIG_FILE;
  process.env.AWS_ACCESS_KEY_ID = "id";
  process.env.AWS_SECRET_ACCESS_KEY = "secret";
});
after(() => {
  process.env = kept;
});
beforeEach(async () => {
  bucket = await SampleBucket.start();
  process.env.AWS_ENDPOINT_URL = bucket.url;
  files = s3Files();
});
afterEach(() => bucket.close());

async function write(path: string, ...pieces: readonly Uint8Array[]): Promise<void> {
  const file = await files.create(path);
  for (const piece of pieces) await file.write(piece);
  await file.sync();
  await file.close();
}

describe("files in a bucket", () => {
  test("are written, read, listed page by page, renamed and removed", async () => {
    assert.equal(await files.list(root), null);
    await files.makeFolder(root);
    assert.deepEqual(await files.list(root), []);
    for (const name of ["a", "b", "c", "d/e", "d/f/g"]) {
      await write(join(root, name), Buffer.from(name));
    }
    assert.deepEqual(await files.list(root), ["a", "b", "c", "d"]);
    assert.deepEqual(await files.list(`${root}/d`), ["e", "f"]);
    assert.equal(String(await readWhole(files, `${root}/d/f/g`, 100)), "d/f/g");
    await files.rename(`${root}/a`, `${root}/z`);
    await files.rename(`${root}/d`, `${root}/y`);
    assert.deepEqual(await files.list(root), ["b", "c", "y", "z"]);
    assert.equal(bucket.text("some-bucket/runs/y/f/g"), "d/f/g");
    await files.remove(`${root}/y`);
    await files.remove(`${root}/b`);
    await files.remove(`${root}/never`);
    assert.deepEqual(await files.list(root), ["c", "z"]);
  });

  test("a folder is moved with its manifest last", async () => {
    for (const name of ["manifest.json", "model", "optimizer"]) {
      await write(`${root}/aside/${name}`, Buffer.from(name));
    }
    bucket.requests.length = 0;
    await files.rename(`${root}/aside`, `${root}/step-1`);
    const written = bucket.requests.filter((one) => one.startsWith("PUT"));
    assert.equal(written.at(-1), "PUT some-bucket/runs/step-1/manifest.json");
    const removed = bucket.requests.filter((one) => one.startsWith("DELETE"));
    assert.equal(removed[0], "DELETE some-bucket/runs/aside/manifest.json");
    assert.deepEqual(await files.list(root), ["step-1"]);
  });

  test("what must not exist is made once", async () => {
    const claims = await Promise.all(
      Array.from({ length: 5 }, (_, index) => files.claimFile(`${root}/lock`, `${index}`)),
    );
    assert.equal(claims.filter((one) => one).length, 1);
    assert.equal(await files.claimFolder(`${root}/run`), true);
    assert.equal(await files.claimFolder(`${root}/run`), false);
    await write(`${root}/other/file`, Buffer.from("x"));
    assert.equal(await files.claimFolder(`${root}/other`), false);
  });

  test("what was made is ours, where the answer to its making is lost", async () => {
    for (const claim of [
      () => files.claimFile(`${root}/lock`, "ours"),
      () => files.claimFolder(`${root}/run`),
    ]) {
      let losses = 1;
      bucket.losesAnswer = ({ method }) => method === "PUT" && losses-- > 0;
      assert.equal(await claim(), true);
      assert.equal(losses, -1, "it was sent again");
      assert.equal(await claim(), false);
    }
    assert.equal(bucket.text("some-bucket/runs/lock"), "ours");
  });

  test("a large file goes up in parts and grows without being sent again", async () => {
    const mebibyte = 1024 * 1024;
    const pieces = Array.from({ length: 21 }, () => randomBytes(mebibyte));
    await write(`${root}/large`, ...pieces);
    const whole = Buffer.concat(pieces);
    assert.ok(bucket.objects.get("some-bucket/runs/large")!.equals(whole));
    const file = await files.append(`${root}/large`, whole.length - 5);
    for (const piece of [randomBytes(3), randomBytes(2 * mebibyte)]) {
      await file.write(piece);
      await file.sync();
    }
    await file.close();
    const found = bucket.objects.get("some-bucket/runs/large")!;
    assert.equal(found.length, whole.length - 5 + 3 + 2 * mebibyte);
    assert.ok(found.subarray(0, whole.length - 5).equals(whole.subarray(0, whole.length - 5)));
    const tail = await readWhole(files, `${root}/large`, 64 * mebibyte);
    assert.ok(tail.equals(found));
  });

  describe("an upload in parts that no object comes of is given up", () => {
    const mebibyte = 1024 * 1024;
    /** Writes more than a part, with the answer of `fails` where it gives one. */
    const begun = async (fails: SampleBucket["interfere"] = () => null) => {
      const file = await files.create(`${root}/large`);
      await file.write(randomBytes(9 * mebibyte));
      assert.deepEqual(bucket.uploads, ["some-bucket/runs/large"]);
      bucket.interfere = fails;
      return file;
    };
    const refused = { status: 403, body: "" };

    test("when the file is closed before it is whole", async () => {
      const file = await begun();
      await file.close();
      assert.deepEqual([bucket.uploads, bucket.objects.size], [[], 0]);
    });

    for (const [what, method] of [
      ["a part can't be sent", "PUT"],
      ["the parts can't be put together", "POST"],
    ] as const) {
      test(`when ${what}`, async () => {
        const file = await begun((asked) => (asked.method === method ? refused : null));
        await assert.rejects(file.sync(), { code: "storage" });
        assert.deepEqual(bucket.uploads, ["some-bucket/runs/large"], "another try may follow");
        await file.close();
        assert.deepEqual(bucket.uploads, []);
      });
    }

    test("when what is to be added to can't be copied into it", async () => {
      await write(`${root}/large`, randomBytes(9 * mebibyte));
      const file = await files.append(`${root}/large`, 9 * mebibyte);
      bucket.interfere = ({ method, query }) =>
        method === "PUT" && query.has("partNumber") ? refused : null;
      await file.write(randomBytes(1));
      await assert.rejects(file.sync(), { code: "storage" });
      await assert.rejects(file.sync(), { code: "storage" });
      assert.equal(bucket.uploads.length, 1, "the second try is of the same upload");
      await assert.rejects(file.close(), { code: "storage" });
      assert.deepEqual(bucket.uploads, []);
    });

    test("when its name is removed, where the process that began it was killed", async () => {
      await begun();
      for (const name of ["step-1/model", "step-1/optimizer", "step-10/model"]) {
        const file = await files.create(`${root}/${name}`);
        await file.write(randomBytes(9 * mebibyte));
      }
      await files.remove(`${root}/step-1`);
      const left = ["some-bucket/runs/large", "some-bucket/runs/step-10/model"];
      assert.deepEqual(bucket.uploads, left);
      bucket.interfere = ({ query }) => (query.has("uploads") ? refused : null);
      await files.remove(`${root}/step-10`);
      assert.deepEqual(bucket.uploads, left, "who may not list them removes the objects alone");
    });
  });

  test("a large file takes what is added after a try that failed", async () => {
    const mebibyte = 1024 * 1024;
    const pieces = [9, 1, 9, 2].map((size) => randomBytes(size * mebibyte));
    const file = await files.create(`${root}/large`);
    let fails = true;
    bucket.interfere = ({ method, query }) =>
      fails && method === "POST" && query.has("uploadId") ? { status: 403, body: "" } : null;
    for (const piece of pieces) {
      await file.write(piece);
      if (fails) await assert.rejects(file.sync(), { code: "storage" });
      else await file.sync();
      fails = false;
    }
    await file.close();
    assert.ok(bucket.objects.get("some-bucket/runs/large")!.equals(Buffer.concat(pieces)));
    assert.deepEqual(bucket.uploads, []);
  });

  test("what is appended is sent without being asked for, behind what is kept", async () => {
    await write(`${root}/log`, Buffer.from("one\ntw"));
    const file = await files.append(`${root}/log`, 4);
    await file.write(Buffer.from("three\n"));
    while (bucket.text("some-bucket/runs/log") !== "one\nthree\n") await sleep(20);
    await file.write(Buffer.from("four\n"));
    await file.close();
    assert.equal(bucket.text("some-bucket/runs/log"), "one\nthree\nfour\n");
  });

  test("of two that write one file the second to send is refused", async () => {
    await write(`${root}/log`, Buffer.from("old\n"));
    const sleeper = await files.append(`${root}/log`, 4);
    const next = await files.append(`${root}/log`, 4);
    await next.write(Buffer.from("new\n"));
    await next.close();
    await sleeper.write(Buffer.from("late\n"));
    await assert.rejects(sleeper.sync(), {
      code: "storage",
      message:
        "can't write s3://some-bucket/runs/log: another process has written it meanwhile: " +
        "let one write into a run's folder",
    });
    assert.equal(bucket.text("some-bucket/runs/log"), "old\nnew\n");
  });

  describe("lines of a run", () => {
    const path = `${root}/events.jsonl`;
    const text = () => bucket.text("some-bucket/runs/events.jsonl") ?? "";
    const numbers = () =>
      text()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line).n);
    const isWrite = ({ method, name }: { readonly method: string; readonly name: string }) =>
      /^(PUT|POST)$/.test(method) && name.endsWith("events.jsonl");
    let troubles: string[] = [];
    /** A writer, with so many bytes in its file before. */
    const opened = async (bytes = 0): Promise<JsonLinesWriter> => {
      const line = `${JSON.stringify({ n: 0, fill: "x".repeat(Math.max(0, bytes - 20)) })}\n`;
      await write(path, Buffer.from(line));
      const lines = await JsonLinesWriter.open(path, files);
      troubles = [];
      lines.onTrouble = ({ message }) => troubles.push(message);
      return lines;
    };
    const mebibyte = 1024 * 1024;

    for (const [what, bytes] of [
      ["a file that is sent whole", 0],
      ["one that S3 puts together", 9 * mebibyte],
    ] as const) {
      test(`outlast an S3 that is away for a moment: ${what}`, async () => {
        const lines = await opened(bytes);
        lines.append({ n: 1 });
        await lines.flush();
        let refusals = 0;
        bucket.interfere = (asked) => {
          if (!isWrite(asked)) return null;
          refusals += 1;
          return { status: 403, body: "" };
        };
        lines.append({ n: 2 });
        // The file has taken it, and sends it a second later.
        while (refusals === 0) await sleep(20);
        lines.append({ n: 3 });
        while (troubles.length === 0) await sleep(20);
        const lost = await lines.flush();
        assert.equal(lost?.lines, 2);
        bucket.interfere = () => null;
        lines.append({ n: 4 });
        while (!text().endsWith('{"n":4}\n')) await sleep(20);
        assert.equal(await lines.close(), null);
        assert.deepEqual(numbers(), [0, 1, 2, 3, 4]);
        assert.equal(troubles.length, 1);
        assert.deepEqual(bucket.uploads, []);
      });

      test(`are sent once where an answer is lost: ${what}`, async () => {
        const lines = await opened(bytes);
        // The second answer lost is of a request that the SDK has given up.
        for (const [n, losses] of [
          [1, 1],
          [2, 4],
          [3, 1],
        ] as const) {
          let left: number = losses;
          // An upload that was begun without a word is known to nobody.
          const isKnown = ({ query }: { query: URLSearchParams }) => !query.has("uploads");
          bucket.losesAnswer = (asked) => isWrite(asked) && isKnown(asked) && left-- > 0;
          lines.append({ n });
          await lines.flush();
        }
        bucket.losesAnswer = () => false;
        assert.equal(await lines.close(), null);
        assert.deepEqual(numbers(), [0, 1, 2, 3]);
        assert.deepEqual(bucket.uploads, []);
      });

      test(`are the first writer's alone: ${what}`, async () => {
        const first = await opened(bytes);
        const second = await JsonLinesWriter.open(path, files);
        first.append({ n: 1 });
        assert.equal(await first.flush(), null);
        for (const n of [-1, -2, -3]) {
          second.append({ n });
          const lost = await second.flush();
          assert.match(lost?.reason ?? "", /another process has written it meanwhile/);
          first.append({ n: 1 - n });
          assert.equal(await first.flush(), null);
        }
        const lost = await second.close();
        assert.equal(lost?.lines, 3);
        assert.equal(await first.close(), null);
        assert.deepEqual(numbers(), [0, 1, 2, 3, 4]);
        assert.deepEqual(bucket.uploads, []);
      });
    }

    test("are read while they become more", async () => {
      const lines = await opened(200_000);
      const grows = async () => {
        lines.append({ n: 1 });
        await lines.flush();
      };
      const found: unknown[] = [];
      const growing = aroundFiles(files, async (verb, _path, action) => {
        if (verb === "read") await grows();
        return action();
      });
      for await (const line of readJsonLines(path, () => assert.fail(), growing)) found.push(line);
      assert.equal(found.length, 1, "as many as there were when it was opened");
      await grows();
      assert.ok((await readWhole(growing, path, 300_000)).length > 200_000);
      await lines.close();
    });

    test("of two that find no file the second to send is refused", async () => {
      const both = [0, 1].map(() => JsonLinesWriter.open(path, files));
      const [first, second] = await Promise.all(both);
      first!.append({ n: 1 });
      assert.equal(await first!.close(), null);
      second!.append({ n: -1 });
      assert.equal((await second!.close())?.lines, 1);
      assert.deepEqual(numbers(), [1]);
    });
  });

  for (const [what, answer, ask] of [
    ["answers nothing", "", (from: Bucket) => from.put(object, Buffer.from("x"))],
    [
      "stops within an answer",
      'HTTP/1.1 206 OK\r\ncontent-length: 9\r\netag: "a"\r\n\r\nhalf',
      (from: Bucket) => from.get(object, { position: 0, bytes: 9, etag: "" }),
    ],
  ] as const) {
    test(`an S3 that ${what} is told of in time`, async (context) => {
      const sockets = new Set<Socket>();
      const silent = createServer((socket) => {
        sockets.add(socket);
        socket.on("error", () => {}).once("data", () => socket.write(answer));
      });
      context.after(() => {
        for (const socket of sockets) socket.destroy();
        silent.close();
      });
      silent.listen(0, "127.0.0.1");
      await once(silent, "listening");
      process.env.AWS_ENDPOINT_URL = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
      const limits = { connectionTimeout: 1000, socketTimeout: 100 };
      const asked = ask(new Bucket(await connectToS3(undefined, limits)));
      await assert.rejects(asked, { code: "storage", message: /some-key: it does not answer: / });
    });
  }

  test("failures name the object and the remedy", async () => {
    await assert.rejects(files.openFile(`${root}/none`), (error: PacelineError) => {
      assert.equal(error.details.errno, "ENOENT");
      assert.equal(
        error.message,
        "can't open s3://some-bucket/runs/none: there is no such object: check the path",
      );
      return true;
    });
    bucket.interfere = () => ({ status: 403, body: "" });
    await assert.rejects(writeTextAtomically(files, `${root}/x`, "x"), {
      code: "storage",
      message:
        /^can't write s3:\/\/some-bucket\/runs\/\.x-[0-9a-f]{8}\.tmp: access denied \(.*403\): /,
    });
    await assert.rejects(files.list("s3:///x"), { code: "usage" });
  });

  test("a run's folder is one writer's, as on a disk", async () => {
    const request = { root, name: "r", stem: "r", resuming: false, configText: "a: 1\n" };
    const first = await openRunDirectory(request, files);
    first.event({ kind: "note" });
    await first.writeCluster([]);
    await assert.rejects(openRunDirectory({ ...request, resuming: true }, files), {
      code: "usage",
      message: /has been writing into s3:\/\/some-bucket\/runs\/r since .*: wait until it ends/,
    });
    await assert.rejects(openRunDirectory(request, files), /there is a run of that name/);
    assert.deepEqual(await first.close(), []);
    assert.equal(bucket.text("some-bucket/runs/r/events.jsonl"), '{"kind":"note"}\n');
    const second = await openRunDirectory({ ...request, resuming: true }, files);
    second.event({ kind: "again" });
    assert.deepEqual(await second.close(), []);
    const lines = '{"kind":"note"}\n{"kind":"again"}\n';
    assert.equal(bucket.text("some-bucket/runs/r/events.jsonl"), lines);
    const names = ["cluster.json", "config.yaml", "events.jsonl", "logs", "metrics.jsonl"];
    assert.deepEqual(await files.list(`${root}/r`), names);
  });
});

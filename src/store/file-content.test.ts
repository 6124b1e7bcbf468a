import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  md5OfFile,
  readUnpacked,
  sha256OfFile,
  sumOfContent,
  unpackedBytes,
} from "./file-content.js";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "paceline-content-"));
});
after(() => rm(folder, { recursive: true, force: true }));

const content = Uint8Array.of(0, 9, 3, 1);

test("a file reads the same plain and gzipped, whatever its name", async () => {
  await writeFile(join(folder, "plain"), content);
  await writeFile(join(folder, "packed"), gzipSync(content));
  assert.deepEqual(Buffer.from(await readUnpacked(join(folder, "plain"))), Buffer.from(content));
  assert.deepEqual(Buffer.from(await readUnpacked(join(folder, "packed"))), Buffer.from(content));
});

test("a missing file and broken gzip are data errors that name the file", async () => {
  const broken = join(folder, "broken.gz");
  await writeFile(broken, gzipSync(content).subarray(0, 20));
  await assert.rejects(readUnpacked(broken), {
    code: "data",
    message: /broken\.gz is corrupt gzip/,
  });
  const missing = join(folder, "absent");
  await assert.rejects(readUnpacked(missing), {
    code: "data",
    message: `${missing} can't be read (there is no such file or folder); check the path`,
  });
  for (const read of [readUnpacked, unpackedBytes, md5OfFile, sha256OfFile]) {
    await assert.rejects(read(folder), {
      code: "data",
      message: `${folder} can't be read (it is a folder, not a file); check the path`,
    });
  }
});

const one = gzipSync("aaaa");
const two = gzipSync("bbbb");
const zeros = Buffer.alloc(600);
const named = Buffer.concat([
  // All that a head may hold: an extra field, a name, a comment, a sum of the head.
  Buffer.from([0x1f, 0x8b, 8, 2 + 4 + 8 + 16, 0, 0, 0, 0, 0, 3, 2, 0, 7, 7]),
  Buffer.from("a name\0a comment\0\x01\x02", "latin1"),
  one.subarray(10),
]);
// As `zcat` of gzip 1.12 reads each.
const read: [string, Buffer[], string][] = [
  ["several members", [one, two, one], "aaaabbbbaaaa"],
  ["an empty member between others", [one, gzipSync(""), two], "aaaabbbb"],
  ["a head with everything in it", [named, two], "aaaabbbb"],
  ["zeros behind the last member", [one, two, zeros], "aaaabbbb"],
  ["bytes behind the last member", [one, Buffer.from("-----BEGIN SIGNATURE")], "aaaa"],
  ["a member behind zeros, which is not reached", [one, zeros, two], "aaaa"],
];
for (const [what, parts, text] of read) {
  test(`gzip with ${what} is read as zcat reads it`, async () => {
    const path = join(folder, "some.gz");
    await writeFile(path, Buffer.concat(parts));
    assert.equal(Buffer.from(await readUnpacked(path)).toString(), text);
    assert.equal(await unpackedBytes(path), text.length);
    const md5 = createHash("md5").update(text).digest("hex");
    assert.deepEqual(await sumOfContent(path), { bytes: text.length, md5 });
  });
}

const damaged: [string, Buffer, RegExp][] = [
  ["cut in its second member", Buffer.concat([one, two.subarray(0, 15)]), /unexpected end of file/],
  ["cut in its second head", Buffer.concat([one, two.subarray(0, 1)]), /unexpected end of file/],
  [
    "of another method",
    Buffer.concat([one, Buffer.from(two).fill(9, 2, 3)]),
    /method 9 is unknown/,
  ],
  ["with another checksum", Buffer.from(one).fill(1, one.length - 8, one.length - 4), /checksum/],
  ["with another size", Buffer.from(one).fill(1, one.length - 1), /its size is not/],
  ["that does not inflate", Buffer.from(one).fill(0xff, 10, 14), /invalid/],
];
for (const [what, bytes, says] of damaged) {
  test(`gzip ${what} is refused`, async () => {
    const path = join(folder, "damaged.gz");
    await writeFile(path, bytes);
    await assert.rejects(readUnpacked(path), { code: "data", message: says });
    await assert.rejects(unpackedBytes(path), { code: "data", message: says });
  });
}

test("a large packed file comes as it was, and its sum follows the file", async () => {
  const path = join(folder, "large.gz");
  const large = Buffer.from(Uint32Array.from({ length: 1_500_000 }, (_, at) => at * at).buffer);
  const half = large.length / 2;
  await writeFile(
    path,
    Buffer.concat(
      [large.subarray(0, half), large.subarray(half)].map((part) => gzipSync(part, { level: 1 })),
    ),
  );
  assert.ok(Buffer.from(await readUnpacked(path)).equals(large));
  assert.equal(await unpackedBytes(path), large.length);
  await writeFile(path, gzipSync("other"));
  assert.equal(await unpackedBytes(path), 5);
});

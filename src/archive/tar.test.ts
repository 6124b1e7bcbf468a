import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeTar } from "./sample-tar.js";
import { readTar } from "./tar.js";

const files = [
  { path: "package/empty", bytes: new Uint8Array(0) },
  { path: "package/data/one", bytes: Uint8Array.from({ length: 512 }, (_, index) => index) },
  { path: `${"deep/".repeat(20)}file`, bytes: Uint8Array.of(7) },
];

test("an archive gives its regular files with whole paths", () => {
  const archive = encodeTar([{ path: "package/", bytes: new Uint8Array(0), kind: "5" }, ...files]);
  const read = [...readTar(archive)].map(({ path, bytes }) => ({ path, bytes: [...bytes] }));
  assert.deepEqual(
    read,
    files.map(({ path, bytes }) => ({ path, bytes: [...bytes] })),
  );
});

test("an archive cut inside a file is refused", () => {
  const archive = encodeTar(files).subarray(0, 512 + 512 + 100);
  assert.throws(() => [...readTar(archive)], {
    code: "data",
    message: /ends inside package\/data\/one/,
  });
});

test("a damaged header is refused", () => {
  const archive = encodeTar(files);
  archive[3] = 0x41;
  assert.throws(() => [...readTar(archive)], { code: "data", message: /header at byte 0/ });
});

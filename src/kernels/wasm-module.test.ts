import assert from "node:assert/strict";
import { test } from "node:test";
import { PacelineError } from "../errors.js";
import { Arena } from "./arena.js";
import { choose, createConversions, createKernels } from "./choice.js";
import { kernelModule } from "./generated-kernels.js";

/** Sections of a module by id, as the binary format of WebAssembly has them. */
function sectionsOf(bytes: Uint8Array): Map<number, Uint8Array> {
  const sections = new Map<number, Uint8Array>();
  let at = 8;
  while (at < bytes.length) {
    const id = bytes[at++]!;
    let [size, shift] = [0, 0];
    for (let byte = 128; byte >= 128; shift += 7) {
      byte = bytes[at++]!;
      size |= (byte & 127) << shift;
    }
    sections.set(id, bytes.subarray(at, at + size));
    at += size;
  }
  return sections;
}

const section = { import: 2, memory: 5, global: 6, start: 8, element: 9, code: 10, data: 11 };
const moduleBytes = Buffer.from(kernelModule.base64, "base64");

test("the module keeps nothing in the arena: no data, no globals, no memory, no start", () => {
  const sections = sectionsOf(moduleBytes);
  for (const name of ["data", "global", "memory", "start", "element"] as const)
    assert.equal(sections.has(section[name]), false, name);
});

test("the module imports one shared memory, as large as any arena", () => {
  const imports = Buffer.from(sectionsOf(moduleBytes).get(section.import)!);
  // One import, "env" "memory", a memory (2), shared with a maximum (3), 0 to 65536 pages.
  const names = [1, 3, ...Buffer.from("env"), 6, ...Buffer.from("memory")];
  assert.deepEqual([...imports], [...names, 2, 3, 0, 0x80, 0x80, 0x04]);
});

test("no instruction is a relaxed one, whose bits would depend on the processor", () => {
  const code = sectionsOf(moduleBytes).get(section.code)!;
  // SIMD instructions begin with 0xfd; relaxed ones go on with 0x100 or more, as LEB128 with a
  // second byte of 2 or more. No plain one (up to 0xff) has that.
  let simd = 0;
  for (let at = 0; at + 2 < code.length; at++) {
    if (code[at] !== 0xfd) continue;
    simd++;
    assert.ok(code[at + 1]! < 128 || code[at + 2]! === 1, `byte ${at} of the code`);
  }
  assert.ok(simd > 500, `${simd} SIMD instructions`);
});

test("a choice is what was asked for, and automatically the fast one", () => {
  const arena = new Arena(1 << 14);
  assert.equal(createKernels(arena).name, "wasm");
  for (const choice of ["wasm", "scalar"] as const) {
    assert.equal(createKernels(arena, { choice }).name, choice);
    assert.equal(createConversions(arena, { choice }).name, choice);
    assert.equal(createConversions(null, { choice }).name, choice);
  }
});

test("where SIMD doesn't run scalar code does, with a reason, unless SIMD was demanded", () => {
  const lines: string[] = [];
  const fails = () => {
    throw new PacelineError("usage", "the SIMD kernels don't run here (no v128)");
  };
  const log = (line: string) => lines.push(line);
  assert.equal(
    choose({ log }, fails, () => "scalar"),
    "scalar",
  );
  assert.match(lines.join(), /don't run here \(no v128\); using the scalar kernels/);
  assert.throws(() => choose({ choice: "wasm", log }, fails, () => "scalar"), /no v128/);
  const breaks = () => assert.fail("a bug");
  assert.throws(() => choose({ log }, breaks, () => "scalar"), /a bug/);
  assert.equal(lines.length, 1);
});

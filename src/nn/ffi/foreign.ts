/**
 * Functions of a native library called from TypeScript. koffi does the calling; it is an optional
 * dependency and is loaded here, when it is first needed, so that everything else works without it.
 *
 * A pointer is a bigint, or a typed array whose memory it points to, or null. Memory that is
 * passed has to live as long as the library may use it; typed arrays have to lie on an ArrayBuffer
 * of their own, since small ones otherwise move.
 *
 * koffi closes a library when the JavaScript thread ends that opened it. Under a library with
 * threads of its own that kills the process, so each is opened once more, behind koffi's back, and
 * stays for the life of the process.
 *
 * Linux maps a library that was cut off without complaint and kills the process that touches what
 * is not there; so it is looked at first.
 *
 * Invariant: nothing is called whose symbol was not found when the library was opened.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Where something lies in memory; null is C's null pointer. */
export type Pointer = bigint | ArrayBufferView | null;

/** A function of a library. What it takes and returns is stated where it is looked up. */
export type ForeignFunction = (
  ...values: readonly (Pointer | number | string)[]
) => number | bigint;

/**
 * The types of a function as letters, result first: p pointer, i int, u unsigned, f float, z
 * size_t, v void.
 */
export type Signature = string;

/** An open library. */
export interface ForeignLibrary {
  /** @throws Error when the library has no such symbol. */
  find(symbol: string, signature: Signature): ForeignFunction;
}

/** What calls native functions. */
export interface Foreign {
  /** @throws Error with the loader's words when there is no such library, or it is cut off. */
  open(name: string): ForeignLibrary;
  /** Address of the first value; the array's memory never moves. */
  addressOf(values: ArrayBufferView): bigint;
  /** The text that ends in a zero. */
  textAt(address: bigint): string;
  /** Sets a variable of the process's environment, for libraries, where it has no value yet. */
  setDefault(variable: string, value: string): void;
  /** A copy of the bytes. */
  bytesAt(address: bigint, count: number): Uint8Array;
}

/** The parts of koffi in use. */
interface Koffi {
  /** Without a name: the process itself. */
  load(name: string | null): {
    func(name: string, result: string, parameters: readonly string[]): ForeignFunction;
  };
  address(value: unknown): bigint;
  view(address: bigint, length: number): ArrayBuffer;
  readonly decode: { string(address: bigint): string };
}

const typeNames: Readonly<Record<string, string>> = {
  p: "void *",
  i: "int",
  u: "uint",
  f: "float",
  z: "size_t",
  v: "void",
};

let cached: Foreign | null = null;

/**
 * What calls native functions.
 * @throws Error when koffi is not installed, or not for this platform.
 */
export function openForeign(): Foreign {
  cached ??= bindKoffi(createRequire(import.meta.url)("koffi") as Koffi);
  return cached;
}

function bindKoffi(koffi: Koffi): Foreign {
  return {
    open(name) {
      demandWhole(name);
      const library = koffi.load(name);
      keepOpen(koffi, name);
      return {
        find(symbol, signature) {
          const [result, ...parameters] = [...signature].map((letter) => typeNames[letter]!);
          return library.func(symbol, result!, parameters);
        },
      };
    },
    addressOf(values) {
      // Asking for the buffer moves a small array out of the garbage collector's reach.
      if (values.buffer.byteLength === 0) return 0n;
      return koffi.address(values);
    },
    setDefault(variable, value) {
      if (process.platform === "win32") return;
      const set = koffi.load(null).func("setenv", "int", ["str", "str", "int"]);
      set(variable, value, 0);
    },
    textAt: (address) => koffi.decode.string(address),
    bytesAt: (address, count) => new Uint8Array(koffi.view(address, count)).slice(),
  };
}

function keepOpen(koffi: Koffi, name: string): void {
  // On Windows a library's threads don't run on when it is closed.
  if (process.platform === "win32") return;
  const openNow = 2; // RTLD_NOW
  koffi.load(null).func("dlopen", "void *", ["str", "int"])(name, openNow);
}

/** Throws where the file that the loader would take for this name ends too soon. */
function demandWhole(name: string): void {
  if (process.platform !== "linux") return;
  const path = name.includes("/") ? name : foldersOfLoader(name).find(existsSync);
  if (path === undefined || !existsSync(path)) return;
  const { bytes, bytesLoaded } = extentOf(path);
  if (bytes >= bytesLoaded) return;
  throw new Error(`${path} is cut off, with ${bytes} of ${bytesLoaded} bytes; install it again`);
}

/** Where the loader looks for a name, in its order. */
function foldersOfLoader(name: string): string[] {
  // The loader goes by the environment that the process began with.
  const environment = textOf("/proc/self/environ").split("\0");
  const given = environment.find((entry) => entry.startsWith("LD_LIBRARY_PATH="));
  const folders = given?.slice(given.indexOf("=") + 1).split(/[:;]/) ?? [];
  // The loader's cache holds paths as texts that end in a zero.
  const cached = textOf("/etc/ld.so.cache").split("\0");
  return [
    ...folders.map((folder) => join(folder, name)),
    ...cached.filter((path) => path.startsWith("/") && path.endsWith(`/${name}`)),
    ...["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map((folder) => join(folder, name)),
  ];
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Type of an ELF segment that is mapped into memory. */
const loadedSegment = 1;
/** Bytes of one program header of a 64-bit ELF file. */
const segmentBytes = 56;

/** How long a file is and has to be; whether it is a library at all is the loader's business. */
function extentOf(path: string): { readonly bytes: number; readonly bytesLoaded: number } {
  const file = openSync(path, "r");
  try {
    const { size: bytes } = fstatSync(file);
    const header = readAt(file, 0, 64);
    const kind = header.subarray(0, 6).toString("latin1");
    const isKnown = header.length === 64 && kind === "\x7fELF\x02\x01";
    if (!isKnown || header.readUInt16LE(54) !== segmentBytes) return { bytes, bytesLoaded: 0 };
    const start = Number(header.readBigUInt64LE(32));
    const end = start + segmentBytes * header.readUInt16LE(56);
    const table = readAt(file, start, end - start);
    let bytesLoaded = end;
    for (let at = 0; at + segmentBytes <= table.length; at += segmentBytes) {
      if (table.readUInt32LE(at) !== loadedSegment) continue;
      const [offset, length] = [table.readBigUInt64LE(at + 8), table.readBigUInt64LE(at + 32)];
      bytesLoaded = Math.max(bytesLoaded, Number(offset + length));
    }
    return { bytes, bytesLoaded };
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, start: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, start));
}

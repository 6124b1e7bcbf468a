/**
 * Functions of a native library called from TypeScript. koffi does the calling; it is an optional
 * dependency and is loaded here, when it is first needed, so that everything else works without it.
 *
 * A pointer is a bigint, or a typed array whose memory it points to, or null. Whoever passes memory
 * keeps it alive for as long as the library may use it; typed arrays have to lie on an ArrayBuffer
 * of their own, since small ones otherwise move.
 *
 * koffi closes a library when the JavaScript thread ends that opened it. Under a library with
 * threads of its own that kills the process, so each is opened once more, behind koffi's back, and
 * stays for the life of the process.
 *
 * Invariant: nothing is called whose symbol was not found when the library was opened.
 */
import { createRequire } from "node:module";

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
  /** @throws Error with the loader's words when there is no such library. */
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

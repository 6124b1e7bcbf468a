/**
 * Finding and opening oneDNN. What stands in the way is an outcome with its reason, never a crash:
 * no koffi, no library, a version that is not bound, a symbol that is not there.
 *
 * The library has to be open in the main thread before a thread computes with it: if only that
 * thread had opened it, its end would unload it under the threads that OpenMP keeps, and the
 * process would die. `preloadOneDnn` does so; what is open stays open until the process ends.
 *
 * Where both versions are here, both are open: each finds its own functions first, and they share
 * one runtime of threads.
 *
 * Invariant: in each thread a library is opened and looked through once.
 */

import {
  type Foreign,
  type ForeignFunction,
  type ForeignLibrary,
  openForeign,
} from "../ffi/foreign.js";
import { DnnlV2, signaturesV2 } from "./abi-v2.js";
import { DnnlV3, signaturesV3 } from "./abi-v3.js";
import { findAll, type LibraryParts } from "./calls.js";
import type { Dnnl } from "./dnnl.js";

/** A library and the name it was opened under. */
export interface FoundDnnl {
  readonly dnnl: Dnnl;
  readonly name: string;
}

/** The library, or why it is unavailable and what helps. */
export type OpenedDnnl = FoundDnnl | { readonly dnnl: null; readonly reason: string };

/** Debian names a library of version 3 by its minor version too. */
const minors = Array.from({ length: 20 }, (_, index) => 19 - index);

/** Names under which the library is looked for, the preferred version first. */
export const libraryNames: readonly string[] =
  process.platform === "darwin"
    ? ["libdnnl.3.dylib", "/opt/homebrew/lib/libdnnl.3.dylib", "/usr/local/lib/libdnnl.3.dylib"]
    : process.platform === "win32"
      ? ["dnnl.dll"]
      : ["libdnnl.so.2", "libdnnl.so.3", ...minors.map((minor) => `libdnnl.so.3.${minor}`)];

const remedy =
  "install oneDNN (Debian 12 and Ubuntu: apt-get install libdnnl2; Debian 13: libdnnl3.6; " +
  "macOS: brew install onednn)";

/**
 * How often GNU OpenMP looks again before a waiting thread sleeps. Its own 300,000 hold a core for
 * milliseconds, which slows other programs on the machine, many times in each step.
 */
const spinCount = "10000";

/** Threading runtime of a library, as its version tells it. */
const openMp = 2;

let opened: OpenedDnnl | null = null;

/** The library for this thread. */
export function openDnnl(): OpenedDnnl {
  opened ??= searchDnnl(libraryNames);
  return opened;
}

let openedAll: readonly FoundDnnl[] | null = null;

/** The libraries for this thread, one of each version, the first as `openDnnl` has it. */
export function openAllDnnl(): readonly FoundDnnl[] {
  if (openedAll !== null) return openedAll;
  const first = openDnnl();
  if (first.dnnl === null) return [];
  const later = libraryNames.slice(libraryNames.indexOf(first.name) + 1);
  const second = searchDnnl(later, openForeign, [first.dnnl.abi]);
  openedAll = second.dnnl === null ? [first] : [first, second];
  return openedAll;
}

/** Opens the first library of these names that can be used and has none of these versions. */
export function searchDnnl(
  names: readonly string[],
  callerOfNative: () => Foreign = openForeign,
  without: readonly Dnnl["abi"][] = [],
): OpenedDnnl {
  let foreign: Foreign;
  try {
    foreign = callerOfNative();
  } catch (error) {
    const why = firstLine(error);
    return {
      dnnl: null,
      reason: `koffi, which calls it, can't be loaded (${why}); run npm install`,
    };
  }
  foreign.setDefault("GOMP_SPINCOUNT", spinCount);
  const reasons: string[] = [];
  for (const name of names) {
    let library: ForeignLibrary;
    try {
      library = foreign.open(name);
    } catch (error) {
      // Of names that are not there only the first is worth a word.
      const isMissing = /no such file|not found/i.test(firstLine(error));
      if (!isMissing || reasons.length === 0) reasons.push(`${name}: ${firstLine(error)}`);
      continue;
    }
    try {
      const dnnl = bind(foreign, library);
      if (!without.includes(dnnl.abi)) return { dnnl, name };
    } catch (error) {
      reasons.push(`${name} can't be used: ${firstLine(error)}`);
    }
  }
  return { dnnl: null, reason: `${reasons.join("; ")}; ${remedy}` };
}

function bind(foreign: Foreign, library: ForeignLibrary): Dnnl {
  const versionOf = library.find("dnnl_version", "p");
  const told = versionOf() as ReturnType<typeof versionOf> | null;
  if (told === null) throw new Error("it does not tell its version");
  const { major, text, runtime } = readVersion(foreign, BigInt(told));
  if (major !== 2 && major !== 3) throw new Error(`its version is ${text}, not 2 or 3`);
  const functions = findAll(library, major === 2 ? signaturesV2 : signaturesV3);
  const parts: LibraryParts = {
    foreign,
    functions,
    version: text,
    setThreads: runtime === openMp ? openMpThreads(foreign) : null,
    advise: madvise(foreign),
  };
  return major === 2 ? new DnnlV2(parts) : new DnnlV3(parts);
}

/** Reads dnnl_version_t: three ints, a pointer, the CPU's runtime. */
function readVersion(foreign: Foreign, address: bigint) {
  const bytes = foreign.bytesAt(address, 32);
  const words = new DataView(bytes.buffer, bytes.byteOffset);
  const [major, minor, patch] = [0, 4, 8].map((offset) => words.getInt32(offset, true));
  return { major, text: `${major}.${minor}.${patch}`, runtime: words.getUint32(24, true) };
}

function openMpThreads(foreign: Foreign): LibraryParts["setThreads"] {
  for (const name of ["libgomp.so.1", "libomp.so.5", "libomp.dylib"]) {
    const set = attempt(foreign, name, "omp_set_num_threads", "vi");
    if (set !== null) return (count) => void set(count);
  }
  return null;
}

function madvise(foreign: Foreign): ForeignFunction | null {
  return process.platform === "linux" ? attempt(foreign, "libc.so.6", "madvise", "ipzi") : null;
}

function attempt(foreign: Foreign, name: string, symbol: string, signature: string) {
  try {
    return foreign.open(name).find(symbol, signature);
  } catch {
    return null;
  }
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split("\n")[0] as string;
}

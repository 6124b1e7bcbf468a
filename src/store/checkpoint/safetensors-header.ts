/**
 * The header of a safetensors file: JSON that says where each tensor lies. It may come from
 * anywhere, so nothing in it is believed: depth, count, keys, shapes and offsets are checked, and
 * the offsets must tile the data without hole or overlap, so that what a reader allocates is
 * bounded by the file.
 */
import { PacelineError } from "../../errors.js";

/** The longest header that is read. */
export const headerBytesMax = 8 * 1024 * 1024;
/** The most tensors a file may hold. */
export const tensorsMax = 65536;
/** The most extents a shape may have. */
export const rankMax = 8;

/** Bytes of one value of each kind that Paceline reads and writes. */
export const valueBytes = { F32: 4, I64: 8 } as const;
/** Kind of value. */
export type DataKind = keyof typeof valueBytes;

/** A tensor in a file: `start` and `bytes` within the data that follows the header. */
export interface StoredTensor {
  readonly name: string;
  readonly kind: DataKind;
  readonly shape: readonly number[];
  readonly start: number;
  readonly bytes: number;
}

/** What a header says. */
export interface SafetensorsIndex {
  /** In the order of their data. */
  readonly tensors: readonly StoredTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** Parses and checks a header; `dataBytes` is what the file holds behind it. */
export function parseHeader(header: Uint8Array, dataBytes: number, path: string): SafetensorsIndex {
  const entries = topLevelEntries(header, path);
  const tensors: StoredTensor[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of entries) {
    if (name === "__metadata__") metadata = checkedMetadata(value, path);
    else tensors.push(checkedTensor(name, value, path));
  }
  tensors.sort((left, right) => left.start - right.start || left.bytes - right.bytes);
  let end = 0;
  for (const tensor of tensors) {
    if (tensor.start !== end) {
      const relation = tensor.start < end ? "overlaps the one before" : "leaves a hole before it";
      throw corrupt(path, `tensor ${quoted(tensor.name)} at byte ${tensor.start} ${relation}`);
    }
    end += tensor.bytes;
  }
  if (end !== dataBytes) {
    throw corrupt(path, `its tensors take ${end} bytes but ${dataBytes} follow the header`);
  }
  return { tensors, metadata };
}

/** The error for a file that is not what it should be. */
export function corrupt(path: string, what: string): PacelineError {
  return new PacelineError("checkpoint", `${path} is corrupt: ${what}; choose another checkpoint`, {
    details: { path },
  });
}

/** A name from a file as it may stand in a message. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}...` : name);
}

function topLevelEntries(header: Uint8Array, path: string): [string, unknown][] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
  } catch {
    throw corrupt(path, "its header is not UTF-8");
  }
  if (!text.startsWith("{")) throw corrupt(path, "its header is not a JSON object");
  const fault = structureFault(text);
  if (fault !== null) throw corrupt(path, `its header ${fault}`);
  try {
    return Object.entries(JSON.parse(text) as object);
  } catch {
    throw corrupt(path, "its header is not JSON");
  }
}

/**
 * What makes a text unfit for JSON.parse, which keeps the last of equal keys in silence and builds
 * whatever it is told: too deep, too many keys, a key twice. Null if none of these.
 */
function structureFault(text: string): string | null {
  const keysOpen: Set<string>[] = [];
  let keys = 0;
  let containers = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{" || character === "[") {
      keysOpen.push(new Set());
      if (keysOpen.length > 3) return "is nested deeper than 3 levels";
      if (++containers > tensorsMax * 3 + 2) return `names more than ${tensorsMax} tensors`;
    } else if (character === "}" || character === "]") {
      keysOpen.pop();
    } else if (character === '"') {
      const end = stringEnd(text, at);
      const key = keyAt(text, at, end);
      at = end;
      if (key === null) continue;
      if (++keys > tensorsMax * 4) return `names more than ${tensorsMax} tensors`;
      const siblings = keysOpen.at(-1);
      if (siblings?.has(key)) return `has the key ${quoted(key)} twice`;
      siblings?.add(key);
    }
  }
  return null;
}

/** Index of the quote that ends the string beginning at `at`; the text's end if there is none. */
function stringEnd(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === "\\") end++;
    else if (text[end] === '"') return end;
  }
  return text.length;
}

/**
 * The string's value if a colon follows, else null. Equal keys may be spelt with different escapes.
 */
function keyAt(text: string, at: number, end: number): string | null {
  let next = end + 1;
  while (next < text.length && " \t\r\n".includes(text[next]!)) next++;
  if (text[next] !== ":") return null;
  try {
    return JSON.parse(text.slice(at, end + 1)) as string;
  } catch {
    return null;
  }
}

function checkedMetadata(value: unknown, path: string): ReadonlyMap<string, string> {
  const entries = isObject(value) ? Object.entries(value) : null;
  if (entries === null || entries.some(([, text]) => typeof text !== "string")) {
    throw corrupt(path, "its __metadata__ is not an object of strings");
  }
  return new Map(entries as [string, string][]);
}

function checkedTensor(name: string, value: unknown, path: string): StoredTensor {
  const which = `tensor ${quoted(name)}`;
  if (!isObject(value)) throw corrupt(path, `${which} is not described by an object`);
  const kind = value.dtype;
  if (kind !== "F32" && kind !== "I64") {
    const told = quoted(String(kind));
    throw corrupt(path, `${which} has dtype ${told}, and only F32 and I64 can be read`);
  }
  const shape = value.shape;
  if (!Array.isArray(shape) || shape.length > rankMax || !shape.every(isCount)) {
    throw corrupt(path, `${which} has no shape of at most ${rankMax} whole numbers`);
  }
  const offsets = value.data_offsets;
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw corrupt(path, `${which} has no data_offsets of two whole numbers`);
  }
  const [start, end] = offsets as [number, number];
  const bytes = (shape as number[]).reduce(
    (product, extent) => product * extent,
    valueBytes[kind] as number,
  );
  if (end - start !== bytes) {
    const told = `${end - start} bytes for shape [${shape.join(", ")}] of ${kind}`;
    throw corrupt(path, `${which} has ${told}, which needs ${bytes}`);
  }
  return { name, kind, shape: shape as number[], start, bytes };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

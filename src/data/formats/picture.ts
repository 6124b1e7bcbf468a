/**
 * A picture file as bytes of shape (C, H, W): PNG and JPEG, told apart by their first bytes, not by
 * their names. Grey files have one channel, all others three; opacity is left out, 16 bits are
 * brought to the nearest 8. Nothing is ever resized or turned: which pixels a model sees is its
 * owner's choice. What lies behind a picture's end is not looked at.
 */
import { open } from "node:fs/promises";
import { PacelineError } from "../../errors.js";
import { dataError, unreadable } from "../../store/file-content.js";
import type { FilePath } from "../../store/file-names.js";
import { reasonOf } from "../../system-reason.js";
import { decodeJpeg, jpegHead, pixelCountMax } from "./jpeg.js";

/** A larger file is refused before it is read. */
const fileBytesMax = 64 << 20;
/** Of what tells no size so much is read at a time. */
const pieceBytes = 1 << 16;
/** The head is nearly always within these bytes. */
const headBytes = 1 << 16;

/** (C, H, W) of pixels. */
export type PictureShape = readonly [number, number, number];

/** One picture. */
export interface Picture {
  /** Shape (C, H, W), one byte each. */
  readonly pixels: Uint8Array;
  readonly shape: PictureShape;
}

/** Size and kind as the file's head tells them. */
interface Head {
  readonly width: number;
  readonly height: number;
  readonly isGrey: boolean;
}

/** Reads a picture. Throws "data" for a file that can't be read, is none, is broken or is huge. */
export async function readPicture(path: FilePath): Promise<Picture> {
  const bytes = await readWhole(path);
  const head = headOf(bytes, path);
  try {
    const { height, width, isGrey } = head;
    const jpeg = isPng(bytes) ? null : jpegHead(bytes);
    const pixels =
      jpeg === null ? planes(await decodePng(bytes), head) : await decodeJpeg(bytes, jpeg);
    return { pixels, shape: [isGrey ? 1 : 3, height, width] };
  } catch (cause) {
    throw broken(path, bytes, reasonOf(cause), cause);
  }
}

/** The shape that `readPicture` would give, from the head of the file alone. Throws likewise. */
export async function readPictureShape(path: FilePath): Promise<PictureShape> {
  const { isGrey, width, height } = await readHead(path);
  return [isGrey ? 1 : 3, height, width];
}

/**
 * The picture with the wanted channels: grey is repeated for colours; colours are weighed to grey
 * as ITU-R BT.601 weighs them, 0.299 red, 0.587 green, 0.114 blue.
 * @param path named in errors.
 * @throws PacelineError `data` for another height or width.
 */
export function asShape(picture: Picture, shape: PictureShape, path: FilePath): Picture {
  demandSize(picture.shape, shape, path);
  const [channels, height, width] = shape;
  if (picture.shape[0] === channels) return picture;
  const { pixels } = picture;
  if (channels === 3) {
    const repeated = new Uint8Array(3 * pixels.length);
    for (let channel = 0; channel < 3; channel++) repeated.set(pixels, channel * pixels.length);
    return { pixels: repeated, shape };
  }
  if (channels !== 1) {
    throw dataError(path, `has 1 or 3 channels where ${channels} are expected; pack the set again`);
  }
  const plane = height * width;
  const grey = new Uint8Array(plane);
  for (let at = 0; at < plane; at++) {
    const [red, green, blue] = [pixels[at]!, pixels[plane + at]!, pixels[2 * plane + at]!];
    grey[at] = (299 * red + 587 * green + 114 * blue + 500) / 1000;
  }
  return { pixels: grey, shape };
}

/** Reads a picture as `asShape` gives it; one of another size is refused before it is unpacked. */
export async function readPictureAs(shape: PictureShape, path: FilePath): Promise<Picture> {
  demandSize(await readPictureShape(path), shape, path);
  return asShape(await readPicture(path), shape, path);
}

function demandSize(found: PictureShape, wanted: PictureShape, path: FilePath): void {
  const [, height, width] = wanted;
  if (found[1] === height && found[2] === width) return;
  const has = `has ${found[2]} x ${found[1]} pixels (width x height)`;
  throw dataError(path, `${has} where ${width} x ${height} are expected; resize it first`);
}

async function readHead(path: FilePath): Promise<Head> {
  const start = Buffer.alloc(headBytes);
  let bytesRead = 0;
  try {
    const handle = await open(path);
    try {
      ({ bytesRead } = await handle.read(start, 0, headBytes, 0));
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    return headOf(start.subarray(0, bytesRead), path);
  } catch (thrown) {
    if (bytesRead < headBytes || !(thrown instanceof PacelineError)) throw thrown;
    // A picture may carry another, small one, or a profile of colours, before its own head.
    return headOf(await readWhole(path), path);
  }
}

/** Throws "data" unless the bytes begin as a picture of an acceptable size does. */
function headOf(bytes: Buffer, path: FilePath): Head {
  const isJpeg = bytes.length >= 3 && bytes.readUIntBE(0, 3) === 0xffd8ff;
  if (!isPng(bytes) && !isJpeg) {
    const start = bytes.subarray(0, 4).toString("hex");
    const other = `is not a PNG or JPEG (it begins with ${start})`;
    const found = bytes.length === 0 ? "is empty" : other;
    throw dataError(path, `${found}; convert it, or move it elsewhere`);
  }
  const head = isJpeg ? headOfJpeg(bytes) : pngHead(bytes);
  if (head === null) throw broken(path, bytes, "its header is cut off");
  const { width, height } = head;
  const pixelCount = width * height;
  if (pixelCount > 0 && pixelCount <= pixelCountMax) return head;
  const size = `has ${width} x ${height} pixels`;
  throw dataError(path, `${size} where 1 to ${pixelCountMax} are allowed; make it smaller`);
}

/** A pipe or a device tells no size, and may never end: so much is read, and no more. */
async function readWhole(path: FilePath): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      if (size > fileBytesMax) throw tooLarge(path);
      for (let count = -1; count !== 0 && bytes <= fileBytesMax; bytes += count) {
        const piece = Buffer.alloc(Math.max(size - bytes, 0) + pieceBytes);
        count = (await handle.read(piece, 0, piece.length, null)).bytesRead;
        pieces.push(piece.subarray(0, count));
      }
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw cause instanceof PacelineError ? cause : unreadable(path, cause);
  }
  if (bytes > fileBytesMax) throw tooLarge(path);
  return Buffer.concat(pieces);
}

function tooLarge(path: FilePath): PacelineError {
  return dataError(path, `is larger than ${fileBytesMax} bytes; make the picture smaller`);
}

function isPng(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt32BE(0) === 0x89504e47;
}

async function decodePng(bytes: Buffer): Promise<Uint8Array> {
  const { PNG } = await import("pngjs");
  return PNG.sync.read(visibleChunks(bytes)).data;
}

/**
 * A PNG up to its chunk IEND, without tRNS: pngjs paints what it declares transparent black.
 */
function visibleChunks(bytes: Buffer): Buffer {
  const parts = [bytes.subarray(0, 8)];
  for (let at = 8; at < bytes.length; ) {
    const kind = bytes.toString("latin1", at + 4, at + 8);
    const end = at + 8 > bytes.length ? bytes.length : at + 12 + bytes.readUInt32BE(at);
    if (kind !== "tRNS") parts.push(bytes.subarray(at, end));
    if (kind === "IEND") break;
    at = end;
  }
  return Buffer.concat(parts);
}

/** From red, green, blue, opacity of each pixel to one plane of each channel. */
function planes(colours: Uint8Array, { width, height, isGrey }: Head): Uint8Array {
  const channels = isGrey ? 1 : 3;
  const plane = width * height;
  if (colours.length !== 4 * plane) throw new Error("pixels are missing");
  const pixels = new Uint8Array(channels * plane);
  for (let channel = 0, at = 0; channel < channels; channel++) {
    for (let from = channel; from < colours.length; from += 4) pixels[at++] = colours[from]!;
  }
  return pixels;
}

/** Of the chunk IHDR, which comes first: width, height, depth, colour type (0 and 4 are grey). */
function pngHead(bytes: Buffer): Head | null {
  if (bytes.length < 33 || bytes.toString("latin1", 12, 16) !== "IHDR") return null;
  const isGrey = bytes[25] === 0 || bytes[25] === 4;
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20), isGrey };
}

function headOfJpeg(bytes: Buffer): Head | null {
  const head = jpegHead(bytes);
  return head === null ? null : { ...head, isGrey: head.components.length === 1 };
}

function broken(path: FilePath, bytes: Buffer, reason: string, cause?: unknown) {
  const kind = isPng(bytes) ? "PNG" : "JPEG";
  return dataError(path, `is a broken ${kind} (${reason}); replace or remove it`, cause);
}

/**
 * Reads the IDX files of MNIST and its kin, strictly: two zero bytes, the value type (8 is
 * unsigned byte), the number of dimensions, each dimension as a big-endian uint32, then the values
 * and nothing more. Whatever does not fit is a "data" error with the path, the value found and the
 * remedy.
 * Format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
 */
import { dataError } from "../../store/file-content.js";

const unsignedByte = 8;

/** The content of one IDX file: values in row-major order. */
export interface Idx {
  readonly dimensions: readonly number[];
  readonly values: Uint8Array;
}

/** Parses IDX bytes with `dimensionCount` dimensions; `path` is named in errors. */
export function parseIdx(bytes: Uint8Array, path: string, dimensionCount: number): Idx {
  const headerBytes = 4 + 4 * dimensionCount;
  if (bytes.length < headerBytes) {
    throw dataError(path, `has ${bytes.length} bytes, less than an IDX header of ${headerBytes}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  const expected = (unsignedByte << 8) | dimensionCount;
  if (magic !== expected) {
    const found = `begins with ${hex(magic)} where an IDX file of this kind has ${hex(expected)}`;
    throw dataError(path, `${found}; is it another file under this name?`);
  }
  const dimensions: number[] = [];
  for (let index = 0; index < dimensionCount; index++) {
    dimensions.push(view.getUint32(4 + 4 * index));
  }
  const valueCount = dimensions.reduce((product, size) => product * size, 1);
  const surplusBytes = bytes.length - headerBytes - valueCount;
  if (surplusBytes !== 0) {
    const shape = dimensions.join(" x ");
    const verdict =
      surplusBytes < 0 ? `lacks ${-surplusBytes} of` : `has ${surplusBytes} more than`;
    throw dataError(path, `${verdict} the ${valueCount} bytes of ${shape} values; fetch it again`);
  }
  return { dimensions, values: bytes.subarray(headerBytes) };
}

/** Parses images of exactly `height` x `width`; values are count x height x width. */
export function parseImages(
  bytes: Uint8Array,
  path: string,
  height: number,
  width: number,
): { count: number; pixels: Uint8Array } {
  const { dimensions, values } = parseIdx(bytes, path, 3);
  const [count, rows, columns] = dimensions as [number, number, number];
  if (rows !== height || columns !== width) {
    const found = `holds images of ${rows} x ${columns} where ${height} x ${width} are expected`;
    throw dataError(path, `${found}; put the data set of this name there`);
  }
  if (count === 0) throw dataError(path, "holds no images; fetch it again");
  return { count, pixels: values };
}

/** Parses labels and checks that each is below `classes`. */
export function parseLabels(bytes: Uint8Array, path: string, classes: number): Uint8Array {
  const { values } = parseIdx(bytes, path, 1);
  const index = values.findIndex((label) => label >= classes);
  if (index >= 0) {
    const found = `has label ${values[index]} at position ${index}`;
    throw dataError(path, `${found} where 0 to ${classes - 1} are allowed; fetch it again`);
  }
  return values;
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, "0")}`;
}

/**
 * Narrow pictures side by side in rows, for the gradient of a convolution's weights on processors
 * with matrix tiles (AMX).
 *
 * A tile has room for sixteen positions, and oneDNN fills it with those of one row of a picture:
 * where a row has four, three quarters stay empty. The gradient of the weights is a sum over the
 * positions of all pictures, which may as well be parts of wide ones. Between two pictures stand
 * columns of zeros: as many as a window reaches over the edge, so that it meets what padding would
 * give it; and the gradients of the positions there are zeros too, so that they add nothing.
 */
import type { ConvolutionPlace } from "./algorithms.js";
import type { DataType, MemoryFormat } from "./dnnl.js";
import type { Cell, ProgramBuilder } from "./program.js";

/** Columns of a result that a row has at least, where there are enough pictures. */
const rowColumnsMin = 256;
/** Wider results fill their tiles by themselves. */
const resultColumnsMax = 16;

/** Pictures [n, channels, rows, columns]; so many stand in a row, each so many columns apart. */
export interface JoinedPictures {
  readonly extents: readonly [n: number, channels: number, rows: number, columns: number];
  readonly pictures: number;
  readonly apart: number;
  readonly type: DataType;
}

/** How a convolution's pictures are joined; null where that is of no use, or can't be. */
export function joinedPictures(
  place: ConvolutionPlace,
): { readonly source: JoinedPictures; readonly result: JoinedPictures } | null {
  const { n, channels, outputs, groups, input, output, type } = place;
  const [kernel, stride, padding] = [place.kernel[1], place.stride[1], place.padding[1]];
  const [columns, width] = [input[1], output[1]];
  if (groups !== 1 || width > resultColumnsMax) return null;
  const beyond = (width - 1) * stride - padding + kernel - columns;
  const apart = Math.ceil((columns + Math.max(padding, beyond, 0)) / stride);
  const pictures = picturesOf(n, apart);
  // The wide result has to be as wide as the joined results are.
  const wide = Math.floor((pictures * apart * stride + 2 * padding - kernel) / stride) + 1;
  if (pictures === 1 || apart < width || wide !== pictures * apart) return null;
  const source = {
    extents: [n, channels, ...input],
    apart: apart * stride,
    pictures,
    type,
  } as const;
  return { source, result: { extents: [n, outputs, ...output], apart, pictures, type } };
}

/** The least divisor of the batch that makes a row wide enough, or the batch. */
function picturesOf(n: number, columns: number): number {
  for (let pictures = 1; pictures < n; pictures++) {
    if (n % pictures === 0 && pictures * columns >= rowColumnsMin) return pictures;
  }
  return n;
}

/** A cell with channels last for joined pictures, in memory that holds zeros between them. */
export function joinedCell(
  builder: ProgramBuilder,
  what: string,
  { extents, pictures, apart, type }: JoinedPictures,
): Cell {
  const [n, channels, rows] = extents;
  const wide = [n / pictures, channels, rows, pictures * apart] as const;
  const format = builder.strided(wide, channelsLast(wide), type);
  return builder.zeroed(`${what} ${wide.join("x")} ${type} of ${extents[3]}`, format);
}

/** Writes the copy of pictures into a cell of `joinedCell`. */
export function writeJoined(
  builder: ProgramBuilder,
  what: string,
  from: Cell,
  to: Cell,
  { extents, pictures, apart, type }: JoinedPictures,
): void {
  const [n, channels, rows, columns] = extents;
  const plain = pictureFormat(builder, { extents, type });
  const given = builder.converted(`${what} to channels last`, from, plain);
  const parts = [n / pictures, pictures, rows, columns, channels];
  const strides = (row: number, picture: number, group: number) => {
    return [group, picture, row, channels, 1];
  };
  const row = columns * channels;
  const near = builder.strided(parts, strides(row, rows * row, pictures * rows * row), type);
  const wideRow = pictures * apart * channels;
  const far = builder.strided(parts, strides(wideRow, apart * channels, rows * wideRow), type);
  builder.copy(`${what} to rows`, builder.view(given, near), builder.view(to, far));
}

/** The format of pictures with channels last, as kernels for matrix tiles have them. */
export function pictureFormat(
  builder: ProgramBuilder,
  { extents, type }: Pick<JoinedPictures, "extents" | "type">,
): MemoryFormat {
  return builder.strided(extents, channelsLast(extents), type);
}

/** Strides of [n, channels, rows, columns] with the channels of a place side by side. */
function channelsLast([, channels, rows, columns]: readonly number[]): readonly number[] {
  return [channels! * rows! * columns!, 1, columns! * channels!, channels!];
}

/**
 * A JPEG's bytes as planes of grey or of red, green and blue, by the rules of libjpeg: which colour
 * model a file has, how planes of fewer samples are brought to full size, and how luminance and
 * chrominance become colours. jpeg-js gives what the coefficients say; its own rules are not asked,
 * since it takes RGB for YCbCr, refuses CMYK without Adobe's marker and repeats samples.
 *
 * Of four components the files hold the complements, as Adobe's do: a red is cyan times black. The
 * orientation of Exif is left alone, as torchvision's ImageFolder leaves it.
 */

/** What the markers before the first scan tell. */
export interface JpegHead {
  readonly width: number;
  readonly height: number;
  /** Bits of a sample. */
  readonly precision: number;
  readonly components: readonly JpegComponent[];
  readonly hasJfif: boolean;
  /** What Adobe's marker says of the colours, and where; null without one. */
  readonly adobe: { readonly transform: number; readonly at: number } | null;
}

interface JpegComponent {
  readonly id: number;
  /** Samples of it, across and down, where the fullest component has the most. */
  readonly across: number;
  readonly down: number;
}

/** Colour models that a file may have. */
export type JpegColours = "grey" | "rgb" | "ycc" | "cmyk" | "ycck";

const marker = { app0: 0xe0, app14: 0xee, scan: 0xda, end: 0xd9, fill: 0xff };
/** C0 to CF tell the frame, but for these. */
const noFrames = [0xc4, 0xc8, 0xcc];
/** Version 100, no flags; the last byte says that the components are as they are. */
const adobeSegment = Buffer.from("ffee000e41646f626500640000000000", "hex");
const rgbIds = Buffer.from("RGB", "latin1");

/** Reads the markers up to the first scan; null where the frame's is cut off. */
export function jpegHead(bytes: Buffer): JpegHead | null {
  let [hasJfif, adobe]: [boolean, JpegHead["adobe"]] = [false, null];
  let frame: Pick<JpegHead, "width" | "height" | "precision" | "components"> | null = null;
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const kind = bytes[at + 1]!;
    if (kind === marker.fill) {
      at++;
      continue;
    }
    if (kind === marker.scan || kind === marker.end) break;
    const length = bytes.readUInt16BE(at + 2);
    const body = bytes.subarray(at + 4, at + 2 + length);
    if (kind === marker.app0 && body.length >= 12) {
      hasJfif ||= body.toString("latin1", 0, 5) === "JFIF\0";
    }
    if (kind === marker.app14 && body.length >= 12 && body.toString("latin1", 0, 5) === "Adobe") {
      adobe = { transform: body[11]!, at: at + 4 + 11 };
    }
    if (kind >= 0xc0 && kind <= 0xcf && !noFrames.includes(kind)) frame ??= frameOf(body);
    at += 2 + length;
  }
  return frame === null ? null : { ...frame, hasJfif, adobe };
}

function frameOf(body: Buffer) {
  if (body.length < 6 || body.length < 6 + 3 * body[5]!) return null;
  const components = Array.from({ length: body[5]! }, (_, index): JpegComponent => {
    const [id, sampling] = [body[6 + 3 * index]!, body[7 + 3 * index]!];
    return { id, across: sampling >> 4, down: sampling & 15 };
  });
  const [height, width] = [body.readUInt16BE(1), body.readUInt16BE(3)];
  return { precision: body[0]!, height, width, components };
}

/** A picture with more is refused before it is unpacked. */
export const pixelCountMax = 64 << 20;
/** Each of four components has 4 bytes of coefficients and 1 of samples; the rest is the result. */
const bytesPerPixelMax = 32;
/** What jpeg-js refuses by itself; its own limits are below what is allowed here. */
const limits = {
  maxResolutionInMP: pixelCountMax / 1e6,
  maxMemoryUsageInMB: (pixelCountMax * bytesPerPixelMax) / 2 ** 20,
};

/** The colour model, told as libjpeg tells it; null for a count of components without any. */
export function jpegColours({ components, hasJfif, adobe }: JpegHead): JpegColours | null {
  switch (components.length) {
    case 1:
      return "grey";
    case 3: {
      if (hasJfif) return "ycc";
      if (adobe !== null) return adobe.transform === 0 ? "rgb" : "ycc";
      return components.every(({ id }, index) => id === rgbIds[index]) ? "rgb" : "ycc";
    }
    case 4:
      return adobe === null || adobe.transform === 0 ? "cmyk" : "ycck";
    default:
      return null;
  }
}

/**
 * Decodes; shape (1, H, W) for grey, else (3, H, W).
 * @throws Error in a few words for what is broken or of a kind that is not read.
 */
export async function decodeJpeg(bytes: Buffer, head: JpegHead): Promise<Uint8Array> {
  const { width, height, precision, components } = head;
  const colours = jpegColours(head);
  if (colours === null) throw new Error(`it has ${components.length} components`);
  if (precision !== 8) throw new Error(`its samples have ${precision} bits where 8 are read`);
  const { default: jpeg } = await import("jpeg-js");
  const decode = (source: Buffer) => {
    const how = {
      ...limits,
      useTArray: true,
      tolerantDecoding: false,
      formatAsRGBA: false,
    } as const;
    const { data } = jpeg.decode(source, { ...how, colorTransform: false });
    if (data.length !== 3 * width * height) throw new Error("pixels are missing");
    return data;
  };
  if (colours === "grey") return planesOf(decode(bytes), 1);
  if (colours === "cmyk" || colours === "ycck") {
    const marked = [bytes.subarray(0, 2), adobeSegment, bytes.subarray(2)];
    return planesOf(decode(head.adobe === null ? Buffer.concat(marked) : bytes), 3);
  }
  const planes = planesOf(decode(withoutTransform(bytes, head)), 3);
  for (const [index, component] of components.entries()) {
    const plane = planes.subarray(index * width * height, (index + 1) * width * height);
    const across = Math.max(...components.map((one) => one.across)) / component.across;
    const down = Math.max(...components.map((one) => one.down)) / component.down;
    smooth(plane, { width, height, across, down });
  }
  if (colours === "ycc") toRgb(planes);
  return planes;
}

/** The file with Adobe's word on the colours taken back, so that components come as they are. */
function withoutTransform(bytes: Buffer, { adobe }: JpegHead): Buffer {
  if (adobe === null || adobe.transform === 0) return bytes;
  const copy = Buffer.from(bytes);
  copy[adobe.at] = 0;
  return copy;
}

/** From three values a pixel to the first `count` planes. */
function planesOf(values: Uint8Array, count: number): Uint8Array {
  const plane = values.length / 3;
  const planes = new Uint8Array(count * plane);
  for (let channel = 0, at = 0; channel < count; channel++) {
    for (let from = channel; from < values.length; from += 3) planes[at++] = values[from]!;
  }
  return planes;
}

interface Sampling {
  readonly width: number;
  readonly height: number;
  /** Pixels that have one sample, across and down. */
  readonly across: number;
  readonly down: number;
}

/**
 * Where jpeg-js has repeated samples for two pixels each, weighs each with its neighbour, three to
 * one, as libjpeg does ("fancy upsampling"). Other repetitions libjpeg leaves as they are, too.
 */
function smooth(plane: Uint8Array, { width, height, across, down }: Sampling): void {
  const samples = Math.ceil(width / across);
  const isAcross = across === 2 && samples > 2;
  if (down === 1 && isAcross) {
    const row = new Uint16Array(samples);
    for (let start = 0; start < plane.length; start += width) {
      for (let at = 0; at < samples; at++) row[at] = plane[start + 2 * at]!;
      spread(row, plane.subarray(start, start + width), { left: 1, right: 2, bits: 2 });
    }
  }
  if (down !== 2 || (across !== 1 && !isAcross)) return;
  const rows = Math.ceil(height / 2);
  const kept = new Uint8Array(rows * samples);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < samples; column++) {
      kept[at++] = plane[2 * row * width + across * column]!;
    }
  }
  const sums = new Uint16Array(samples);
  for (let y = 0; y < height; y++) {
    const own = y >> 1;
    const isUpper = y % 2 === 0;
    const near = Math.min(rows - 1, Math.max(0, isUpper ? own - 1 : own + 1));
    for (let at = 0; at < samples; at++) {
      sums[at] = 3 * kept[own * samples + at]! + kept[near * samples + at]!;
    }
    const out = plane.subarray(y * width, (y + 1) * width);
    if (isAcross) spread(sums, out, { left: 8, right: 7, bits: 4 });
    else for (let at = 0; at < samples; at++) out[at] = (sums[at]! + (isUpper ? 1 : 2)) >> 2;
  }
}

/** Two pixels of each sample of a row: what is added before the shift differs left and right. */
function spread(
  row: Uint16Array,
  out: Uint8Array,
  add: { readonly left: number; readonly right: number; readonly bits: number },
): void {
  const last = row.length - 1;
  for (let x = 0; x < out.length; x++) {
    const at = x >> 1;
    const isLeft = x % 2 === 0;
    const isEdge = isLeft ? at === 0 : at === last;
    const near = row[isEdge ? at : isLeft ? at - 1 : at + 1]!;
    const bias = isEdge && add.bits === 2 ? 0 : isLeft ? add.left : add.right;
    out[x] = (3 * row[at]! + near + bias) >> add.bits;
  }
}

/** Of a number as libjpeg calculates with it: 16 bits behind the point. */
const fixed = (value: number) => Math.floor(value * 65536 + 0.5);
const factor = { red: fixed(1.402), blue: fixed(1.772), gb: fixed(0.34414), gr: fixed(0.71414) };

/** Y, Cb and Cr become red, green and blue where they lie. */
function toRgb(planes: Uint8Array): void {
  const plane = planes.length / 3;
  const colours = new Uint8ClampedArray(planes.buffer, planes.byteOffset, planes.length);
  const half = 32768;
  for (let at = 0; at < plane; at++) {
    const y = planes[at]!;
    const cb = planes[plane + at]! - 128;
    const cr = planes[2 * plane + at]! - 128;
    colours[at] = y + ((factor.red * cr + half) >> 16);
    colours[plane + at] = y + ((-factor.gb * cb - factor.gr * cr + half) >> 16);
    colours[2 * plane + at] = y + ((factor.blue * cb + half) >> 16);
  }
}

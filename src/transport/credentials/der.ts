/**
 * DER, as certificates and lists of revoked ones are written in it (X.690): elements of a tag, a
 * length and a content, which may hold further elements. What is read is a file's; a torn or
 * foreign one is an Error, which who reads the file translates. Tags above 30 and lengths above
 * 32 bits do not occur in what is read here.
 */

/** One element. */
export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content. */
  readonly whole: Buffer;
}

/** The tags that are used here. */
export const derTags = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  /** Of a field that is numbered 0: as it is, or with an element in it. */
  numbered0: 0x80,
  wrapped0: 0xa0,
} as const;

/** The elements that lie one behind the other in these bytes. */
export function readElements(bytes: Buffer): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const element = elementAt(bytes, at);
    elements.push(element);
    at += element.whole.length;
  }
  return elements;
}

/** The elements in the one element that these bytes are. */
export function readSequence(bytes: Buffer): DerElement[] {
  const [only, ...others] = readElements(bytes);
  if (only?.tag !== derTags.sequence || others.length > 0) throw new Error("no sequence of DER");
  return readElements(only.content);
}

function elementAt(bytes: Buffer, at: number): DerElement {
  const tag = bytes[at]!;
  if ((tag & 0x1f) === 0x1f) throw new Error(`tag ${tag} of DER is not known here`);
  const first = bytes[at + 1] ?? 0x80;
  const sizeBytes = first < 0x80 ? 0 : first - 0x80;
  if (first === 0x80 || sizeBytes > 4) throw new Error("a length of DER can't be read");
  const start = at + 2 + sizeBytes;
  if (start > bytes.length) throw new Error("DER ends too early");
  const length = sizeBytes === 0 ? first : bytes.readUIntBE(at + 2, sizeBytes);
  const end = start + length;
  if (end > bytes.length) throw new Error("DER ends too early");
  return { tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) };
}

/** An element of these contents, one behind the other. */
export function derElement(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const digits = content.length.toString(16);
  const size = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
  return Buffer.concat([Buffer.of(tag, 0x80 + size.length), size, content]);
}

/** A whole number that is not negative, from hexadecimal digits. */
export function derInteger(digits: string): Buffer {
  const even = digits.padStart(digits.length + (digits.length % 2), "0");
  const bytes = Buffer.from(even, "hex");
  const sign = bytes[0]! >= 0x80 ? Buffer.of(0) : Buffer.alloc(0);
  return derElement(derTags.integer, sign, bytes);
}

/** The hexadecimal digits of a number that is not negative. */
export function digitsOfInteger({ tag, content }: DerElement): string {
  if (tag !== derTags.integer || content.length === 0) throw new Error("no number of DER");
  return content
    .toString("hex")
    .toUpperCase()
    .replace(/^0+(?=.)/, "");
}

/** The name of an algorithm or a field, such as 2.5.29.20. */
export function derObjectId(name: string): Buffer {
  const [first = 0, second = 0, ...rest] = name.split(".").map(Number);
  const bytes = [40 * first + second, ...rest].flatMap((part) => {
    const digits = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return derElement(derTags.objectId, Buffer.from(bytes));
}

/** A moment, in whole seconds, in the form that RFC 5280 wants for its year. */
export function derTime(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\.\d+/, "").replaceAll(/[-:T]/g, "");
  const isLate = Number(digits.slice(0, 4)) >= 2050;
  const text = isLate ? digits : digits.slice(2);
  return derElement(isLate ? derTags.generalizedTime : derTags.utcTime, Buffer.from(text, "ascii"));
}

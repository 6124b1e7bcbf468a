/** Writes small tar archives for tests. */

/** An entry of a tar archive; `kind` is "0" for a file, "5" for a folder. */
export interface TarEntry {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly kind?: string;
}

/** A tar archive (POSIX ustar) of these entries; paths may have 100 bytes after a prefix of 155. */
export function encodeTar(entries: readonly TarEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { path, bytes, kind = "0" } of entries) {
    const header = Buffer.alloc(512);
    const cut = path.length <= 100 ? 0 : path.indexOf("/", path.length - 101) + 1;
    header.write(path.slice(cut), 0);
    header.write("0000644\0".padEnd(8), 100);
    header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write(`        ${kind}`, 148);
    header.write("ustar\u000000", 257);
    header.write(path.slice(0, Math.max(0, cut - 1)), 345);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    parts.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

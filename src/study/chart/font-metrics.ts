/**
 * Widths of text in DejaVu Sans, read from the font files themselves, so that Vega lays text out,
 * and labels are kept apart, with the same numbers that the chart is drawn with, and no font of
 * the machine plays a part.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** The family as SVG readers get it: Verdana has DejaVu's widths where DejaVu is missing. */
export const fontFamily = "DejaVu Sans, Verdana, sans-serif";

/** Paths of the regular and the bold face. */
export function fontFiles(): { regular: string; bold: string } {
  const { resolve } = createRequire(import.meta.url);
  const face = (name: string) => resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`);
  return { regular: face("DejaVuSans"), bold: face("DejaVuSans-Bold") };
}

/** Width of one line of text in pixels; kerning, which only ever draws letters together, apart. */
export function textWidth(text: string, sizePx: number, bold = false): number {
  const face = loadedFaces()[bold ? "bold" : "regular"];
  let units = 0;
  for (const character of text) units += face.advance(character.codePointAt(0)!);
  return (units / face.unitsPerEm) * sizePx;
}

/**
 * Text that the font can set: a character that it lacks becomes its code, such as U+5B9E. `lacking`
 * is told each such character.
 */
export function settable(text: string, lacking: (character: string) => void): string {
  const { regular, bold } = loadedFaces();
  return Array.from(text, (character) => {
    const point = character.codePointAt(0)!;
    if (regular.has(point) && bold.has(point)) return character;
    lacking(character);
    return codeOf(character);
  }).join("");
}

/** A character's code as it is written in words: U+5B9E. */
export function codeOf(character: string): string {
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
}

interface Face {
  readonly unitsPerEm: number;
  /** True for a character that the font has. */
  has(codePoint: number): boolean;
  /** In font units; a character that the font lacks has the width of its box. */
  advance(codePoint: number): number;
}

let faces: { regular: Face; bold: Face } | null = null;

function loadedFaces(): { regular: Face; bold: Face } {
  const { regular, bold } = fontFiles();
  faces ??= { regular: readFace(regular), bold: readFace(bold) };
  return faces;
}

function readFace(path: string): Face {
  const bytes = readFileSync(path);
  const tables = new Map<string, number>();
  for (let index = 0; index < bytes.readUInt16BE(4); index++) {
    const entry = 12 + 16 * index;
    tables.set(bytes.toString("latin1", entry, entry + 4), bytes.readUInt32BE(entry + 8));
  }
  const table = (tag: string) => tables.get(tag)!;
  const unitsPerEm = bytes.readUInt16BE(table("head") + 18);
  const metrics = bytes.readUInt16BE(table("hhea") + 34);
  const glyphs = glyphsByCodePoint(bytes, table("cmap"));
  const advance = (codePoint: number) => {
    // Glyphs past the last metric share its width, as the format has it.
    const glyph = Math.min(glyphs.get(codePoint) ?? 0, metrics - 1);
    return bytes.readUInt16BE(table("hmtx") + 4 * glyph);
  };
  return { unitsPerEm, advance, has: (codePoint) => glyphs.has(codePoint) };
}

/** Reads the segments of the font's Unicode map (format 4). */
function glyphsByCodePoint(bytes: Buffer, cmap: number): Map<number, number> {
  const glyphs = new Map<number, number>();
  const start = formatFour(bytes, cmap);
  const double = bytes.readUInt16BE(start + 6);
  const ends = start + 14;
  for (let offset = 0; offset < double; offset += 2) {
    const last = bytes.readUInt16BE(ends + offset);
    const first = bytes.readUInt16BE(ends + double + 2 + offset);
    const delta = bytes.readUInt16BE(ends + 2 * double + 2 + offset);
    const rangeAt = ends + 3 * double + 2 + offset;
    const range = bytes.readUInt16BE(rangeAt);
    for (let point = first; point <= last && point !== 0xffff; point++) {
      const glyph = range === 0 ? point : bytes.readUInt16BE(rangeAt + range + 2 * (point - first));
      if (glyph !== 0) glyphs.set(point, (glyph + delta) & 0xffff);
    }
  }
  return glyphs;
}

function formatFour(bytes: Buffer, cmap: number): number {
  for (let index = 0; index < bytes.readUInt16BE(cmap + 2); index++) {
    const start = cmap + bytes.readUInt32BE(cmap + 4 + 8 * index + 4);
    if (bytes.readUInt16BE(start) === 4) return start;
  }
  throw new Error("assertion failed: a DejaVu font has a Unicode map of format 4");
}

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Resvg } from "@resvg/resvg-js";
import { fontFiles, textWidth } from "./font-metrics.js";

describe("widths of text", () => {
  // Widths of glyphs as the fonts' own tables have them, of 2048 units.
  const widths: readonly (readonly [text: string, bold: boolean, units: number])[] = [
    ["a", false, 1255],
    ["W", false, 2025],
    [" ", false, 651],
    ["a", true, 1382],
    ["±", false, 1716],
    ["…", false, 2048],
    ["", false, 0],
  ];
  for (const [text, bold, units] of widths) {
    test(`"${text}"${bold ? " in bold" : ""} is ${units} units wide`, () => {
      assert.equal(textWidth(text, 2048, bold), units);
    });
  }
  test("a character that the font lacks has the width of its box", () => {
    assert.equal(textWidth("\u{1f600}", 2048), textWidth("\u{1f601}", 2048));
    assert.ok(textWidth("\u{1f600}", 2048) > 0);
  });

  const { regular, bold } = fontFiles();
  const font = {
    loadSystemFonts: false,
    fontFiles: [regular, bold],
    defaultFontFamily: "DejaVu Sans",
  };
  for (const [text, weight] of [
    ["4 workers: async took 15 % less time than sync", "bold"],
    ["accuracy (%), axis not from 0", "normal"],
    ["sync_4workers*, 97.68 ± 0.07 %", "normal"],
  ] as const) {
    test(`"${text}" is drawn as wide as it is measured`, () => {
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="2000" height="100">
        <text x="10" y="50" font-size="40" font-weight="${weight}">${text}</text></svg>`;
      const drawn = new Resvg(svg, { font }).innerBBox()!.width;
      const measured = textWidth(text, 40, weight === "bold");
      // Kerning and the letters' own side bearings are what differs.
      assert.ok(Math.abs(drawn - measured) < 0.015 * measured, `${drawn} against ${measured}`);
      assert.ok(drawn <= measured, `${drawn} against ${measured}`);
    });
  }
});

/**
 * Vega-Lite to SVG to PNG. The libraries are loaded when the first chart is drawn. Everything that
 * could differ between machines is taken out: text is measured with the font's own widths, resvg
 * gets the font's files and no font of the system, and ids are counted from the start each time.
 */
import type { TopLevelSpec } from "vega-lite";
import { assert } from "../../assert.js";
import { fontFiles, textWidth } from "./font-metrics.js";
import type { Spec } from "./line-panel.js";

/** Dots of a PNG for each pixel of the chart. */
export const pngScale = 2;

/** What Vega knows of a text that it measures. */
interface TextItem {
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}

interface TextMetrics {
  width: (item: TextItem, text: unknown) => number;
}

/** Draws a specification as SVG. The same specification always gives the same text. */
export async function renderSvg(spec: Spec): Promise<string> {
  const vega = await import("vega");
  const { compile } = await import("vega-lite");
  const { textMetrics, resetSVGDefIds } = vega as unknown as {
    readonly textMetrics: TextMetrics;
    readonly resetSVGDefIds: () => void;
  };
  textMetrics.width = (item, text) =>
    textWidth(String(text ?? ""), item.fontSize ?? 11, isBold(item.fontWeight));
  const complaints: string[] = [];
  const complain = (...words: readonly unknown[]) => {
    complaints.push(words.map(String).join(" "));
    return logger;
  };
  const logger = { ...vega.logger(vega.Warn), warn: complain, error: complain };
  const compiled = compile(spec as unknown as TopLevelSpec, { logger });
  resetSVGDefIds();
  const view = new vega.View(vega.parse(compiled.spec), { renderer: "none", logger });
  try {
    const svg = await view.toSVG();
    assert(complaints.length === 0, "Vega draws without complaint", { complaints });
    return withDescription(svg, String(spec.description ?? ""));
  } finally {
    view.finalize();
  }
}

/** Draws an SVG as PNG, `pngScale` dots for each of its pixels. */
export async function renderPng(svg: string): Promise<Uint8Array> {
  const { Resvg } = await import("@resvg/resvg-js");
  const { regular, bold } = fontFiles();
  const font = {
    loadSystemFonts: false,
    fontFiles: [regular, bold],
    defaultFontFamily: "DejaVu Sans",
    sansSerifFamily: "DejaVu Sans",
  };
  return new Resvg(svg, { font, fitTo: { mode: "zoom", value: pngScale } }).render().asPng();
}

function isBold(weight: string | number | undefined): boolean {
  return weight === "bold" || Number(weight) >= 600;
}

/** What a reader who does not see the chart is told. */
function withDescription(svg: string, description: string): string {
  const text = description.replace(/[&<>"]/g, (sign) => `&#${sign.codePointAt(0)};`);
  return svg.replace("<svg ", `<svg role="img" aria-label="${text}" `);
}

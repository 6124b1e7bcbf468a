/** Where the texts of an SVG stand, worked out from its own numbers and the font's widths. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { textWidth } from "../chart/font-metrics.js";

/** A line of text and the box around its letters. */
export interface TextBox {
  readonly text: string;
  readonly sizePx: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Moves by (x, y), then turns left by a quarter or not at all; nothing else occurs. */
interface Place {
  readonly x: number;
  readonly y: number;
  readonly isTurned: boolean;
}

/** The boxes of every line of text in an SVG as Vega writes it. */
export function textBoxes(svg: string): TextBox[] {
  const boxes: TextBox[] = [];
  const places: Place[] = [{ x: 0, y: 0, isTurned: false }];
  const tokens = /<g\b([^>]*)(?<!\/)>|<\/g>|<text\b([^>]*)(?<!\/)>(.*?)<\/text>/gs;
  for (const [token, group, attributes, content] of svg.matchAll(tokens)) {
    if (token === "</g>") places.pop();
    else if (group !== undefined) places.push(placed(places.at(-1)!, group));
    else boxes.push(...boxesOf(placed(places.at(-1)!, attributes!), attributes!, content!));
  }
  assert.equal(places.length, 1, "every group is closed");
  return boxes;
}

/** Pairs of texts whose boxes share more than a hair's breadth. */
export function overlaps(boxes: readonly TextBox[]): string[] {
  const slack = 0.5;
  return boxes.flatMap((one, index) =>
    boxes
      .slice(index + 1)
      .filter(
        (other) =>
          Math.min(one.right, other.right) - Math.max(one.left, other.left) > slack &&
          Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > slack,
      )
      .map((other) => `"${one.text}" over "${other.text}"`),
  );
}

/** Texts that stick out of the picture or touch its edge. */
export function cutOff(svg: string, boxes: readonly TextBox[]): string[] {
  const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!.map(Number);
  return boxes
    .filter(({ left, top, right, bottom }) => {
      return left < 2 || top < 2 || right > width! - 2 || bottom > height! - 2;
    })
    .map(({ text, left, right }) => `"${text}" from ${left} to ${right} of ${width}`);
}

function placed(outer: Place, attributes: string): Place {
  const [, transform = ""] = /transform="([^"]*)"/.exec(attributes) ?? [];
  let place = outer;
  for (const [, verb, numbers] of transform.matchAll(/(\w+)\(([^)]*)\)/g)) {
    const [x = 0, y = 0] = numbers!.split(",").map(Number);
    if (verb === "translate") {
      const step = place.isTurned
        ? { x: place.x + y, y: place.y - x }
        : { x: place.x + x, y: place.y + y };
      place = { ...place, ...step };
    } else if (verb === "rotate" && (x === -90 || x === 0)) {
      place = { ...place, isTurned: place.isTurned || x === -90 };
    } else assert.fail(`a transform that this test does not know: ${transform}`);
  }
  return place;
}

function boxesOf(place: Place, attributes: string, content: string): TextBox[] {
  const read = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(attributes)?.[1];
  const sizePx = Number.parseFloat(read("font-size")!);
  const bold = read("font-weight") === "bold";
  const anchor = read("text-anchor") ?? "start";
  let down = 0;
  const lines = content.includes("<tspan")
    ? [...content.matchAll(/<tspan([^>]*)>([^<]*)<\/tspan>/g)].map(([, own, text]) => {
        down += Number(/dy="([^"]*)"/.exec(own!)?.[1] ?? 0);
        return { text: plain(text!), down };
      })
    : [{ text: plain(content), down }];
  return lines
    .filter(({ text }) => text.trim() !== "")
    .map((line) => {
      const width = textWidth(line.text, sizePx, bold);
      const start = anchor === "end" ? -width : anchor === "middle" ? -width / 2 : 0;
      // Letters reach from three quarters of the size above the line to a fifth below it.
      const [top, bottom] = [line.down - 0.76 * sizePx, line.down + 0.22 * sizePx];
      const { x, y, isTurned } = place;
      const { text } = line;
      return isTurned
        ? {
            text,
            sizePx,
            left: x + top,
            right: x + bottom,
            top: y - start - width,
            bottom: y - start,
          }
        : {
            text,
            sizePx,
            left: x + start,
            right: x + start + width,
            top: y + top,
            bottom: y + bottom,
          };
    });
}

function plain(text: string): string {
  const signs: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', amp: "&" };
  return text.replace(/&(\w+);/g, (all, name: string) => signs[name] ?? all);
}

const sample = (x: number) =>
  `<svg width="200" height="60"><g transform="translate(10,20)"><g transform="translate(0,0)">
  <text transform="translate(0,10)" font-size="10px">width</text></g>
  <text text-anchor="end" transform="translate(${x},10)" font-size="10px">a &amp; b</text>
  <text transform="translate(100,30) rotate(-90) translate(0,-2)" font-size="10px">up</text>
  </g></svg>`;

test("boxes follow groups, anchors and turned text", () => {
  const [width, both, up] = textBoxes(sample(90)) as [TextBox, TextBox, TextBox];
  assert.deepEqual([width.left, width.text], [10, "width"]);
  assert.equal(width.right, 10 + textWidth("width", 10));
  assert.deepEqual([both.right, both.text], [100, "a & b"]);
  assert.equal(up.bottom, 50);
  assert.ok(Math.abs(up.bottom - up.top - textWidth("up", 10)) < 1e-9);
  assert.ok(up.left < 108 && up.right < 111, `${up.left} to ${up.right}`);
});
test("texts in each other's way are found, and those that stick out", () => {
  assert.deepEqual(overlaps(textBoxes(sample(90))), []);
  assert.deepEqual(overlaps(textBoxes(sample(40))), ['"width" over "a & b"']);
  assert.deepEqual(cutOff(sample(90), textBoxes(sample(90))), []);
  assert.match(cutOff(sample(5), textBoxes(sample(5))).join(), /"a & b" from/);
});

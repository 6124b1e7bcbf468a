/** What lies between the processes of a measured run: which link, and which compression. */

import { CodecTable } from "../../compression/codecs/codec.js";
import { scalarConversions } from "../../kernels/scalar-conversions.js";
import { optional, type ValueType } from "../../options/option-values.js";
import { compression } from "../../options/options-wire.js";
import {
  type Compression,
  compressionTitle,
  pullCompressions,
  pushCompressions,
  sharedCodecs,
  uncompressed,
} from "../../protocol/compression.js";
import { type BenchOption, severalOf } from "../harness/bench-option.js";
import { type Link, linkTitle, linkType } from "../harness/link.js";

const codecTable = new CodecTable(scalarConversions);
const sampleValues = 65_536;

/** What pushes and pulls are written as. */
export interface CompressionPair {
  readonly push: Compression;
  readonly pull: Compression;
}

const none: CompressionPair = { push: uncompressed.push, pull: uncompressed.pull };
const ofPush = compression(pushCompressions);
const ofPull = compression(pullCompressions);

/** PUSH+PULL, such as topk:0.01+topk:0.01; PUSH alone leaves the pulls as they are. */
export const compressionPair: ValueType<CompressionPair> = {
  placeholder: "push+pull",
  wanted: `codecs of pushes and pulls, such as fp16+bf16 or topk:0.01+topk:0.01`,
  parse(text) {
    const [first = "", second, ...others] = text.split("+");
    if (others.length > 0) return { problem: "has more than a push and a pull" };
    const push = ofPush.parse(first);
    if ("problem" in push) return { problem: `has a push that ${push.problem}` };
    if (second === undefined) return { value: { ...none, push: push.value } };
    const pull = ofPull.parse(second);
    if ("problem" in pull) return { problem: `has a pull that ${pull.problem}` };
    return { value: { push: push.value, pull: pull.value } };
  },
  print: pairTitle,
  schema: { type: "string" },
};

/** A link and a compression. */
export interface WireSetup {
  /** Null where processes reach each other directly. */
  readonly link: Link | null;
  readonly compression: CompressionPair;
}

/** Nothing between, nothing compressed. */
export const plainWire: WireSetup = { link: null, compression: none };

/** Links and compressions, as options of a benchmark. */
export interface WireLists {
  readonly links: readonly (Link | null)[];
  readonly compressions: readonly CompressionPair[];
}

/** The options of both lists. */
export const wireOptions: { readonly [Key in keyof WireLists]: BenchOption<WireLists[Key]> } = {
  links: {
    name: "link",
    type: severalOf(optional(linkType)),
    default: [null],
    sentence: "each server's network card, a proxy: 100Mb/s, or 1Gb/s/5ms with a delay, or none",
  },
  compressions: {
    name: "compress",
    type: severalOf(compressionPair),
    default: [none],
    sentence: "codecs of pushes and pulls; each is compared with none",
  },
};

/** Every link with every compression. */
export function wireSetupsOf({ links, compressions }: WireLists): WireSetup[] {
  return links.flatMap((link) => compressions.map((compression) => ({ link, compression })));
}

/** True where values travel as they are, both ways. */
export function isRaw({ compression: { push, pull } }: WireSetup): boolean {
  return push.codec === "none" && pull.codec === "none";
}

/** What a row's name has of it: nothing for the plain one. */
export function wireTitle(wire: WireSetup): string {
  const link = wire.link === null ? "" : `/${linkTitle(wire.link)}`;
  return isRaw(wire) ? link : `${link}/${pairTitle(wire.compression)}`;
}

/**
 * The share of the values' bytes that the fuller direction carries, not less than it does; `auto`
 * begins with all of them.
 */
export function bytesShare({ compression: { push, pull } }: WireSetup): number {
  return Math.max(...[push, pull].map(shareOf));
}

function shareOf({ codec, share }: Compression): number {
  if (codec === "none" || codec === "auto") return 1;
  // A value that is kept takes as many bytes again for its place at most.
  if (sharedCodecs.includes(codec)) return 2 * share;
  return codecTable.named(codec).sizes(sampleValues).max / (4 * sampleValues);
}

function pairTitle({ push, pull }: CompressionPair): string {
  const pushes = compressionTitle(push);
  return pull.codec === "none" ? pushes : `${pushes}+${compressionTitle(pull)}`;
}

/** The form of `dataset.json`. Loaded when there is one to read: zod takes a while to load. */
import { z } from "zod";

const positive = z.int().positive();
const number = z.number().min(-1e6).max(1e6);

const shard = z.strictObject({
  // A plain name: nothing outside the folder, nothing hidden.
  file: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "is not a plain file name"),
  examples: positive,
  bytes: positive,
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "is not a SHA-256"),
});

const split = z.strictObject({
  examples: positive,
  shardExamples: positive,
  shards: z.array(shard).min(1),
});

/** All of `dataset.json`. */
export const indexForm = z.strictObject({
  format: z.literal("paceline-shards"),
  version: z.literal(1),
  classes: z.int().min(2).max(65_536),
  classNames: z.array(z.string()),
  shape: z.tuple([positive.max(4096), positive.max(65_535), positive.max(65_535)]),
  mean: z.array(number),
  std: z.array(number.positive()),
  record: z.strictObject({
    bytes: positive,
    label: z.literal("u16le"),
    pixels: z.literal("u8"),
  }),
  train: split,
  test: split,
});

/** The content of `dataset.json`. */
export type ShardIndex = Readonly<z.infer<typeof indexForm>>;
/** What it says of one split. */
export type ShardedSplit = Readonly<z.infer<typeof split>>;
/** Its entry on one file. */
export type ShardEntry = Readonly<z.infer<typeof shard>>;

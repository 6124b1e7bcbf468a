/** What a measurement runs, and how many steps it needs to tell something. */
import { trainableValues } from "../../nn/model.js";
import { buildModel } from "../../nn/models.js";
import { bytesShare, type WireSetup } from "./wire-setups.js";

/** What is trained; further options go into `options`, those that all members need into `ofAll`. */
export interface Workload {
  readonly model: string;
  readonly workers: number;
  readonly servers: number;
  /** Servers that hold each chunk. */
  readonly replicas: number;
  /** Examples of one worker's step. */
  readonly batch: number;
  /** Steps of one worker in each epoch that counts; a first epoch as long warms up. */
  readonly steps: number;
  readonly transport: string;
  readonly wire: WireSetup;
  readonly options: readonly string[];
  readonly ofAll?: readonly string[];
}

/** Epochs of a run. */
export const epochsOf = { all: 3, warmUp: 1 } as const;

/** What data of a model's measured runs look like. */
export interface DataShape {
  readonly classes: number;
  /** Channels, rows, columns. */
  readonly inputShape: readonly [number, number, number];
}

/** Small pictures, of as many classes as the model is known for. */
export function dataShapeOf(model: string): DataShape {
  if (model === "logistic") return { classes: 2, inputShape: [1, 28, 28] };
  if (model === "mlp") return { classes: 10, inputShape: [1, 28, 28] };
  return { classes: 100, inputShape: [3, 32, 32] };
}

/** How many values servers and workers exchange of a model. */
export function valuesOf(model: string): number {
  return trainableValues(buildModel(model, dataShapeOf(model)));
}

type Exchange = Pick<Workload, "model" | "workers" | "servers" | "wire">;

/** How long the bytes of one step occupy a server's link, about; 0 where there is none. */
export function linkSeconds({ model, workers, servers, wire }: Exchange): number {
  if (wire.link === null) return 0;
  const bits = 32 * valuesOf(model) * bytesShare(wire) * workers;
  return bits / servers / wire.link.bitsPerSecond + (2 * wire.link.delayMs) / 1000;
}

/** Steps after which `--compress auto` has chosen, and some more. */
const stepsOfChoosing = 15;
/** How long an epoch over a link should take at most. */
const linkedEpochSeconds = 10;

/** Steps of an epoch: `most`, or fewer where a link is slow; not so few that it tells nothing. */
export function stepsFor(exchange: Exchange, most: number): number {
  const least = exchange.wire.compression.push.codec === "auto" ? stepsOfChoosing : 2;
  const seconds = linkSeconds(exchange);
  return Math.max(
    least,
    seconds === 0 ? most : Math.min(most, Math.floor(linkedEpochSeconds / seconds)),
  );
}

/** Steps of a second or two where nothing is computed, on a machine with few cores. */
export function stepsOfMoving({ model, workers }: Exchange): number {
  const seconds = workers * (0.00025 + (4 * valuesOf(model)) / 2e9);
  return Math.min(5000, Math.ceil(1.5 / seconds));
}

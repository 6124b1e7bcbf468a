/** The form of `coordinator.json`. Loaded when there is one to read: zod takes a while to load. */
import { z } from "zod";
import { termMax, termOf } from "../protocol/ids.js";
import { phaseMomentumFields } from "../protocol/plan/phase-momentum.js";
import type { View } from "../protocol/view.js";
import { protocolForm, runSpecForm } from "./checkpoint/manifest-form.js";
import { stateFormat } from "./coordinator-state.js";

const whole = z.int().nonnegative();
const identity = { incarnation: whole };
const frames = z.object({ tcp: z.string(), unix: z.string(), machine: z.string() });

const worker = z.object({ rank: whole, ...identity, fromStep: whole });

const momentum = z.object({
  start: z.number().min(0).lt(1),
  growth: z.enum(phaseMomentumFields.growth.words),
  fromExamples: whole,
});

const view: z.ZodType<View> = z
  .object({
    run: z.string(),
    number: whole,
    generation: whole,
    phase: whole,
    phaseFromStep: whole,
    // Of a writer that knew no plans the run's own is filled in.
    protocol: protocolForm.default({ mode: "" }),
    lrFactor: z.number().positive().default(1),
    momentum: momentum.nullable().default(null),
    servers: z.array(
      z.object({ index: whole, ...identity, address: z.string(), frames: frames.nullable() }),
    ),
    workers: z.array(worker),
    replicas: z.array(z.array(whole).min(1)),
    fences: z.array(whole),
    candidates: z.array(z.object({ chunk: whole, server: whole })).default([]),
    departing: z.array(worker).default([]),
  })
  .refine(({ replicas, fences }) => replicas.length === fences.length, "a fence for each chunk");

const origin = z.object({
  spec: runSpecForm,
  resumedFrom: z.string().nullable(),
  resumedStep: whole.nullable(),
  workersAtStart: whole.nullable(),
});

/** All of the file. */
export const stateSchema = z
  .object({
    format: z.literal(stateFormat),
    term: z.int().min(1).max(termMax),
    run: z.string(),
    view: view.nullable(),
    progress: z.json(),
    at: z.object({ boot: z.string(), sinceBootMs: z.number(), timeMs: z.number() }).optional(),
    generation: whole.default(0),
    start: origin.nullable().default(null),
    rest: z.json().default(null),
  })
  .refine(
    ({ term, view }) => view === null || termOf(view.number) <= term,
    "a view of a later term",
  )
  .transform((state) => {
    const { view, start } = state;
    if (view === null || view.protocol.mode !== "") return state;
    return { ...state, view: { ...view, protocol: start?.spec.protocol ?? { mode: "bsp" } } };
  });

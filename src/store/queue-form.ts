/** The form of `.queue.json`. Loaded when there is one to read: zod takes a while to load. */
import { z } from "zod";
import { termMax } from "../protocol/ids.js";
import { type KeptJob, queueFormat } from "./queue-state.js";

const whole = z.int().nonnegative();
const sentence = z.string().max(65_536);

const job: z.ZodType<KeptJob> = z.object({
  id: z.int().positive(),
  name: z.string().min(1),
  state: z.enum(["queued", "running", "done", "failed", "cancelled"]),
  priority: z.int(),
  workers: whole,
  servers: whole,
  submittedAt: z.string(),
  startedAt: z.string().nullable(),
  endedAt: z.string().nullable(),
  submitter: z.object({ host: z.string(), pid: whole }).nullable(),
  reason: sentence,
  result: z
    .object({
      exitCode: whole,
      code: z.string().nullable(),
      globalSteps: whole,
      accuracyPercent: z.number().nullable(),
      loss: z.number().nullable(),
      seconds: z.number(),
    })
    .nullable(),
  config: z.string(),
  hasBegun: z.boolean(),
  isStopped: z.boolean(),
  isCancelled: z.boolean(),
  passedBy: whole,
});

/** All of the file. */
export const queueSchema = z
  .object({
    format: z.literal(queueFormat),
    term: z.int().min(0).max(termMax),
    taken: whole,
    jobs: z.array(job),
  })
  .refine(
    ({ jobs, taken }) => jobs.every(({ id }) => id <= taken),
    "a job has a number that was not given",
  );

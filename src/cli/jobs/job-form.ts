/** What a coordinator says of jobs, checked: what is shown must be there, the rest is let be. */
import { z } from "zod";
import { PacelineError } from "../../errors.js";
import type { JobSummary } from "../../protocol/run-events.js";

const job = z.looseObject({
  id: z.number(),
  name: z.string(),
  state: z.enum(["queued", "running", "done", "failed", "cancelled"]),
  waitsFor: z.string(),
  priority: z.number(),
  workers: z.number(),
  servers: z.number(),
  submittedAt: z.string(),
  startedAt: z.string().nullable(),
  endedAt: z.string().nullable(),
  submitter: z.looseObject({ host: z.string(), pid: z.number() }).nullable(),
  reason: z.string(),
  result: z
    .looseObject({
      exitCode: z.number(),
      globalSteps: z.number(),
      accuracyPercent: z.number().nullable(),
      loss: z.number().nullable(),
      seconds: z.number(),
    })
    .nullable(),
});

/** The jobs that a coordinator sent. */
export function jobsForm(told: unknown, address: string): JobSummary[] {
  const parsed = z.array(job).safeParse(told);
  if (parsed.success) return parsed.data as unknown as JobSummary[];
  const issue = parsed.error.issues[0]!;
  const where = issue.path.join(".") || "the whole";
  const sentence = `${address} sent jobs of another form (${where}: ${issue.message})`;
  throw new PacelineError("protocol", `${sentence}; run the same version of Paceline on both`);
}

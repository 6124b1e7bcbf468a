/** `paceline status`: what a coordinator is doing, as a table or as the JSON it sent. */
import { z } from "zod";
import { PacelineError } from "../../errors.js";
import type { CoordinatorSnapshot } from "../../protocol/run-events.js";
import { printable } from "../../report/progress.js";
import type { ServedMember, ServingSnapshot } from "../../runtime/serving/serving-picture.js";
import type { Transport } from "../../transport/transport.js";
import { adminTransport } from "../admin-transport.js";
import { type AdminCall, coordinatorAddress } from "../coordinator-address.js";

/** Runs the command; resolves to the exit code. */
export async function status(
  options: AdminCall["options"],
  io: AdminCall["io"],
  transport: Transport = adminTransport(options),
): Promise<number> {
  try {
    const address = await coordinatorAddress(options, transport);
    const told = await transport.status(address);
    const snapshot = checked(told, address);
    const text = options.json ? JSON.stringify(told) : statusLines(snapshot, address).join("\n");
    io.stdout.write(`${text}\n`);
    return 0;
  } finally {
    await transport.close();
  }
}

/** What is shown; what only a coordinator that serves has may be missing. */
type Shown = CoordinatorSnapshot & Partial<Pick<ServingSnapshot, "runs" | "jobs">>;

/** The snapshot for people. */
export function statusLines(snapshot: Shown, address: string): string[] {
  const { name, phase, activity, members, evaluations, moves, runs = [], jobs = [] } = snapshot;
  const lines = [
    `coordinator ${address}`,
    `run         ${name === null ? "none" : printable(name)}`,
    `phase       ${printable(phase)}: ${printable(activity)}`,
  ];
  if (runs.length > 1) {
    for (const run of runs) {
      const where = `epoch ${run.epoch + 1} of ${run.epochs}, step ${run.globalSteps}`;
      lines.push(`runs        ${printable(run.name ?? "")}: ${printable(run.phase)}, ${where}`);
    }
  }
  for (const job of jobs.filter(({ state }) => state === "queued")) {
    lines.push(`queued      ${printable(job.name)} ${printable(job.waitsFor)}`.trimEnd());
  }
  if (name !== null) {
    const { epoch, epochs, globalSteps, examples, totalExamples } = snapshot;
    const share = totalExamples === 0 ? 0 : (100 * examples) / totalExamples;
    const done = `${examples} of ${totalExamples} examples (${share.toFixed(1)}%)`;
    lines.push(`progress    epoch ${epoch + 1} of ${epochs}, step ${globalSteps}, ${done}`);
  }
  if (moves.left > 0) lines.push(`chunk moves ${moves.left} of ${moves.total} left`);
  for (const { step, epoch, accuracyPercent, loss, final } of evaluations) {
    const accuracy = `accuracy ${accuracyPercent.toFixed(2)}%, loss ${loss.toFixed(4)}`;
    lines.push(
      `evaluated   step ${step}, epoch ${epoch + 1}${final ? " (final)" : ""}: ${accuracy}`,
    );
  }
  if (members.length === 0) return [...lines, "members     none"];
  const serves = members.some((member) => "job" in member);
  const jobOf = (member: (typeof members)[number]) =>
    serves ? [printable((member as ServedMember).job ?? "-")] : [];
  const rows = members.map((member) => [
    ...jobOf(member),
    `${member.role}-${member.rank}`,
    `${member.pid}`,
    printable(member.host),
    member.state,
    member.worker === null ? "-" : `${member.worker.clock}`,
    printable(member.state === "alive" ? member.activity : member.reason),
  ]);
  const titles = ["Member", "Pid", "Host", "State", "Step", "Doing"];
  return [...lines, "", ...table([...(serves ? ["Job"] : []), ...titles], rows)];
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  return [titles, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}

const evaluation = z.looseObject({
  epoch: z.number(),
  step: z.number(),
  final: z.boolean(),
  accuracyPercent: z.number(),
  loss: z.number(),
});

const member = z.looseObject({
  role: z.enum(["server", "worker"]),
  rank: z.number(),
  pid: z.number(),
  host: z.string(),
  state: z.enum(["alive", "suspect", "dead"]),
  reason: z.string(),
  activity: z.string(),
  worker: z.looseObject({ clock: z.number() }).nullable(),
  job: z.string().nullable().optional(),
});

const run = z.looseObject({
  name: z.string().nullable(),
  phase: z.string(),
  epoch: z.number(),
  epochs: z.number(),
  globalSteps: z.number(),
});

const job = z.looseObject({ name: z.string(), state: z.string(), waitsFor: z.string() });

const snapshotSchema = z.looseObject({
  name: z.string().nullable(),
  phase: z.string(),
  activity: z.string(),
  epoch: z.number(),
  epochs: z.number(),
  globalSteps: z.number(),
  examples: z.number(),
  totalExamples: z.number(),
  moves: z.looseObject({ left: z.number(), total: z.number() }),
  members: z.array(member),
  evaluations: z.array(evaluation),
  runs: z.array(run).optional(),
  jobs: z.array(job).optional(),
});

/** What is shown of a snapshot must be there; what is not is let be. */
function checked(told: unknown, address: string): Shown {
  const parsed = snapshotSchema.safeParse(told);
  if (parsed.success) return parsed.data as unknown as Shown;
  const issue = parsed.error.issues[0]!;
  const where = issue.path.join(".") || "the whole";
  const sentence = `${address} sent a status of another form (${where}: ${issue.message})`;
  throw new PacelineError("protocol", `${sentence}; run the same version of Paceline on both`);
}

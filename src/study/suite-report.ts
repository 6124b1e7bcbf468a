/**
 * What a suite has shown: one row for each experiment with mean and spread over its repeats, how
 * time and accuracy follow the number of workers, how the modes compare, and what is to be kept in
 * mind. As rows for the console, and as a page that stands for itself.
 */
import type { SummaryRow } from "../store/runs/console-tables.js";
import { modeWord } from "../store/runs/experiment-file.js";
import type { Cell } from "./cells.js";
import { type Compared, confoundsOf, confoundText } from "./confounds.js";
import { type Spread, spreadOf } from "./group-results.js";
import type { PlannedCell } from "./suite-book.js";
import { durationText, isCrowded } from "./suite-plan.js";

/** One experiment: a cell with all its repeats and seeds. */
export interface ReportGroup {
  readonly name: string;
  /** The format's word for the protocol. */
  readonly mode: string;
  readonly workers: number;
  /** What it has beside mode and workers, the same for groups that may be compared. */
  readonly setting: string;
  /** Every option that some cell sets, as it is here; what belongs to a mode apart. */
  readonly settings: Readonly<Record<string, string>>;
  readonly crowded: boolean;
  readonly runs: number;
  readonly seconds: Spread | null;
  readonly epochSeconds: Spread | null;
  readonly accuracyPercent: Spread | null;
  /** Time of one worker of the same mode and setting, over its own; null without such. */
  readonly speedUp: number | null;
}

/** What the page is made of. */
export interface ReportFacts {
  readonly title: string;
  readonly question: string | null;
  /** The command lines that make this page, in order. */
  readonly commands: readonly string[];
  readonly planned: readonly PlannedCell[];
  readonly cores: number;
  /** Names of the pictures in charts/. */
  readonly charts: readonly string[];
  /** Further notes, each a sentence. */
  readonly remarks: readonly string[];
}

/** Options that tell the mode, or that only some modes have. */
const ownToMode =
  /^(?:mode|workers|seed|name|staleness.*|local-steps|outer-.*|quorum|grace|backup-workers)$/;

/** Groups the finished cells, in the matrix's order. */
export function reportGroups(planned: readonly PlannedCell[], cores: number): ReportGroup[] {
  const byGroup = new Map<string, PlannedCell[]>();
  for (const one of planned) {
    if (one.decision.kind !== "skip") continue;
    byGroup.set(one.cell.group, [...(byGroup.get(one.cell.group) ?? []), one]);
  }
  const names = new Set(planned.flatMap(({ cell }) => [...cell.values.keys()]));
  const compared = [...names].filter((name) => !ownToMode.test(name));
  const groups = [...byGroup].map(([name, members]): ReportGroup => {
    const { cell } = members[0]!;
    const studies = members.map(({ disk }) => disk.study);
    return {
      name: members.length === 1 ? cell.name : name,
      mode: modeWord(cell.facts.mode),
      workers: cell.facts.workers,
      setting: settingOf(cell),
      settings: Object.fromEntries(compared.map((one) => [one, cell.facts.print(one) || "none"])),
      crowded: members.some(({ disk, cell: { facts } }) => {
        return disk.study?.crowded ?? isCrowded(facts, cores);
      }),
      runs: members.length,
      seconds: spreadOf(studies.map((study) => study?.seconds)),
      epochSeconds: spreadOf(studies.map((study) => study?.epochSeconds)),
      accuracyPercent: spreadOf(studies.map((study) => study?.accuracyPercent)),
      speedUp: null,
    };
  });
  return groups.map((group) => ({ ...group, speedUp: speedUpOf(group, groups) }));
}

/** The rows of the console's table. */
export function summaryRows(groups: readonly ReportGroup[]): SummaryRow[] {
  return groups.map((group) => ({
    experiment: `${group.name}${group.crowded ? " *" : ""}`,
    mode: group.mode,
    workers: group.workers,
    seconds: group.seconds?.mean ?? null,
    epochSeconds: group.epochSeconds?.mean ?? null,
    accuracyPercent: group.accuracyPercent?.mean ?? null,
    deviations: {
      seconds: group.seconds?.std ?? null,
      epochSeconds: group.epochSeconds?.std ?? null,
      accuracyPercent: group.accuracyPercent?.std ?? null,
    },
  }));
}

/** The page, as Markdown. */
export function reportPage(facts: ReportFacts): string {
  const groups = reportGroups(facts.planned, facts.cores);
  const sections = [
    [`# ${facts.title}`],
    facts.question === null ? [] : [`**Question.** ${facts.question.trim()}`],
    ["```", ...facts.commands, "```"],
    [circumstances(facts.planned)],
    [choices(facts.planned.map(({ cell }) => cell))],
    answer(groups),
    resultSection(groups),
    scalingSection(groups),
    comparisonSection(groups),
    chartSection(facts.charts),
    noteSection(facts, groups),
  ];
  const filled = sections.filter((lines) => lines.length > 0);
  return `${filled.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

function settingOf({ varying, facts }: Cell): string {
  const names = varying.filter((name) => name !== "seed");
  return names.map((name) => `${name}=${facts.print(name) || "none"}`).join(" ");
}

function speedUpOf(group: ReportGroup, groups: readonly ReportGroup[]): number | null {
  const alone = groups.find(
    ({ mode, setting, workers }) =>
      workers === 1 && mode === group.mode && setting === group.setting,
  );
  if (!alone?.seconds?.mean || !group.seconds?.mean) return null;
  return alone.seconds.mean / group.seconds.mean;
}

function circumstances(planned: readonly PlannedCell[]): string {
  const finished = planned.filter(({ decision }) => decision.kind === "skip");
  const machines = new Set(
    finished.map(({ disk: { machine } }) => {
      if (machine === null) return "a machine that its file does not name";
      const { cpu, cores, platform, node } = machine;
      return `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}, ${platform}, Node.js ${node}`;
    }),
  );
  const seconds = planned.reduce((sum, { disk }) => sum + (disk.record?.seconds ?? 0), 0);
  const runs = `${finished.length} of ${planned.length} runs done`;
  const on = machines.size === 0 ? "" : ` **Machine.** ${[...machines].join("; ")}.`;
  return `**Time.** ${(seconds / 60).toFixed(1)} minutes, ${runs}.${on}`;
}

/** What all cells have in common, and what each mode has of its own beside it. */
function choices(cells: readonly Cell[]): string {
  const first = cells[0]!;
  const hidden = new Set(["mode", "workers", "seed", ...first.varying]);
  const names = [...new Set(cells.flatMap(({ values }) => [...values.keys()]))];
  const told = names.filter((name) => !hidden.has(name));
  const same = (name: string, some: readonly Cell[]) =>
    some.every(({ facts }) => facts.print(name) === some[0]!.facts.print(name));
  const texts = (some: readonly Cell[], wanted: readonly string[]) =>
    wanted.map((name) => `${name} ${some[0]!.facts.print(name) || "none"}`).join(", ");
  const common = told.filter((name) => same(name, cells));
  const modes = [...new Set(cells.map(({ facts }) => facts.mode))].flatMap((mode) => {
    const some = cells.filter(({ facts }) => facts.mode === mode);
    const own = told.filter(
      (name) => !common.includes(name) && some[0]!.values.has(name) && same(name, some),
    );
    return own.length === 0 ? [] : [`${modeWord(mode)}: ${texts(some, own)}`];
  });
  return `**Options.** ${[texts(cells, common), ...modes].filter((one) => one !== "").join("; ")}.`;
}

interface Pair {
  readonly left: ReportGroup;
  readonly right: ReportGroup;
}

/** Groups that differ in their mode alone; on the left the one that keeps step, else the first. */
function pairsOf(groups: readonly ReportGroup[]): Pair[] {
  const places = new Map<string, ReportGroup[]>();
  for (const group of groups) {
    const place = `${group.workers} ${group.setting}`;
    places.set(place, [...(places.get(place) ?? []), group]);
  }
  return [...places.values()].flatMap((rivals) => {
    const left = rivals.find(({ mode }) => mode === "sync") ?? rivals[0]!;
    return rivals.filter((right) => right !== left).map((right) => ({ left, right }));
  });
}

function answer(groups: readonly ReportGroup[]): string[] {
  const sentences = pairsOf(groups).flatMap(({ left, right }) => {
    if (!left.seconds?.mean || !right.seconds) return [];
    const ratio = (right.seconds.mean / left.seconds.mean).toFixed(2);
    const points = difference(left, right);
    const accuracy = points === null ? "" : ` and ended ${pointsText(points)}`;
    const told = percents(left, right);
    const where = `${count(left.workers, "worker")}${left.setting && ` (${left.setting})`}`;
    const took = `took ${ratio} times as long as ${left.mode}`;
    if (!left.crowded && !right.crowded) {
      return [`With ${where}, ${right.mode} ${took}${accuracy}${told}.`];
    }
    if (points === null) return [];
    const ended = `${right.mode} ended ${pointsText(points)}${told}`;
    return [`With ${where}, ${ended}; times are not comparable, as workers took turns.`];
  });
  if (sentences.length === 0) return [];
  const confounds = confoundText(confoundsOf(pairedGroups(groups)));
  const all = confounds === null ? sentences : [...sentences, confounds];
  return [`**Answer.** ${all.join("\n")}`];
}

/** The groups that are compared, with what else than the mode may explain a difference. */
function pairedGroups(groups: readonly ReportGroup[]): Compared[] {
  const pairs = pairsOf(groups).flatMap(({ left, right }) => [left, right]);
  return [...new Set(pairs)].map(({ mode, settings }) => ({ mode, settings, servers: null }));
}

function pointsText(points: number): string {
  if (Math.abs(points) < 0.005) return "equally accurate";
  return `${Math.abs(points).toFixed(2)} points ${points < 0 ? "lower" : "higher"}`;
}

function difference(left: ReportGroup, right: ReportGroup): number | null {
  if (left.accuracyPercent === null || right.accuracyPercent === null) return null;
  return right.accuracyPercent.mean - left.accuracyPercent.mean;
}

function percents(left: ReportGroup, right: ReportGroup): string {
  if (left.accuracyPercent === null || right.accuracyPercent === null) return "";
  const [first, second] = [right, left].map((group) => spreadText(group.accuracyPercent, 2));
  return ` (${first} % against ${second} %)`;
}

function resultSection(groups: readonly ReportGroup[]): string[] {
  if (groups.length === 0) return ["No run is done yet."];
  return [
    "## Results",
    "",
    ...table(
      ["Experiment", "Mode", "Workers", "Runs", "Time (s)", "Epoch (s)", "Accuracy (%)"],
      groups.map((group) => [
        marked(group),
        group.mode,
        String(group.workers),
        String(group.runs),
        spreadText(group.seconds, 1),
        spreadText(group.epochSeconds, 2),
        spreadText(group.accuracyPercent, 2),
      ]),
      2,
    ),
    "",
    "Time is that of training with its evaluations, the longest of the workers'; an epoch's is the",
    "mean over workers. Accuracy is that of the final parameters on the whole test set.",
    ...(groups.some(({ runs }) => runs > 1)
      ? ["Where there are several runs: mean ± sample standard deviation."]
      : []),
  ];
}

function scalingSection(groups: readonly ReportGroup[]): string[] {
  const scaled = groups.filter(({ speedUp }) => speedUp !== null);
  if (!scaled.some(({ workers }) => workers > 1)) return [];
  return [
    "## Speed-up",
    "",
    ...table(
      ["Experiment", "Workers", "Speed-up", "Efficiency (%)"],
      scaled.map((group) => [
        marked(group),
        String(group.workers),
        (group.speedUp as number).toFixed(2),
        ((100 * (group.speedUp as number)) / group.workers).toFixed(0),
      ]),
      1,
    ),
    "",
    "Speed-up is the time of one worker of the same mode over that of the row; efficiency is the",
    "speed-up over the number of workers.",
  ];
}

function comparisonSection(groups: readonly ReportGroup[]): string[] {
  const pairs = pairsOf(groups);
  if (pairs.length === 0) return [];
  const hasSetting = pairs.some(({ left }) => left.setting !== "");
  return [
    "## Modes compared",
    "",
    ...table(
      ["Workers", "Modes", "Times (s)", "Ratio", "Accuracies (%)", "Difference (points)"].concat(
        hasSetting ? ["Setting"] : [],
      ),
      pairs.map(({ left, right }) => {
        const points = difference(left, right);
        const ratio = left.seconds?.mean && right.seconds && right.seconds.mean / left.seconds.mean;
        return [
          `${left.workers}${left.crowded || right.crowded ? " \\*" : ""}`,
          `${left.mode} / ${right.mode}`,
          `${spreadText(left.seconds, 1)} / ${spreadText(right.seconds, 1)}`,
          ratio ? ratio.toFixed(2) : "-",
          `${spreadText(left.accuracyPercent, 2)} / ${spreadText(right.accuracyPercent, 2)}`,
          points === null ? "-" : `${points < 0 ? "" : "+"}${points.toFixed(2)}`,
          ...(hasSetting ? [left.setting] : []),
        ];
      }),
      6,
    ),
  ];
}

function chartSection(charts: readonly string[]): string[] {
  if (charts.length === 0) return [];
  const pictures = charts.map((name) => `![${name.replace(/\.[a-z]+$/, "")}](charts/${name})`);
  return ["## Charts", "", pictures.join("\n\n")];
}

function noteSection(facts: ReportFacts, groups: readonly ReportGroup[]): string[] {
  const { planned, cores, remarks } = facts;
  const notes: string[] = [...remarks];
  const told = planned.map(({ disk }) => disk.machine?.cores).find((one) => one !== undefined);
  if (groups.some(({ crowded }) => crowded))
    notes.push(
      `Marked \\*: more workers than the ` +
        `${count(Number(told ?? cores), "core")} ` +
        "of the machine. They take turns, so their times do not show how the system scales.",
    );
  if (pairsOf(groups).some(({ left, right }) => left.runs === 1 || right.runs === 1))
    notes.push(
      "A single run says nothing about chance: the seed may explain small differences. " +
        "`repeats: 5` in the matrix shows how far runs lie apart.",
    );
  for (const { cell, disk, decision } of planned) {
    if (decision.kind === "skip" && disk.record?.resumed)
      notes.push(`${cell.name} was resumed from a checkpoint after an interruption.`);
    if (decision.kind === "leave") notes.push(`${cell.name} ${oneLine(decision.reason)}.`);
    else if (decision.kind !== "skip") notes.push(`${cell.name} is not done.`);
  }
  const slowest = longest(planned);
  if (slowest !== null) notes.push(slowest);
  return notes.length === 0 ? [] : ["## Notes", "", ...notes.map((note) => `- ${note}`)];
}

/** What most of the suite's time went into. */
function longest(planned: readonly PlannedCell[]): string | null {
  const spent = planned.map(({ cell, disk }) => ({ cell, seconds: disk.record?.seconds ?? 0 }));
  const [most] = spent.sort((left, right) => right.seconds - left.seconds);
  if (most === undefined || most.seconds === 0) return null;
  return `The longest run, ${most.cell.name}, took ${durationText(most.seconds)}.`;
}

function table(titles: readonly string[], rows: readonly string[][], lefts: number): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rules = titles.map((_, index) => (index < lefts ? "---" : "---:"));
  return [line(titles), line(rules), ...rows.map(line)];
}

function marked({ name, crowded }: ReportGroup): string {
  return crowded ? `${name} \\*` : name;
}

function spreadText(spread: Spread | null, digits: number): string {
  if (spread === null) return "-";
  const mean = spread.mean.toFixed(digits);
  return spread.std === null ? mean : `${mean} ± ${spread.std.toFixed(digits)}`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replace(/\.$/, "");
}

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TableOfRuns } from "../cli/commands/experiments-suite.js";
import { summaryTable } from "../store/runs/console-tables.js";
import { expandMatrix } from "./cells.js";
import { readMatrixText } from "./matrix.js";
import type { StudyResult } from "./study-result.js";
import type { PlannedCell } from "./suite-book.js";
import type { CellRecord, Decision } from "./suite-plan.js";
import { reportGroups, reportPage, summaryRows } from "./suite-report.js";

const finished: Decision = { kind: "skip", reason: "finished" };
const machine = { cpu: "abacus", cores: 2, platform: "linux x64", node: "v20.0.0" };

interface Figures {
  readonly seconds: number;
  readonly accuracyPercent: number;
  readonly decision?: Decision;
  readonly resumed?: boolean;
}

/** The cells of a matrix with the figures of each, as if they had been run. */
function ran(matrix: string, figures: Readonly<Record<string, Figures>>): PlannedCell[] {
  const options = new TableOfRuns({});
  const text = `base: {model: mlp, data: mnist, epochs: 2}\n${matrix}`;
  const { cells } = expandMatrix(readMatrixText(text, "m.yaml", options), options);
  return cells.map((cell) => {
    const { seconds, accuracyPercent, decision, resumed = false } = figures[cell.name]!;
    const study = { name: cell.name, seconds, epochSeconds: seconds / 2, accuracyPercent };
    const record = { seconds: seconds + 1, resumed } as CellRecord;
    return {
      cell,
      decision: decision ?? finished,
      disk: {
        record,
        result: { kind: "none" },
        run: { exists: true, outcome: null, checkpointStep: null, pid: null },
        study: study as StudyResult,
        epochExamples: null,
        machine,
      },
    };
  });
}

const plain = ran(
  `axes: {workers: [1, 4], mode: [sync, async]}
when:
  - {match: {mode: async}, set: {lr: 0.5, staleness-rule: scale}}`,
  {
    sync_1workers: { seconds: 20, accuracyPercent: 97 },
    async_1workers: { seconds: 22, accuracyPercent: 97 },
    sync_4workers: { seconds: 8, accuracyPercent: 96.5, resumed: true },
    async_4workers: { seconds: 6, accuracyPercent: 95.25 },
  },
);
const page = (planned: readonly PlannedCell[], charts: readonly string[] = []) =>
  reportPage({
    title: "Trial",
    question: "Does it scale?",
    commands: ["paceline experiments run m.yaml", "paceline experiments report m.yaml"],
    planned,
    cores: 2,
    charts,
    remarks: [],
  });

describe("a report", () => {
  test("opens with question, commands, time, machine, options and answer", () => {
    const [opening] = page(plain).split("\n## Results");
    assert.equal(
      opening,
      `# Trial

**Question.** Does it scale?

\`\`\`
paceline experiments run m.yaml
paceline experiments report m.yaml
\`\`\`

**Time.** 1.0 minutes, 4 of 4 runs done. **Machine.** abacus, 2 cores, linux x64, Node.js v20.0.0.

**Options.** model mlp, data mnist, epochs 2; async: lr 0.5, staleness-rule scale.

**Answer.** With 1 worker, async took 1.10 times as long as sync and ended equally accurate \
(97.00 % against 97.00 %).
With 4 workers, async ended 1.25 points lower (95.25 % against 96.50 %); times are \
not comparable, as workers took turns.
These runs differ in more than the mode: in lr (sync 0.1, async 0.5). \
No difference between them is the mode's alone.
`,
    );
  });

  test("has results, speed-up over one worker of the same mode, and the modes side by side", () => {
    const text = page(plain);
    for (const row of [
      "| sync_1workers | sync | 1 | 1 | 20.0 | 10.00 | 97.00 |",
      "| async_4workers \\* | async | 4 | 1 | 6.0 | 3.00 | 95.25 |",
      "| sync_4workers \\* | 4 | 2.50 | 63 |",
      "| async_4workers \\* | 4 | 3.67 | 92 |",
      "| 4 \\* | sync / async | 8.0 / 6.0 | 0.75 | 96.50 / 95.25 | -1.25 |",
    ])
      assert.ok(text.includes(`\n${row}\n`), row);
  });

  test("shows pictures, and tells what to keep in mind", () => {
    const text = page(plain, ["scaling_analysis.png"]);
    assert.ok(text.includes("![scaling_analysis](charts/scaling_analysis.png)"));
    assert.match(text, /^- Marked \\\*: more .* than the 2 cores of the machine\./m);
    assert.match(text, /^- A single run says nothing about chance/m);
    assert.match(text, /^- sync_4workers was resumed from a checkpoint after an interruption\.$/m);
    assert.match(text, /^- The longest run, async_1workers, took 23 s\.$/m);
  });

  test("names cells that failed or are not done, and counts them nowhere", () => {
    const planned = ran("axes: {workers: [1, 2, 4]}", {
      sync_1workers: { seconds: 20, accuracyPercent: 97 },
      sync_2workers: {
        seconds: 1,
        accuracyPercent: 9,
        decision: { kind: "leave", reason: "failed: exit code 5: the loss is not finite" },
      },
      sync_4workers: {
        seconds: 1,
        accuracyPercent: 9,
        decision: { kind: "begin", isHalf: false, reason: "waiting" },
      },
    });
    const text = page(planned);
    assert.match(text, /1 of 3 runs done/);
    assert.match(text, /^- sync_2workers failed: exit code 5: the loss is not finite\.$/m);
    assert.match(text, /^- sync_4workers is not done\.$/m);
    assert.deepEqual(
      reportGroups(planned, 2).map(({ name }) => name),
      ["sync_1workers"],
    );
  });

  test("of nothing says so", () => {
    const planned = ran("", {
      sync_4workers: {
        seconds: 0,
        accuracyPercent: 0,
        decision: { kind: "begin", isHalf: false, reason: "waiting" },
      },
    });
    assert.match(page(planned), /^No run is done yet\.$/m);
    assert.deepEqual(summaryRows(reportGroups(planned, 2)), []);
  });
});

test("repeats and seeds are one row, with mean and deviation", () => {
  const planned = ran("axes: {servers: [1, 2], seed: [1, 2]}", {
    sync_4workers_servers1_seed1: { seconds: 10, accuracyPercent: 90 },
    sync_4workers_servers1_seed2: { seconds: 12, accuracyPercent: 92 },
    sync_4workers_servers2_seed1: { seconds: 8, accuracyPercent: 90 },
    sync_4workers_servers2_seed2: { seconds: 8, accuracyPercent: 90 },
  });
  const groups = reportGroups(planned, 64);
  assert.deepEqual(
    groups.map(({ name, setting, runs }) => [name, setting, runs]),
    [
      ["sync_4workers_servers1", "servers=1", 2],
      ["sync_4workers_servers2", "servers=2", 2],
    ],
  );
  assert.deepEqual(summaryTable(summaryRows(groups)).slice(2), [
    "sync_4workers_servers1  sync          4  11.0 +- 1.4  5.50 +- 0.71  91.00 +- 1.41",
    "sync_4workers_servers2  sync          4   8.0 +- 0.0  4.00 +- 0.00  90.00 +- 0.00",
  ]);
  const text = page(planned);
  assert.match(text, /\| 11\.0 ± 1\.4 \| 5\.50 ± 0\.71 \| 91\.00 ± 1\.41 \|/);
  assert.match(text, /mean ± sample standard deviation/);
});

test("a cell counts as crowded as it was when it ran, not as it would be here", () => {
  const [one] = plain;
  const study = { ...one!.disk.study, crowded: true } as StudyResult;
  const [group] = reportGroups([{ ...one!, disk: { ...one!.disk, study } }], 64);
  assert.equal(group!.crowded, true);
});

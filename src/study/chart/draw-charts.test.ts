import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, describe, test } from "node:test";
import { PacelineError } from "../../errors.js";
import { fileError } from "../../store/file-errors.js";
import { aroundFiles, diskFiles } from "../../store/files.js";
import { publishedResult, sampleResult, sampleSuite } from "../testing/sample-results.js";
import { type ChartRequest, chartsOf, drawCharts } from "./draw-charts.js";
import { pngScale } from "./render.js";

const root = mkdtempSync(join(tmpdir(), "paceline-charts-"));
after(() => rmSync(root, { recursive: true }));

const oneRun = [sampleResult("sync", 1, { stepTimes: null, evaluations: [] })];
let folderCount = 0;
const newFolder = () => join(root, `charts-${++folderCount}`);

function draw(changes: Partial<ChartRequest> = {}) {
  return drawCharts({ results: oneRun, outputDir: newFolder(), files: diskFiles, ...changes });
}

describe("files of charts", () => {
  test("are there in both themes and formats, whole, and nothing else is", async () => {
    const outputDir = newFolder();
    const told: string[] = [];
    const { files } = await draw({ results: oneRun, outputDir, onFile: (path) => told.push(path) });
    const names = ["accuracy_vs_time", "accuracy_vs_work", "distributed_run"].flatMap((name) =>
      ["-dark.png", "-dark.svg", ".png", ".svg"].map((end) => `${name}${end}`),
    );
    assert.deepEqual(readdirSync(outputDir).sort(), names.sort());
    assert.deepEqual(files.map((path) => basename(path)).sort(), names.sort());
    assert.deepEqual(told, files);
  });
  test("a PNG has two dots for each pixel of its SVG", async () => {
    const { files } = await draw({ results: oneRun, themes: ["light"] });
    for (const path of files.filter((one) => one.endsWith(".png"))) {
      const bytes = readFileSync(path);
      assert.equal(bytes.toString("latin1", 1, 4), "PNG");
      const svg = readFileSync(path.replace(/png$/, "svg"), "utf8");
      const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!.map(Number);
      const size = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
      assert.deepEqual(size, [width! * pngScale, height! * pngScale]);
    }
  });
  test("the same results give the same bytes, whatever was drawn between", async () => {
    const contents = async (results: ChartRequest["results"]) => {
      const { files } = await draw({ results, themes: ["dark"] });
      return files.map((path) => [basename(path), readFileSync(path).toString("base64")]);
    };
    const first = await contents(sampleSuite(["sync", "async"], [2], 2));
    await contents(oneRun);
    assert.deepEqual(await contents(sampleSuite(["sync", "async"], [2], 2)), first);
  });
  test("dark and light differ in colours only", async () => {
    const { files } = await draw({ results: oneRun, formats: ["svg"] });
    const words = (path: string) => readFileSync(path, "utf8").replace(/#[0-9a-f]{6}/g, "#");
    const [light, dark] = files as [string, string];
    assert.notEqual(readFileSync(light, "utf8"), readFileSync(dark, "utf8"));
    assert.equal(words(light), words(dark));
    assert.match(readFileSync(dark, "utf8"), /<rect [^>]*fill="#0d1117"/);
  });
  test("an SVG says in words what it shows, whatever the names", async () => {
    const results = [sampleResult("sync", 1, { name: 'a<b>&"c' })];
    const { files } = await draw({ results, formats: ["svg"], themes: ["light"] });
    const sheet = readFileSync(files.find((path) => path.endsWith("distributed_run.svg"))!, "utf8");
    assert.match(
      sheet,
      /^<svg role="img" aria-label="a&#60;b&#62;&#38;&#34;c: [^"]*Loss, by epoch/,
    );
  });
});

describe("what is not drawn is said", () => {
  test("and reaches the caller", async () => {
    const { notes } = await draw({ results: oneRun, themes: ["light"], formats: ["svg"] });
    assert.ok(notes.some((note) => /^scaling_analysis is not drawn: all runs/.test(note)));
  });
  const missing: readonly (readonly [string, Partial<ChartRequest>, readonly RegExp[]])[] = [
    [
      "files of the published form",
      { results: [publishedResult("sync", 4, 1320), publishedResult("async", 4, 1200)] },
      [
        /^scaling_analysis is not drawn: all runs have 4 workers$/,
        /^baseline is not drawn: no result is of a baseline$/,
        /^training_curves is not drawn: no file records the loss by epoch$/,
        /^staleness_histogram is not drawn: no file counts its pushes by staleness$/,
        /^step_time_split is not drawn: no file records how a step's time is split$/,
      ],
    ],
    [
      "a worker count that lacks a mode",
      {
        compareWorkers: [2, 8, 3],
        results: [...sampleSuite(["sync", "async"], [2], 1), sampleResult("sync", 8)],
      },
      [
        /^sync_vs_async_8workers is not drawn: there is no async run with 8 workers$/,
        /^sync_vs_async_3workers is not drawn: there is no sync and no async run with 3 workers$/,
      ],
    ],
    [
      "runs in step, which have no staleness",
      { results: sampleSuite(["sync"], [1, 2], 1) },
      [/^staleness_histogram is not drawn: every push had staleness 0$/],
    ],
    [
      "files that lack a part",
      {
        results: [
          sampleResult("async", 2),
          sampleResult("async", 4, { stepTimes: null, stalenessCounts: null }),
        ],
      },
      [
        /^staleness_histogram leaves out async_4workers: /,
        /^step_time_split leaves out async_4workers: /,
      ],
    ],
  ];
  for (const [name, request, wanted] of missing) {
    test(name, () => {
      const notes: string[] = [];
      chartsOf({ results: [], ...request }, (text) => notes.push(text));
      for (const pattern of wanted) {
        assert.ok(
          notes.some((note) => pattern.test(note)),
          `${pattern} in\n${notes.join("\n")}`,
        );
      }
    });
  }
});

describe("what can't be drawn is refused, and leaves nothing", () => {
  const otherData = sampleResult("async", 1, { data: "cifar10", path: "other.json" });
  const otherModel = sampleResult("async", 1, { model: "cnn6", path: "other.json" });
  const refused: readonly (readonly [string, Partial<ChartRequest>, RegExp])[] = [
    ["no results", { results: [] }, /^there is nothing to draw: no results given/],
    [
      "results of two data sets",
      { results: [...oneRun, otherData] },
      /different data sets can't be .*sync_1workers.json is of mnist, other.json of cifar10/,
    ],
    ["results of two models", { results: [...oneRun, otherModel] }, /different models .* cnn6/],
    [
      "only runs that failed",
      { results: [sampleResult("sync", 1, { outcome: "failed" })] },
      /^there is nothing to draw: sync_1workers is left out: it failed/,
    ],
  ];
  for (const [name, request, message] of refused) {
    test(name, async () => {
      const outputDir = newFolder();
      await assert.rejects(draw({ outputDir, ...request }), (thrown) => {
        assert.ok(thrown instanceof PacelineError);
        assert.equal(thrown.code, "usage");
        assert.match(thrown.message, message);
        return true;
      });
      assert.equal(await diskFiles.list(outputDir), null);
    });
  }
  test("a folder for charts that is a file", async () => {
    const outputDir = join(root, "taken");
    writeFileSync(outputDir, "");
    const message = `${outputDir} is a file: charts go to a folder; choose another --output-dir`;
    await assert.rejects(draw({ results: oneRun, outputDir }), { code: "storage", message });
  });
  for (const verb of ["create", "write", "rename a file to"]) {
    test(`a disk that fails at "${verb}" leaves the chart before and no half one`, async () => {
      const outputDir = newFolder();
      let count = 0;
      const full = aroundFiles(diskFiles, async (what, path, action) => {
        if (what === verb && ++count === 3)
          throw fileError(Object.assign(new Error(), { code: "ENOSPC" }), what, path);
        return action();
      });
      await assert.rejects(draw({ results: oneRun, outputDir, files: full }), {
        code: "storage",
        message: /the disk is full: free some space or choose another --output-dir/,
      });
      assert.deepEqual(readdirSync(outputDir).sort(), [
        "distributed_run.png",
        "distributed_run.svg",
      ]);
    });
  }
});

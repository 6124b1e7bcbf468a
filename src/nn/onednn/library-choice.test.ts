import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { buildModel } from "../models.js";
import type { Dnnl } from "./dnnl.js";
import { kernelCacheFile } from "./kernel-cache.js";
import { ruleOnly } from "./kernel-plan.js";
import { chooseLibrary, lineOfLibraries, type StepTrial } from "./library-choice.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-libraries-"));
after(() => rmSync(folder, { recursive: true }));
const [older, newer] = ["2.6.3", "3.7.2"].map((version) => {
  return { version, instructionSet: "avx512_core_amx" } as Partial<Dnnl> as Dnnl;
});
const both = [older!, newer!] as const;
const model = { graph: buildModel("resnet20"), n: 64, type: "bf16", threads: 2 } as const;
const source = (name: string, recorded: readonly string[] = []) => {
  return { mode: "measured", cacheFile: kernelCacheFile(join(folder, name)), recorded } as const;
};
/** Steps that take so many milliseconds, waited for without computing. */
const lasting =
  (milliseconds: Readonly<Record<string, number>>) =>
  ({ version }: Dnnl): StepTrial => ({
    step() {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds[version]);
    },
    close() {},
  });
const never = () => assert.fail("nothing is measured");

describe("the library of a model", () => {
  // Medians of three turns of resnet18 at batch 64 on two cores of a Xeon with AMX, images/s.
  const steps = ([first, second]: readonly [number, number]) => [
    { version: "2.6.3", seconds: 64 / first },
    { version: "3.7.2", seconds: 64 / second },
  ];
  test("is 2.6 in f32 and 3.7 in bf16 on a processor with matrix tiles", () => {
    assert.match(lineOfLibraries("library m", steps([97, 62])), /^library m: oneDNN 2\.6\.3 /);
    assert.match(lineOfLibraries("library m", steps([87, 95])), /^library m: oneDNN 3\.7\.2 /);
  });

  test("is the first where the other is faster by a hair only", () => {
    assert.match(lineOfLibraries("library m", steps([100, 103])), /: oneDNN 2\.6\.3 /);
  });

  test("is the only one without a word", () => {
    assert.deepEqual(chooseLibrary([older!], model, source("one"), never), {
      dnnl: older,
      line: null,
    });
  });

  test("is measured once and then known, to other batches it is not", () => {
    const trial = lasting({ "2.6.3": 40, "3.7.2": 4 });
    const first = chooseLibrary(both, model, source("once"), trial);
    assert.equal(first.dnnl, newer);
    assert.match(
      first.line ?? "",
      /oneDNN 3\.7\.2 \(measured: a step with 2\.6\.3 [\d.]+ ms, with 3\.7\.2 [\d.]+ ms\)$/,
    );
    assert.deepEqual(chooseLibrary(both, model, source("once"), never), first);
    const faster = lasting({ "2.6.3": 4, "3.7.2": 40 });
    assert.equal(chooseLibrary(both, { ...model, n: 32 }, source("once"), faster).dnnl, older);
  });

  test("is the recorded one, whatever the cache says", () => {
    const recorded = chooseLibrary(
      both,
      model,
      source("recorded"),
      lasting({ "2.6.3": 40, "3.7.2": 4 }),
    );
    const contrary = lasting({ "2.6.3": 4, "3.7.2": 40 });
    assert.equal(chooseLibrary(both, model, source("other"), contrary).dnnl, older);
    const others = source("other", [recorded.line!]);
    assert.equal(chooseLibrary(both, model, others, never).dnnl, newer);
    const ruled = { ...ruleOnly, recorded: [recorded.line!] };
    assert.equal(chooseLibrary(both, model, ruled, never).dnnl, newer);
    // Where the recorded one is missing the choice is this machine's.
    const alone = chooseLibrary([older!], model, others, never);
    assert.equal(alone.dnnl, older);
  });

  test("is the first by the rule", () => {
    const { dnnl, line } = chooseLibrary(both, model, ruleOnly, never);
    assert.equal(dnnl, older);
    assert.match(line ?? "", /: oneDNN 2\.6\.3 \(by the rule: as asked for\)$/);
  });
});

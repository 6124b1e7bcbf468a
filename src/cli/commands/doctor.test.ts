import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { openAllDnnl, openDnnl } from "../../nn/onednn/library.js";
import type { OptionKey } from "../../options/options.js";
import { resolve } from "../../options/resolve.js";
import { doctor, examine, memoryFinding } from "./doctor.js";
import { kernelsFinding } from "./doctor-kernels.js";

describe("doctor", () => {
  const folder = mkdtempSync(join(tmpdir(), "paceline-doctor-"));
  after(() => rmSync(folder, { recursive: true }));
  const optionsFor = (flags: Partial<Record<OptionKey, string>>) => {
    const base = { cacheDir: join(folder, "cache"), runDir: join(folder, "a", "b"), port: "0" };
    const written = new Map(Object.entries({ ...base, ...flags }) as [OptionKey, string][]);
    return resolve("doctor", { flags: written }).options;
  };

  test("looks at everything that a run needs", async () => {
    const findings = await examine(optionsFor({}));
    const names = findings.map(({ name }) => name).join(" ");
    assert.equal(names, "node platform cores memory disk engine kernels data port");
    assert.equal(findings.find(({ name }) => name === "node")?.state, "ok");
    const data = findings.find(({ name }) => name === "data");
    assert.equal(data?.state, "warning");
    assert.match(data?.text ?? "", /^mnist is not in .*cache; the first run fetches it$/);
  });
  test("says what a control group leaves of the memory, and warns where that is little", () => {
    const [gigabyte, none] = [2 ** 30, 2 ** 63];
    const text = (limit: number) => memoryFinding(6 * gigabyte, 8 * gigabyte, limit);
    const whole = { name: "memory", state: "ok", text: "6.0 GiB free of 8.0 GiB" };
    assert.deepEqual([text(0), text(none)], [whole, whole]);
    const limited = text(gigabyte / 4);
    assert.equal(limited.state, "warning");
    assert.match(limited.text, /of 8\.0 GiB \(a control group limits this process to 0\.3 GiB\)/);
  });
  test("says which oneDNN computes with which instructions, or how to install it", async () => {
    const findings = await examine(optionsFor({}));
    const { state, text } = findings.find(({ name }) => name === "engine")!;
    const found = /^engine onednn: oneDNN [23]\.\d+\.\d+ \(\S+\), [a-z0-9_]+, (bf16|f32), \d/;
    const missing = /^engine reference: .*slower than oneDNN; .*install/;
    assert.match(text, openDnnl().dnnl === null ? missing : found);
    assert.equal(state, openDnnl().dnnl === null ? "warning" : "ok");
  });
  test("says which kernels compute convolutions, what they took, where that is kept", () => {
    const cacheDir = join(folder, "kernels");
    const { text, lines, state } = kernelsFinding(cacheDir);
    const libraries = openAllDnnl();
    const [first] = libraries;
    assert.equal(state, "ok");
    if (first === undefined) {
      assert.match(text, /^the reference engine has one kernel/);
    } else if (libraries.length === 1 && !(first.dnnl.abi === 2 && first.dnnl.hasAvx512)) {
      const { version, instructionSet } = first.dnnl;
      const start = `oneDNN ${version} on ${instructionSet} has one way for each convolution (`;
      assert.ok(text.startsWith(start), text);
      assert.match(text, /\(\S*(jit|gemm).*\): nothing to choose$/);
    } else {
      assert.match(text, /^chosen for resnet20, batch 64; \d+ choices are cached in .*kernels/);
      const isExplained = /\((measured: .* ms|by the rule: )/;
      assert.ok(
        lines!.every((line) => isExplained.test(line)),
        lines!.join("\n"),
      );
      assert.deepEqual(kernelsFinding(cacheDir).lines, lines);
    }
  });
  test("finds a port in use, and says so with exit code 1", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((done) => server.once("listening", done));
    const { port } = server.address() as { port: number };
    let out = "";
    const sink = { write: (text: string) => (out += text) };
    const io = { stdout: sink, stderr: sink, color: false, isTerminal: false };
    const process = { environment: {}, version: "0" };
    const options = optionsFor({ port: String(port), json: "true" });
    const readConfig = () => options;
    const exitCode = await doctor(options, { ...io, ...process, configText: "", readConfig });
    server.close();
    const { ok, findings } = JSON.parse(out) as Awaited<{ ok: boolean; findings: object[] }>;
    assert.equal(exitCode, 1);
    assert.equal(ok, false);
    assert.deepEqual(findings.at(-1), {
      name: "port",
      state: "problem",
      text: `127.0.0.1:${port} can't be used (the address is in use); give another --port`,
    });
  });
});

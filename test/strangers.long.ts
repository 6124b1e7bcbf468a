/**
 * Strangers for minutes, beside two runs. One run has certificates and a token: thousands call it
 * without them, with those of another cluster, with what was recorded of a member, slowly. The
 * other has none, and is called, as is a coordinator that waits for jobs, with messages that are
 * made of valid ones by mutation. Both runs end in the bits of the same steps in one process, and
 * the memory of all that are called stays bounded.
 *
 * FUZZ_SECONDS says for how long, FUZZ_SEED what mutations are drawn from; with FUZZ_KEEP inputs
 * that led to an answer which none before had led to are added to test/corpus.
 */
import assert from "node:assert/strict";
import { appendFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { Random } from "../dist/random.js";
import { type Addresses, say } from "./fuzz/callers.js";
import { corpusFile, firstInputs, inputLine, nextInput, readCorpus } from "./fuzz/inputs.js";
import { ProcessesMemory } from "./fuzz/processes-memory.js";
import { Strangers } from "./fuzz/strangers.js";
import {
  addressesOf,
  endsInTheSameBits,
  failure,
  sameBits,
  startRun,
  startTargets,
} from "./fuzz/targets.js";
import { makePlace, type Place } from "./run-paceline.js";

const seconds = Number(process.env.FUZZ_SECONDS ?? 60);
const seed = Number(process.env.FUZZ_SEED ?? 1);
const keeps = process.env.FUZZ_KEEP !== undefined;
const connectionsMin = seconds >= 60 ? 5000 : 300;
const lanes = 40;
const residentMaxMiB = 600;
/** A minute; what a process may still grow by when the first half is over. */
const slopeMaxMiB = 12;
/** Of the corpus of one listener. */
const keptBytesMax = 60_000;
const inputBytesMax = 1500;

/** Mutated calls for so long; resolves to how many there were. */
async function mutate(addresses: Addresses, untilMs: number): Promise<number> {
  const random = new Random("fuzz", seed);
  const corpus = readCorpus();
  const known = [...firstInputs(), ...corpus];
  const seen = new Set(corpus.map(({ listener, way, answer }) => `${listener} ${way} ${answer}`));
  const keptBytes = new Map<string, number>();
  let said = 0;
  const lane = async () => {
    while (performance.now() < untilMs) {
      const input = nextInput(known, random);
      const answer = await say(input, addresses);
      said += 1;
      assert.doesNotMatch(answer, failure, inputLine(input, answer));
      const key = `${input.listener} ${input.way} ${answer}`;
      const bytes = input.pieces.reduce((sum, piece) => sum + piece.length, 0);
      if (seen.has(key) || bytes > inputBytesMax) continue;
      seen.add(key);
      known.push(input);
      const line = `${inputLine(input, answer)}\n`;
      const kept = (keptBytes.get(input.listener) ?? 0) + line.length;
      if (!keeps || kept > keptBytesMax) continue;
      keptBytes.set(input.listener, kept);
      await appendFile(corpusFile(input.listener), line);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return said;
}

/** The processes that are called, by name. */
async function calledOf(place: Place, run: string): Promise<[string, number][]> {
  const members = await place.members(run);
  const called = members.filter(({ role }) => role !== "worker");
  return called.map(({ role, id, pid }) => [`${run} ${role}-${id}`, pid]);
}

test(`strangers for ${seconds} s change no bit of a run, and take no memory`, async (context) => {
  const place = await makePlace(context);
  for (const folder of ["certs", "others"]) {
    const made = await place.call(["certs", "init", "--out", place.path(folder)]);
    assert.equal(made.exitCode, 0, made.err);
  }
  await writeFile(place.path("token"), `${"0123456789abcdef".repeat(2)}\n`, { mode: 0o600 });
  const secured = startRun(place, "secured", ["--tls", "certs", "--token-file", "token"]);
  await place.member("secured", "server", 1);
  const targets = await startTargets(place);
  const addresses = await addressesOf(place, targets);
  const called = [...(await calledOf(place, "secured")), ...(await calledOf(place, "beset"))];
  const memory = new ProcessesMemory(new Map([...called, ["idle", targets.idle.pid]]));
  const members = (await place.members("secured")).filter(({ role }) => role !== "worker");
  const ports = members.map(({ address }) => Number(address.split(":").at(-1)));
  const strangers = new Strangers(ports, { own: place.path("certs"), other: place.path("others") });
  await strangers.record();
  const sampling = setInterval(() => void memory.sample(), 500);
  const untilMs = performance.now() + 1000 * seconds;
  const [made, said] = await Promise.all([
    strangers.call(untilMs, connectionsMin),
    mutate(addresses, untilMs),
  ]).finally(() => clearInterval(sampling));
  await sameBits(place, secured, "secured");
  await endsInTheSameBits(place, targets);
  context.diagnostic(`seed ${seed}: ${made} strangers, ${said} mutated calls`);
  for (const { name, peakMiB, slopeMiB } of memory.grown()) {
    const text = `${name}: at most ${peakMiB.toFixed(0)} MiB, ${slopeMiB.toFixed(1)} MiB a minute`;
    context.diagnostic(text);
    assert.ok(peakMiB < residentMaxMiB, text);
    if (seconds >= 300) assert.ok(slopeMiB < slopeMaxMiB, text);
  }
});

/**
 * The straggler of --inject: which worker, how slow, in which steps. What is said of it stands in
 * any order, each once; without `from` it is slow from the first step on, without `to` and `for`
 * until the run ends.
 */
import { bandwidthUnits, type InjectedStraggler } from "../protocol/injected-fault.js";
import { duration } from "./option-values.js";

const delay = duration(1, 60_000);
const lasting = duration(1, 3_600_000);
/** The most times its own time that a step may take. */
const slowMax = 100;
/** The least and the most bits a second. */
const bitsRange = [1e3, 1e12] as const;
const bandwidthForm = /^(\d+(?:\.\d+)?)(kbit|mbit|gbit)$/;
const slowForm = /^(\d+(?:\.\d+)?)x$/;
const countForm = /^\d{1,15}$/;
const known = ["delay", "bandwidth", "slow", "from", "to", "for"] as const;

/** What a schema says of its text. */
export const stragglerPattern =
  "straggler:worker=\\d+(,(delay=[\\d.]+(ms|s|m|min|h)|bandwidth=[\\d.]+(k|m|g)bit|" +
  "slow=[\\d.]+x|from=\\d+|to=\\d+|for=(\\d+|[\\d.]+(ms|s|m|min|h))))+";

type Parsed<T> = { readonly value: T } | { readonly problem: string };

/** Reads what follows "straggler:". */
export function parseStraggler(rest: string): Parsed<InjectedStraggler> {
  const [member = "", ...others] = rest.split(",");
  const [, role, id] = /^([^=]*)(?:=(.*))?$/.exec(member) ?? [];
  if (role !== "worker") {
    return { problem: `has the role "${role}", and straggler is of worker` };
  }
  if (id === undefined || !countForm.test(id)) return { problem: "does not say which worker" };
  const given = new Map(others.map((one) => splitOnce(one)));
  const surplus = others.find((one) => !known.some((name) => one.startsWith(`${name}=`)));
  if (surplus !== undefined || given.size < others.length) {
    return { problem: `has "${surplus ?? others.at(-1)}", which no straggler has` };
  }
  const slowness = slownessOf(given);
  if ("problem" in slowness) return slowness;
  const span = spanOf(given);
  if ("problem" in span) return span;
  const about = { kind: "straggler", role: "worker", rank: Number(id) } as const;
  return { value: { ...about, ...span.value, ...slowness.value } };
}

type Given = ReadonlyMap<string, string>;

function slownessOf(
  given: Given,
): Parsed<Pick<InjectedStraggler, "delayMs" | "bitsPerSecond" | "slow">> {
  const [late, narrow, slow] = [given.get("delay"), given.get("bandwidth"), given.get("slow")];
  if (late === undefined && narrow === undefined && slow === undefined) {
    return { problem: "is a straggler without delay=30ms, bandwidth=10mbit or slow=2x" };
  }
  const delayed = late === undefined ? { value: 0 } : delay.parse(late);
  if ("problem" in delayed) return { problem: `has the delay ${late}, which ${delayed.problem}` };
  const bits = narrow === undefined ? null : bitsOf(narrow);
  if (bits !== null && !(bits >= bitsRange[0] && bits <= bitsRange[1])) {
    return { problem: `has the bandwidth ${narrow}, which is not 1kbit to 1000gbit` };
  }
  const times = slow === undefined ? 1 : Number(slowForm.exec(slow)?.[1]);
  if (slow !== undefined && !(times > 1 && times <= slowMax)) {
    return { problem: `has slow=${slow}, which is not above 1x and at most ${slowMax}x` };
  }
  return { value: { delayMs: delayed.value, bitsPerSecond: bits, slow: times } };
}

/** NaN of what is no bandwidth. */
function bitsOf(text: string): number {
  const [, digits, unit] = bandwidthForm.exec(text) ?? [];
  if (digits === undefined) return Number.NaN;
  return Math.round(Number(digits) * bandwidthUnits[unit as keyof typeof bandwidthUnits]);
}

/** The steps, or the time, for which it is slow. */
function spanOf(given: Given): Parsed<Pick<InjectedStraggler, "at" | "to" | "forMs">> {
  const [from = "1", to, length] = [given.get("from"), given.get("to"), given.get("for")];
  const at = stepOf(from);
  if (at === null) return { problem: `has from=${from}, which is not a step, and the first is 1` };
  if (to !== undefined && length !== undefined) {
    return { problem: `has to=${to} and for=${length}, of which one says when it ends` };
  }
  if (to !== undefined) {
    const last = stepOf(to);
    if (last === null || last < at)
      return { problem: `has to=${to}, which is no step from ${at} on` };
    return { value: { at, to: last, forMs: null } };
  }
  if (length === undefined) return { value: { at, to: null, forMs: null } };
  const steps = stepOf(length);
  if (steps !== null) return { value: { at, to: at + steps - 1, forMs: null } };
  const time = lasting.parse(length);
  if ("problem" in time) {
    return { problem: `has for=${length}, which is no count of steps and ${time.problem}` };
  }
  return { value: { at, to: null, forMs: Math.round(time.value) } };
}

/** Null of what is no step; the first is 1. */
function stepOf(text: string): number | null {
  return countForm.test(text) && Number(text) > 0 ? Number(text) : null;
}

function splitOnce(text: string): [string, string] {
  const [name = "", ...rest] = text.split("=");
  return [name, rest.join("=")];
}

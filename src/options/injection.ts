/** The value of --inject: which fault, of whom, when. */

import { faultText, type InjectedFault } from "../protocol/injected-fault.js";
import { duration, type Parsed, type ValueType } from "./option-values.js";

const pauseTime = duration(1, 3_600_000);
const forms = {
  kill: "kill:worker=2,at=50",
  pause: "pause:server=1,at=50,for=3s",
} as const;

/** kill:worker=2,at=50, kill:server=1,at=50 or pause:worker=2,at=50,for=3s. */
export const injection: ValueType<InjectedFault> = {
  placeholder: "fault",
  wanted: `a fault such as ${forms.kill}, kill:server=1,at=50 or ${forms.pause}`,
  parse(text) {
    const [, kind, rest = ""] = /^([^:]*):(.*)$/.exec(text) ?? [];
    if (kind === undefined) return { problem: "is not a fault" };
    if (kind !== "kill" && kind !== "pause") {
      return { problem: `has the fault "${kind}", which is neither kill nor pause` };
    }
    const [member = "", ...others] = rest.split(",");
    const [role, id = "", ...further] = member.split("=");
    if (role !== "worker" && role !== "server") {
      return { problem: `has the role "${role}", which is neither worker nor server` };
    }
    if (!isCount(id) || further.length > 0) return { problem: `does not say which ${role}` };
    const given = new Map(others.map((one) => splitAt(one, "=")));
    const surplus = others.find((one) => !["at", "for"].includes(splitAt(one, "=")[0]));
    if (surplus !== undefined || given.size < others.length) {
      return { problem: `has "${surplus ?? others.at(-1)}", which no ${kind} has` };
    }
    const at = given.get("at") ?? "";
    if (!isCount(at)) return { problem: "does not say at which step" };
    if (Number(at) === 0) return { problem: "is at step 0, and the first is 1" };
    const place: Place = { role, rank: Number(id), at: Number(at) };
    return kind === "kill" ? killAt(place, given.get("for")) : pauseFor(place, given.get("for"));
  },
  print: faultText,
  schema: {
    type: "string",
    pattern:
      "^(kill:(worker|server)=\\d+,at=\\d+|" +
      "pause:(worker|server)=\\d+,(at=\\d+,for=[\\d.]+(ms|s|m|h)|for=[\\d.]+(ms|s|m|h),at=\\d+))$",
  },
};

type Place = Pick<InjectedFault, "role" | "rank" | "at">;

function killAt(place: Place, time: string | undefined): Parsed<InjectedFault> {
  if (time !== undefined) return { problem: "is a kill with a time, which only a pause has" };
  return { value: { kind: "kill", ...place } };
}

function pauseFor(place: Place, time: string | undefined): Parsed<InjectedFault> {
  if (time === undefined) return { problem: "is a pause that does not say for how long" };
  const parsed = pauseTime.parse(time);
  if ("problem" in parsed) return { problem: `has the time ${time}, which ${parsed.problem}` };
  return { value: { kind: "pause", ...place, forMs: Math.round(parsed.value) } };
}

/** Digits of a number that is exact. */
function isCount(text: string): boolean {
  return /^\d{1,15}$/.test(text);
}

function splitAt(text: string, separator: string): [string, string] {
  const [name = "", ...rest] = text.split(separator);
  return [name, rest.join(separator)];
}

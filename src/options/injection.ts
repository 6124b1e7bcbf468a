/** The value of --inject: which fault, of whom, when. */

import {
  type FaultKind,
  type FaultRole,
  faultKinds,
  faultText,
  type InjectedFault,
} from "../protocol/injected-fault.js";
import { alternatives } from "../suggest.js";
import { duration, type ValueType } from "./option-values.js";
import { parseStraggler, stragglerPattern } from "./straggler-injection.js";

const lasting = duration(1, 3_600_000);
const kinds = Object.keys(faultKinds) as FaultKind[];
/** One of each kind. */
const forms = [
  "kill:worker=2,at=50",
  "pause:server=1,at=50,for=3s",
  "cut:worker=0,at=50,for=2s",
  "slow-disk:coordinator=0,at=50,for=3s",
  "straggler:worker=2,delay=30ms,from=100,to=400",
];

/** kill:worker=2,at=50, kill:server=1,at=50 or pause:worker=2,at=50,for=3s. */
export const injection: ValueType<InjectedFault> = {
  placeholder: "fault",
  wanted: `a fault such as ${alternatives(forms)}`,
  parse(text) {
    const [, written, rest = ""] = /^([^:]*):(.*)$/.exec(text) ?? [];
    if (written === undefined) return { problem: "is not a fault" };
    if (written === "straggler") return parseStraggler(rest);
    const kind = kinds.find((one) => one === written);
    if (kind === undefined) {
      const known = [...kinds, "straggler"].join(", ");
      return { problem: `has the fault "${written}", which is none of ${known}` };
    }
    const roles: readonly FaultRole[] = faultKinds[kind].roles;
    const [member = "", ...others] = rest.split(",");
    const [name, id = "", ...further] = member.split("=");
    const role = roles.find((one) => one === name);
    if (role === undefined) {
      return { problem: `has the role "${name}", and ${kind} is of ${roles.join(" or ")}` };
    }
    if (!isCount(id) || further.length > 0) return { problem: `does not say which ${role}` };
    const given = new Map(others.map((one) => splitAt(one, "=")));
    const known = faultKinds[kind].lasts ? ["at", "for"] : ["at"];
    const surplus = others.find((one) => !known.includes(splitAt(one, "=")[0]));
    if (surplus !== undefined || given.size < others.length) {
      return { problem: `has "${surplus ?? others.at(-1)}", which no ${kind} has` };
    }
    const at = given.get("at") ?? "";
    if (!isCount(at)) return { problem: "does not say at which step" };
    if (Number(at) === 0) return { problem: "is at step 0, and the first is 1" };
    const fault = { kind, role, rank: Number(id), at: Number(at) };
    if (!faultKinds[kind].lasts) return { value: { ...fault, forMs: null } };
    const time = given.get("for");
    if (time === undefined) return { problem: `is a ${kind} that does not say for how long` };
    const parsed = lasting.parse(time);
    if ("problem" in parsed) return { problem: `has the time ${time}, which ${parsed.problem}` };
    return { value: { ...fault, forMs: Math.round(parsed.value) } };
  },
  print: faultText,
  schema: {
    type: "string",
    pattern: `^(${[...kinds.map(patternOf), stragglerPattern].join("|")})$`,
  },
};

function patternOf(kind: FaultKind): string {
  const { roles, lasts } = faultKinds[kind];
  const at = "at=\\d+";
  const time = "for=[\\d.]+(ms|s|m|min|h)";
  const rest = lasts ? `(${at},${time}|${time},${at})` : at;
  return `${kind}:(${roles.join("|")})=\\d+,${rest}`;
}

/** Digits of a number that is exact. */
function isCount(text: string): boolean {
  return /^\d{1,15}$/.test(text);
}

function splitAt(text: string, separator: string): [string, string] {
  const [name = "", ...rest] = text.split(separator);
  return [name, rest.join(separator)];
}

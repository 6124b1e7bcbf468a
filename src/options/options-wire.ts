/** The rows of the group "wire", and how a compression is written. */
import {
  type Compression,
  compressionTitle,
  shareDefault,
  sharedCodecs,
  shareRange,
} from "../protocol/compression.js";
import { intervalOf, rangeProblem } from "../protocol/interval.js";
import { transportChoices } from "../protocol/view.js";
import { alternatives } from "../suggest.js";
import { type OptionRows, partCommands } from "./option-row.js";
import { choice, type ValueType } from "./option-values.js";
import type { WireOptions } from "./resolved-options.js";

const group = "wire";
const shareInterval = intervalOf(shareRange);

/** A codec by its name, with the share of the values that it keeps where it drops some. */
export function compression(names: readonly Compression["codec"][]): ValueType<Compression> {
  const shown = names.map((name) =>
    sharedCodecs.includes(name) ? `${name}:${shareDefault}` : name,
  );
  return {
    placeholder: shown.join("|"),
    wanted: alternatives(shown),
    parse(text) {
      const [, name, share, percent] = /^([a-z0-9]+)(?::([0-9.e-]+)(%?))?$/.exec(text) ?? [];
      const codec = names.find((known) => known === name);
      if (codec === undefined) return { problem: "is unknown" };
      if (!sharedCodecs.includes(codec)) {
        if (share !== undefined) return { problem: `has a share, and ${codec} keeps every value` };
        return { value: { codec, share: 1 } };
      }
      const value = Number(share ?? shareDefault) / (percent === "%" ? 100 : 1);
      if (!Number.isFinite(value)) return { problem: "has a share that is not a number" };
      const problem = rangeProblem(value, shareInterval);
      if (problem !== null) return { problem: `has a share that ${problem}` };
      return { value: { codec, share: value } };
    },
    print: compressionTitle,
    schema: { type: "string", pattern: `^(${names.join("|")})(:[0-9.e-]+%?)?$` },
  };
}

/** How values travel. */
export const wireRows: OptionRows<WireOptions> = {
  transport: {
    name: "transport",
    type: choice(transportChoices),
    default: "auto",
    sentence: "transport for chunks; auto picks the fastest available",
    group,
    commands: partCommands,
  },
};

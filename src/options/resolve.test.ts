import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PacelineError } from "../errors.js";
import type { CommandName } from "./option-row.js";
import {
  environmentName,
  keyOfName,
  keysOf,
  type OptionKey,
  optionKeys,
  rowOf,
  withoutOptions,
} from "./options.js";
import { doubtfulEnvironment, type Given, ignoredVariables, resolve } from "./resolve.js";

const written = (entries: Partial<Record<OptionKey, string>>) =>
  new Map(Object.entries(entries) as [OptionKey, string][]);
const file = (entries: Partial<Record<OptionKey, string>>) => ({
  path: "run.yaml",
  values: written(entries),
});

describe("precedence", () => {
  const layers: readonly (readonly [Given, number, string])[] = [
    [{}, 3, "default"],
    [{ flags: written({ fast: "true" }) }, 1, "--fast"],
    [{ file: file({ epochs: "4", fast: "true" }) }, 4, "run.yaml"],
    [{ environment: { PACELINE_EPOCHS: "5" }, file: file({ epochs: "4" }) }, 5, "PACELINE_EPOCHS"],
    [{ set: written({ epochs: "6" }), environment: { PACELINE_EPOCHS: "5" } }, 6, "--set epochs"],
    [{ flags: written({ epochs: "7" }), set: written({ epochs: "6" }) }, 7, "--epochs"],
  ];
  for (const [given, epochs, place] of layers) {
    test(`epochs is ${epochs} by ${place}`, () => {
      const { options, origins } = resolve("train", given);
      assert.equal(options.epochs, epochs);
      assert.equal(origins.epochs.place, place);
    });
  }
});

describe("a feed that nobody names", () => {
  const range = { workers: "2:8" };
  const rows: readonly (readonly [string, Given, string, string])[] = [
    ["no word of workers", {}, "static", "default"],
    ["a number", { flags: written({ workers: "8" }) }, "static", "default"],
    ["a flag", { flags: written(range) }, "leased", "default with --workers 2:8"],
    ["--set", { set: written(range) }, "leased", "default with --set workers=2:8"],
    [
      "a variable",
      { environment: { TOTAL_WORKERS_EXPECTED: "2:8" } },
      ...(["leased", "default with TOTAL_WORKERS_EXPECTED=2:8"] as const),
    ],
    ["a file", { file: file(range) }, "leased", "default with workers: 2:8 in run.yaml"],
    [
      "a number over a range",
      { flags: written({ workers: "3" }), file: file(range) },
      ...(["static", "default"] as const),
    ],
    [
      "a feed in a file",
      { flags: written(range), file: file({ feed: "static" }) },
      ...(["static", "run.yaml"] as const),
    ],
  ];
  for (const [what, given, feed, place] of rows) {
    test(`is ${feed} beside ${what}`, () => {
      const { options, origins } = resolve("train", given);
      assert.deepEqual([options.feed, origins.feed.place], [feed, place]);
    });
  }
  test("is static where workers are no option", () => {
    assert.equal(resolve("worker", { environment: { WORLD_SIZE: "2:8" } }).options.feed, "static");
  });
});

describe("environment", () => {
  const slurm = {
    ...{ SLURM_PROCID: "1", SLURM_STEP_NUM_TASKS: "4", SLURM_JOB_NODELIST: "node[03-05,9],gpu1" },
  };
  const torchrun = { TORCHELASTIC_RUN_ID: "none", TORCHELASTIC_USE_AGENT_STORE: "True" };

  const aliases: readonly (readonly [CommandName, Record<string, string>, OptionKey, unknown])[] = [
    ["train", { SERVER_MODE: "async" }, "mode", "asp"],
    ["train", { SERVER_MODE: "sync" }, "mode", "bsp"],
    ["train", { PACELINE_KERNELS: "twin" }, "kernels", "scalar"],
    ["coordinator", { TOTAL_WORKERS_EXPECTED: "8" }, "workers", { min: 1, max: 8 }],
    ["coordinator", { WORLD_SIZE: "2" }, "workers", { min: 1, max: 2 }],
    ["coordinator", { SERVER_PORT: "9000" }, "port", 9000],
    ["coordinator", { MASTER_PORT: "9001" }, "port", 9001],
    ["server", { SERVER_PORT: "9000" }, "port", 0],
    ["worker", { RANK: "3" }, "rank", 3],
    ["server", { RANK: "3" }, "rank", null],
    ["worker", { PARAMETER_SERVER_ADDRESS: "ps:7000" }, "coordinator", "ps:7000"],
    ["worker", { PARAMETER_SERVER_ADDRESS: "ps" }, "coordinator", "ps:8000"],
    ["worker", { PARAMETER_SERVER_ADDRESS: "ps", SERVER_PORT: "7001" }, "coordinator", "ps:7001"],
    ["server", { MASTER_ADDR: "head", MASTER_PORT: "29500" }, "coordinator", "head:29500"],
    ["status", { MASTER_ADDR: "head" }, "coordinator", "head:8000"],
    ["worker", { SLURM_PROCID: "3", SLURM_STEP_NUM_TASKS: "4" }, "rank", 3],
    ["server", { SLURM_PROCID: "1", SLURM_STEP_NUM_TASKS: "2" }, "rank", 1],
    // A batch script, a step of one task, and what srun's torchrun has started.
    ["worker", { SLURM_PROCID: "0" }, "rank", null],
    ["worker", { SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "1" }, "rank", null],
    ["worker", { ...torchrun, ...slurm, RANK: "5" }, "rank", 5],
    ["worker", { RANK: "3", ...slurm, SLURM_PROCID: "3" }, "rank", 3],
    ["worker", slurm, "coordinator", "node03:8000"],
    ["server", { SLURM_JOB_NODELIST: "gpu1,node[3-5]" }, "coordinator", "gpu1:8000"],
    ["worker", { SLURM_JOB_NODELIST: "rack[1-2]n[07,9]" }, "coordinator", "rack1n07:8000"],
    ["status", slurm, "coordinator", null],
    ["worker", { ...slurm, MASTER_ADDR: "10.0.0.1" }, "coordinator", "10.0.0.1:8000"],
    ["worker", { ...slurm, PACELINE_COORDINATOR: "a:1" }, "coordinator", "a:1"],
    ["worker", { ...torchrun, MASTER_ADDR: "h", MASTER_PORT: "29500" }, "coordinator", "h:8000"],
    ["coordinator", { ...torchrun, MASTER_PORT: "29500" }, "port", 8000],
    [
      "coordinator",
      { WORLD_SIZE: "4", TOTAL_WORKERS_EXPECTED: "04" },
      "workers",
      { min: 1, max: 4 },
    ],
    ["train", { WORLD_SIZE: "2", PACELINE_WORKERS: "3" }, "workers", { min: 1, max: 3 }],
    ["train", { PACELINE_WORKERS: "" }, "workers", { min: 1, max: 4 }],
  ];
  for (const [command, environment, key, value] of aliases) {
    test(`${JSON.stringify(environment)} gives ${command} ${key} ${JSON.stringify(value)}`, () => {
      assert.deepEqual(resolve(command, { environment }).options[key], value);
    });
  }
  const refused: readonly (readonly [CommandName, Record<string, string>, RegExp])[] = [
    [
      "worker",
      { RANK: "0", ...slurm },
      /^RANK=0 and SLURM_PROCID=1 disagree on --rank; write --rank or PACELINE_RANK, or unset one/,
    ],
    [
      "coordinator",
      { TOTAL_WORKERS_EXPECTED: "4", WORLD_SIZE: "8" },
      /^TOTAL_WORKERS_EXPECTED=4 and WORLD_SIZE=8 disagree on --workers; write --workers/,
    ],
    [
      "server",
      { PARAMETER_SERVER_ADDRESS: "a:8000", MASTER_ADDR: "b" },
      /^PARAMETER_SERVER_ADDRESS=a:8000 and MASTER_ADDR=b disagree on --coordinator/,
    ],
    [
      "worker",
      { SLURM_JOB_NODELIST: "node[01" },
      /^SLURM_JOB_NODELIST=node\[01 has a form that is not known; write --coordinator/,
    ],
    ["worker", { ...slurm, SLURM_PROCID: "one" }, /^SLURM_PROCID=one is not a whole number; write/],
  ];
  for (const [command, environment, message] of refused) {
    test(`${JSON.stringify(environment)} is refused`, () => {
      assert.throws(() => resolve(command, { environment }), { code: "usage", message });
    });
  }
  test("a flag settles what two variables say", () => {
    const flags = new Map([["rank" as const, "2"]]);
    const { options, origins } = resolve("worker", { flags, environment: { RANK: "0", ...slurm } });
    assert.deepEqual([options.rank, origins.rank.place], [2, "--rank"]);
    assert.equal(origins.coordinator.place, "SLURM_JOB_NODELIST");
  });
  test("what gives options can be left out, but for some of them", () => {
    const given = { PACELINE_DATA_DIR: "/data", PACELINE_LR: "1", PACELINE_LRR: "2", RANK: "3" };
    const environment = { ...given, MASTER_PORT: "29500", PATH: "/bin", OMP_NUM_THREADS: "4" };
    const bare = { PATH: "/bin", OMP_NUM_THREADS: "4" };
    assert.deepEqual(withoutOptions(environment), bare);
    const withData = withoutOptions(environment, ["dataDir"]);
    assert.deepEqual(withData, { PACELINE_DATA_DIR: "/data", ...bare });
  });
  test("every option is read from its own name, with its own default", () => {
    for (const key of optionKeys) {
      const row = rowOf(key);
      const command = row.commands[0]!;
      const text = row.default === null || row.default === "" ? "" : row.type.print(row.default);
      if (text === "" || row.onlyWith !== undefined) continue;
      const resolution = resolve(command, { environment: { [environmentName(key)]: text } });
      assert.deepEqual(resolution.options[key], row.default, key);
      assert.equal(resolution.origins[key].place, environmentName(key));
    }
  });
  test("user and password of a URL are taken, and nowhere shown", () => {
    const place = "https://me:secret@example.org/sets";
    const { options } = resolve("train", { environment: { PACELINE_DATA_DIR: place } });
    assert.equal(options.dataDir, place);
    assert.equal(rowOf("dataDir").type.print(place), "https://example.org/sets");
    assert.equal(rowOf("dataDir").type.print("s3://b/a@b"), "s3://b/a@b");
    assert.equal(rowOf("dataDir").type.print("/a/b@c"), "/a/b@c");
    assert.equal(rowOf("dataDir").type.print("http://me:s@cret@h/x@y"), "http://h/x@y");
    const bad = "https://me:s@cret@h:99999/x";
    const flags = new Map([["dataDir", bad]] as const);
    const isClean = (error: PacelineError) =>
      error.code === "usage" && !/cret/.test(`${error.message} ${JSON.stringify(error.details)}`);
    assert.throws(() => resolve("train", { flags }), isClean);
    const environment = { PACELINE_DATA_DIR: bad };
    assert.throws(() => resolve("train", { environment }), isClean);
  });
  test("a mistyped name is doubted, a foreign one is not", () => {
    const environment = { PACELINE_WROKERS: "3", PACELINE_SERVICE_HOST: "10.0.0.1", PATH: "" };
    assert.deepEqual(doubtfulEnvironment(environment), [
      "PACELINE_WROKERS is not an option (did you mean PACELINE_WORKERS?)",
    ]);
  });
});

describe("refusals name the place, the value and the remedy", () => {
  const sentences: readonly (readonly [Given, string])[] = [
    [
      { flags: written({ workers: "0" }) },
      "--workers 0 is below 1; write a whole number from 1 to 1024, or two such as 2:8",
    ],
    [
      { environment: { SERVER_MODE: "bps" } },
      "SERVER_MODE=bps is unknown (did you mean bsp?); " +
        "write bsp, ssp, dssp, asp, ringmaster, k-of-n, quorum, group, local or local-async",
    ],
    [
      { file: file({ engine: "atuo" }) },
      "engine: atuo in run.yaml is unknown (did you mean auto?); " +
        "write auto, onednn, reference or synthetic",
    ],
    [
      { set: written({ reduce: "men" }) },
      "--set reduce=men is unknown (did you mean mean?); write mean, sum, median or trimmed:0.1",
    ],
    [
      { flags: written({ name: "" }) },
      '--name "" is empty; write at most 100 letters, digits, dots, dashes and underlines, ' +
        "the first of them not a dot or dash, or none",
    ],
    [
      { flags: written({ staleness: "3" }) },
      "--staleness has no effect with --mode bsp; leave it out or set --mode ssp or --mode dssp",
    ],
    [
      { flags: written({ stalenessMax: "3", mode: "asp", stalenessRule: "scale" }) },
      "--staleness-max has no effect with --staleness-rule scale; " +
        "leave it out or set --staleness-rule reject or --staleness-rule scale+reject",
    ],
  ];
  for (const [given, sentence] of sentences) {
    test(sentence, () => {
      assert.throws(() => resolve("train", given), { code: "usage", message: sentence });
    });
  }
  test("what a file says of a mode that a flag has overridden is let be", () => {
    const given = { flags: written({ mode: "bsp" }), file: file({ mode: "ssp", staleness: "2" }) };
    assert.equal(resolve("train", given).options.mode, "bsp");
  });
});

describe("the table", () => {
  test("names and short names of a command are unique", () => {
    for (const command of ["train", "baseline", "coordinator", "server", "ring"] as const) {
      const rows = keysOf(command).map(rowOf);
      const names = rows.flatMap(({ name, short }) => (short === undefined ? name : [name, short]));
      assert.equal(new Set(names).size, names.length, command);
    }
  });
  test("every option has a sentence, a command and a default that its type can read", () => {
    for (const key of optionKeys) {
      const { sentence, commands, type, default: value, name } = rowOf(key);
      assert.match(sentence, /^[a-z].*[^.]$/, name);
      assert.ok(commands.length > 0, name);
      if (value !== null && value !== "")
        assert.deepEqual(type.parse(type.print(value)), { value }, name);
    }
  });
  test("what can be switched off with none depends on an option that exists", () => {
    for (const key of optionKeys) {
      const only = rowOf(key).onlyWith;
      if (only === undefined) continue;
      const { choices } = rowOf(only.key).type;
      for (const value of only.values) assert.ok(choices?.includes(value), `${key}: ${value}`);
    }
  });
  test("--cache-dir follows XDG_CACHE_HOME", () => {
    const { options } = resolve("train", { environment: { XDG_CACHE_HOME: "elsewhere" } });
    assert.match(options.cacheDir, /^elsewhere.paceline$/);
  });
});

describe("words of other systems", () => {
  const mode = (given: Given) => resolve("train", given);
  test("SERVER_MODE=async brings the rule of the system that has this variable", () => {
    const { options, origins } = mode({ environment: { SERVER_MODE: "async" } });
    const { stalenessRule, stalenessScale, stalenessFloor, stalenessMax } = options;
    assert.deepEqual([options.mode, stalenessRule], ["asp", "scale+reject"]);
    assert.deepEqual([stalenessScale, stalenessFloor, stalenessMax], [0.1, 0.1, 5]);
    assert.equal(origins.stalenessRule.place, "default with SERVER_MODE=async");
  });
  test("and yields to whatever says the rule or the mode", () => {
    const environment = { SERVER_MODE: "async" };
    const flags = (entries: Partial<Record<OptionKey, string>>) => ({
      environment,
      flags: written(entries),
    });
    assert.equal(mode(flags({ stalenessRule: "none" })).options.stalenessRule, "none");
    assert.equal(mode(flags({ mode: "asp" })).options.stalenessRule, "none");
    assert.equal(mode({ environment: { SERVER_MODE: "sync" } }).options.stalenessRule, "none");
  });
  test("their names of options mean these options", () => {
    const names = { "staleness-bound": "stalenessMax", "num-ps": "servers", problem: "data" };
    for (const [name, key] of Object.entries(names)) assert.equal(keyOfName(name), key);
  });
});

describe("rules of a config file", () => {
  const values = Object.assign(written({ mode: "bsp", lr: "0.1" }), {
    when: [{ match: written({ mode: "async" }), set: written({ lr: "0.5", staleness: "2" }) }],
  });
  test("hold where their match does, and yield to flags", () => {
    const given = { file: { path: "run.yaml", values } };
    assert.equal(resolve("train", given).options.lr, 0.1);
    const asp = { stalenessRule: "scale", mode: "asp" } as const;
    const free = { ...values.when[0]!, set: written({ lr: "0.5" }) };
    const file = { path: "run.yaml", values: Object.assign(new Map(values), { when: [free] }) };
    assert.equal(resolve("train", { flags: written(asp), file }).options.lr, 0.5);
    const flags = written({ ...asp, lr: "0.7" });
    assert.equal(resolve("train", { flags, file }).options.lr, 0.7);
    assert.equal(resolve("baseline", { file }).options.lr, 0.1);
  });
  test("may have modes with parameters in one word", () => {
    const when = [
      { match: written({ mode: "ssp:2" }), set: written({ lr: "0.5" }) },
      { match: written({ workers: "7" }), set: written({ mode: "ssp:3" }) },
    ];
    const of = (said: Parameters<typeof written>[0]) => {
      const file = { path: "run.yaml", values: Object.assign(written(said), { when }) };
      const { lr, mode, staleness } = resolve("train", { file }).options;
      return [lr, mode, staleness];
    };
    assert.deepEqual(of({ mode: "ssp:2" }), [0.5, "ssp", 2]);
    assert.deepEqual(of({ mode: "ssp", lr: "0.1" }), [0.1, "ssp", 3]);
    assert.deepEqual(of({ workers: "7", lr: "0.1" }), [0.1, "ssp", 3]);
  });
  test("are refused where what they set has no effect", () => {
    const given = { flags: written({ mode: "asp" }), file: { path: "run.yaml", values } };
    assert.doesNotThrow(() => resolve("train", given), "the file yields to the flag's mode");
  });
});

describe("variables that a Service's name has made", () => {
  const made = {
    PACELINE_PORT: "tcp://10.96.0.12:8000",
    PACELINE_PORT_8000_TCP: "tcp://10.96.0.12:8000",
    PACELINE_PORT_8000_TCP_PORT: "8000",
    PACELINE_SERVICE_HOST: "10.96.0.12",
    PACELINE_SERVICE_PORT: "8000",
    PACELINE_SERVICE_PORT_HTTP: "8000",
    PACELINE_NAME: "/web/paceline",
    SERVER_PORT: "udp://10.96.0.13:8000",
    MASTER_PORT: "tcp://10.96.0.14:29500",
  };
  test("are no options, and a line says so for each that a command would read", () => {
    const { options } = resolve("coordinator", { environment: made });
    assert.deepEqual([options.port, options.name], [8000, null]);
    const lines = ignoredVariables("coordinator", made);
    const names = lines.map((line) => line.slice(0, line.indexOf("=")));
    assert.deepEqual(names.sort(), [
      "MASTER_PORT",
      "PACELINE_NAME",
      "PACELINE_PORT",
      "SERVER_PORT",
    ]);
    assert.match(lines.join("\n"), /for a service called paceline; .* write --port$/m);
    assert.deepEqual(doubtfulEnvironment(made), []);
  });
  test("give no port to an address", () => {
    const environment = { ...made, PARAMETER_SERVER_ADDRESS: "ps" };
    assert.equal(resolve("worker", { environment }).options.coordinator, "ps:8000");
    assert.match(ignoredVariables("worker", environment).join(), /^SERVER_PORT=udp:/);
  });
  test("shadow no option at all, whatever Service there is", () => {
    for (const key of optionKeys) {
      const row = rowOf(key);
      const names = [environmentName(key), ...(row.aliases ?? []).map(({ name }) => name)];
      for (const name of names.filter((one) => /_(PORT|NAME)$/.test(one))) {
        const value = name.endsWith("_PORT") ? "tcp://10.0.0.1:1" : "/web/some";
        const command = row.commands[0]!;
        const given = { environment: { [name]: value } };
        assert.deepEqual(resolve(command, given).options[key], resolve(command, {}).options[key]);
      }
    }
  });
});

describe("addresses in the environment", () => {
  const rows: readonly (readonly [Record<string, string>, string])[] = [
    [{ MASTER_ADDR: "::1" }, "[::1]:8000"],
    [{ MASTER_ADDR: "::1", MASTER_PORT: "29500" }, "[::1]:29500"],
    [{ MASTER_ADDR: "fd00::1:2", MASTER_PORT: "29500" }, "[fd00::1:2]:29500"],
    [{ MASTER_ADDR: "[::1]:7000", MASTER_PORT: "29500" }, "[::1]:7000"],
    [{ MASTER_ADDR: "fe80::1%eth0", MASTER_PORT: "1" }, "[fe80::1%eth0]:1"],
    [{ PACELINE_COORDINATOR: "::1" }, "[::1]:8000"],
  ];
  for (const [environment, address] of rows) {
    test(`${JSON.stringify(environment)} is ${address}`, () => {
      assert.equal(resolve("worker", { environment }).options.coordinator, address);
    });
  }
  test("that can be read in two ways are refused", () => {
    const given = { environment: { PARAMETER_SERVER_ADDRESS: "::1:8000" } };
    const message = /::1:8000 can be an address or one with a port: \[::1:8000\] or \[::1\]:8000/;
    assert.throws(() => resolve("worker", given), { code: "usage", message });
  });
});

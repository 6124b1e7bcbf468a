import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { OptionKey } from "../../options/options.js";
import { resolve } from "../../options/resolve.js";
import { hostProcesses } from "./host-commands.js";
import { parseHosts } from "./hosts-file.js";

const both = [
  "# two computers",
  "",
  "ada@10.0.0.1      coordinator server worker  # the first",
  "10.0.0.2:2222     server worker=2 address=192.168.0.2 listen=0.0.0.0 data-dir=/d dir=/srv/p",
].join("\n");

test("a line is a host with its roles and what is not usual there", () => {
  const [first, second] = parseHosts(both, "hosts.txt");
  assert.deepEqual(first, {
    ...{ destination: "ada@10.0.0.1", sshPort: null, address: "10.0.0.1", listen: null },
    ...{ counts: { coordinator: 1, server: 1, worker: 1 }, serverPort: null, dir: "paceline" },
    ...{ program: ["paceline"], dataDir: null, where: "hosts.txt:3" },
  });
  assert.deepEqual(second, {
    ...{ destination: "10.0.0.2", sshPort: 2222, address: "192.168.0.2", listen: "0.0.0.0" },
    ...{ counts: { coordinator: 0, server: 1, worker: 2 }, serverPort: 8001, dir: "/srv/p" },
    ...{ program: ["paceline"], dataDir: "/d", where: "hosts.txt:4" },
  });
  const [only] = parseHosts("[fe80::1]:23 coordinator server worker program=/p/main.js", "h");
  assert.deepEqual([only!.destination, only!.sshPort, only!.address], ["fe80::1", 23, "fe80::1"]);
  assert.deepEqual(only!.program, ["node", "/p/main.js"]);
  const dirOf = (text: string) =>
    parseHosts(`h coordinator server worker dir=${text}`, "h")[0]!.dir;
  assert.deepEqual(["~/a/b", "~", "~/", "a"].map(dirOf), ["a/b", ".", ".", "a"]);
});

describe("what can't be started is told with file and line", () => {
  const all = "a coordinator server worker";
  const refused: readonly (readonly [string, RegExp])[] = [
    ["", /^h names no host; write a line for each, such as "10/],
    ["# nothing\n", /^h names no host/],
    [`${all}\na worker`, /^h:2: host a stands in h:1 already; write all that runs there in one/],
    [`${all}\nb worker address=a`, /^h:2: address a stands in h:1 already; write address=/],
    ["a coordinator server wroker", /^h:1: wroker is no role and no setting \(did you mean worker/],
    ["a coordinator port=8", /^h:1: port=8 is no role and no setting/],
    ["a", /^h:1: nothing runs on a; write coordinator, server or worker/],
    ["a coordinator worker", /^h: no host has a server; write server behind one of them/],
    ["a server worker", /^h: no host has a coordinator/],
    [`${all}\nb coordinator`, /^h:1 and h:2: a run has one coordinator/],
    ["a coordinator=2", /^h:1: coordinator=2 is no number of processes; write 1 to 1/],
    ["a worker=0", /^h:1: worker=0 is no number of processes; write 1 to 1024/],
    ["a worker worker", /^h:1: worker stands twice; write worker=N once/],
    ["a worker dir=", /^h:1: dir= has no value/],
    ["a worker dir=~ada/x", /^h:1: dir=~ada\/x names another user's folder; write its whole path/],
    ["a worker dir=x dir=y", /^h:1: dir stands twice/],
    ["a:0 worker", /^h:1: 0 is no port; write 1 to 65535/],
    ["a:ssh worker", /^h:1: ssh is no port/],
    ["-oProxyCommand=x worker", /^h:1: -oProxyCommand=x is no host; write \[USER@\]HOST/],
    ["ada@ worker", /^h:1: ada@ is no host/],
    ["a worker server-port=none", /^h:1: none is no port/],
  ];
  for (const [text, message] of refused) {
    test(JSON.stringify(text), () => {
      assert.throws(() => parseHosts(text, "h"), { code: "usage", message });
    });
  }
});

describe("the processes of two hosts", () => {
  const hosts = parseHosts(both, "hosts.txt");
  const given = (...flags: [OptionKey, string][]) =>
    resolve("coordinator", { flags: new Map(flags), environment: { PACELINE_DATA_DIR: "/mine" } });
  const commands = (...flags: [OptionKey, string][]) =>
    hostProcesses(hosts, given(...flags)).map(({ name, command }) => [name, command.join(" ")]);

  test("are given no password: everybody on a host may read it", () => {
    const place = "https://ada:secret@example.org/sets";
    const message =
      /^the place of data https:\/\/example\.org\/sets has a user .*PACELINE_DATA_DIR/;
    assert.throws(() => commands(["insecure", "true"], ["dataDir", place]), {
      ...{ code: "usage", message },
    });
  });

  test("are not started where two would listen at one port, or at none that is known", () => {
    const refused = (flags: [OptionKey, string][], message: RegExp, file = hosts) =>
      assert.throws(() => hostProcesses(file, given(["insecure", "true"], ...flags)), {
        ...{ code: "usage", message },
      });
    refused([["port", "0"]], /^--port 0: members on other hosts have to know the port; write one/);
    refused([["host", "10.0.0.9"]], /^--host is each host's own; write address= or listen= in /);
    const one = (words: string) => parseHosts(`10.0.0.1 coordinator ${words}`, "h.txt");
    const crowded = one("server=2 worker listen=0.0.0.0 server-port=65535");
    refused([], /^h.txt:1: servers listen at the ports 65535 to 65536, and the last/, crowded);
    const shared = one("server worker listen=0.0.0.0");
    refused([["port", "8001"]], /ports 8001 to 8001, and the coordinator at 8001; write/, shared);
  });

  test("are told where nothing was written for what is usual", () => {
    const words = commands(["insecure", "true"], ["checkpointEvery", "none"])[0]![1];
    assert.match(words!, / --checkpoint-every none( |$)/);
  });

  test("are the coordinator, the servers and the workers, with what was written", () => {
    const insecure = "--insecure";
    const at = "--coordinator 10.0.0.1:8000";
    const far = "--host 0.0.0.0 --port 8001 --advertise 192.168.0.2:8001";
    assert.deepEqual(commands(["insecure", "true"], ["epochs", "3"], ["engine", "reference"]), [
      [
        "coordinator-0",
        "paceline coordinator --host 10.0.0.1 --port 8000 --servers 2 --workers 3 " +
          `${insecure} --epochs 3 --engine reference`,
      ],
      ["server-0", `paceline server ${at} --rank 0 --host 10.0.0.1 --port 0 ${insecure}`],
      ["server-1", `paceline server ${at} --rank 1 ${far} ${insecure}`],
      ["worker-0", `paceline worker ${at} --rank 0`],
      ["worker-1", `paceline worker ${at} --rank 1 --data-dir /d`],
      ["worker-2", `paceline worker ${at} --rank 2 --data-dir /d`],
    ]);
  });

  test("have the range that was written, where the file's count is in it", () => {
    const [, coordinator] = commands(["insecure", "true"], ["workers", "2:8"])[0]!;
    assert.match(coordinator!, /--workers 2:8/);
    assert.throws(() => commands(["insecure", "true"], ["workers", "2"]), {
      message:
        "the hosts have 3 workers, and --workers 2 takes 1 to 2; leave it out, or change the file",
    });
  });

  test("need a guard, or a word that there is none", () => {
    assert.throws(() => commands(), { message: /10\.0\.0\.1 listen to the network; write --tls/ });
    assert.match(commands(["tls", "certs"])[5]![1]!, /worker .* --tls certs/);
  });
});

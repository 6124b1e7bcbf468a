import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { cpuQuota, usableCores } from "./cores.js";

const folder = mkdtempSync(join(tmpdir(), "paceline-cores-"));
after(() => rmSync(folder, { recursive: true }));
let count = 0;

/** A machine's files of control groups: `membership` and what lies below the mount. */
function groups(membership: string, files: Readonly<Record<string, string>>) {
  const root = join(folder, `${count++}`);
  for (const [name, text] of Object.entries({ membership, ...files })) {
    const path = join(root, name === "membership" ? name : join("mount", name));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return { mount: join(root, "mount"), membership: join(root, "membership") };
}

describe("the cores that a process may keep busy", () => {
  const first = { "cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000\n" };
  const rows: readonly (readonly [string, string, Record<string, string>, number])[] = [
    ["version 2, one core", "0::/\n", { "cpu.max": "100000 100000\n" }, 1],
    ["version 2, no limit", "0::/\n", { "cpu.max": "max 100000\n" }, 8],
    ["version 2, two and a half", "0::/\n", { "cpu.max": "250000 100000\n" }, 2],
    ["version 2, half a core", "0::/\n", { "cpu.max": "50000 100000\n" }, 1],
    ["version 2, more than there are", "0::/\n", { "cpu.max": "1600000 100000\n" }, 8],
    ["version 2, nested", "0::/kube/pod/box\n", { "kube/pod/box/cpu.max": "300000 100000" }, 3],
    ["version 2, of a group around", "0::/a/b\n", { "a/cpu.max": "200000 100000" }, 2],
    [
      "version 2, the smallest of several",
      "0::/a/b\n",
      { "a/cpu.max": "200000 100000", "a/b/cpu.max": "400000 100000" },
      2,
    ],
    [
      "version 1, one core",
      "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n",
      { "cpu,cpuacct/docker/a/cpu.cfs_quota_us": "100000\n", ...first },
      1,
    ],
    [
      "version 1, no limit",
      "3:cpu,cpuacct:/docker/a\n",
      { "cpu,cpuacct/docker/a/cpu.cfs_quota_us": "-1\n", ...first },
      8,
    ],
    [
      "version 1, seen from inside a container",
      "3:cpu,cpuacct:/docker/a\n0::/\n",
      { "cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000" },
      2,
    ],
    ["no control groups", "", {}, 8],
    ["garbled files", "nonsense\n0::/\n", { "cpu.max": "many\n" }, 8],
  ];
  for (const [name, membership, files, cores] of rows) {
    test(`${name}: ${cores} of 8`, () => {
      assert.equal(usableCores(groups(membership, files), 8), cores);
    });
  }
  test("are all where nothing can be read", () => {
    const nothing = { mount: join(folder, "none"), membership: join(folder, "none") };
    assert.equal(cpuQuota(nothing), null);
    assert.equal(usableCores(nothing, 3), 3);
  });
});

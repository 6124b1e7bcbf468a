// `make test-onednn3`: the tests of the oneDNN room and a short training with version 3 of the
// library, in a Debian 13 root of its own (.build/trixie, made once). Where such a root can't be
// made or entered, it says that version 3 is untested: that is no failure.
// Usage: node scripts/test-onednn3.mjs [folder of the build, dist if not given]
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const repository = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const build = process.argv[2] ?? "dist";
const root = join(repository, ".build", "trixie");
/** Where the engine's compiled tests lie in the build. */
const room = "nn/onednn";
const marker = join(root, "etc", "paceline-root-is-complete");
/** Where the repository and the host's own Node.js are seen inside. */
const inside = { repository: "/paceline", node: "/usr/local/bin/node" };

const lacking = whatIsLacking() ?? madeRoot();
if (lacking !== null) {
  console.log(`oneDNN 3 is untested here: ${lacking}`);
  process.exit(0);
}
const node = nodeInside();
if (node === null) {
  console.log("oneDNN 3 is untested here: no Node.js runs in the root, neither this nor Debian's");
  process.exit(0);
}
console.log(`Debian 13 in ${root}: Node.js ${node.version}, ${libraries().join(" and ")}`);
const failed = [testRoom(), train()].filter((status) => status !== 0);
process.exit(failed.length === 0 ? 0 : 1);

function whatIsLacking() {
  if (process.platform !== "linux") return "a Debian root needs Linux";
  if (process.getuid() !== 0) return "making a Debian root needs root; run it with sudo";
  for (const program of ["debootstrap", "unshare", "chroot", "apt-get"]) {
    if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0) {
      return `there is no ${program}; apt-get install debootstrap`;
    }
  }
  if (spawnSync("unshare", ["--mount", "true"]).status !== 0) return "mounts are not allowed here";
  if (existsSync(join(repository, build, room))) return null;
  console.error(`paceline: ${build} holds no build; run make build first.`);
  process.exit(1);
}

/** Makes the root where it is missing or was left half made; why it could not be, or null. */
function madeRoot() {
  if (existsSync(marker)) return null;
  const mirror = mirrorOfHost();
  if (mirror === null) return "apt-get names no mirror of Debian";
  console.log("making a Debian 13 root, which takes a minute");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  const words = ["--variant=minbase", "--include=libdnnl-dev", "trixie", root, mirror];
  const limits = { encoding: "utf8", timeout: 600_000 };
  const { status, stdout, stderr, error } = spawnSync("debootstrap", words, limits);
  if (status !== 0) {
    rmSync(root, { recursive: true, force: true });
    const last = `${stdout}${stderr}`.trim().split("\n").at(-1);
    return `debootstrap failed (${error?.message ?? last})`;
  }
  writeFileSync(marker, "");
  return null;
}

/** Where this machine gets its own packages from. */
function mirrorOfHost() {
  const words = ["indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"];
  const { stdout } = spawnSync("apt-get", words, { encoding: "utf8" });
  const places = (stdout ?? "").split("\n").map((line) => line.split(" "));
  // Updates and security fixes lie in suites of their own, which have a hyphen.
  const isMain = ([suite, uri]) => uri?.startsWith("http") && !suite.includes("-");
  return places.find(isMain)?.[1] ?? null;
}

/** Runs a program in the root; what is mounted for it is seen by it alone and is gone with it. */
function enter(words, options = {}) {
  const mounts = [
    'mkdir -p "$1$2" "$1/dev" "$1/proc" "$1/tmp"',
    'touch "$1$4"',
    'mount --rbind /dev "$1/dev"',
    'mount -t proc proc "$1/proc"',
    'mount -t tmpfs tmpfs "$1/tmp"',
    'mount --bind "$3" "$1$2"',
    'mount -o remount,bind,ro "$1$2"',
    'if [ "$5" = host ]; then mount --bind "$6" "$1$4"; fi',
    'root="$1"; start="$2"; shift 6',
    'exec chroot "$root" sh -c \'cd "$0" && exec "$@"\' "$start" "$@"',
  ].join(" && ");
  const { whose = "host", ...limits } = options;
  const places = [root, inside.repository, repository, inside.node, whose, process.execPath];
  const apart = ["--mount", "--propagation", "private"];
  const all = [...apart, "sh", "-c", mounts, "sh", ...places, ...words];
  const environment = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", HOME: "/tmp" };
  return spawnSync("unshare", all, { env: environment, timeout: 600_000, ...limits });
}

/** The Node.js to test with: this one if it runs there, else Debian's; null if neither does. */
function nodeInside() {
  const quiet = { encoding: "utf8" };
  const own = enter([inside.node, "--version"], quiet);
  if (own.status === 0) return { whose: "host", path: inside.node, version: own.stdout.trim() };
  const debian = { whose: "debian", path: "/usr/bin/node" };
  const version = () => enter([debian.path, "--version"], { ...quiet, whose: "debian" });
  let found = version();
  if (found.status !== 0) {
    const install = "apt-get install -y --no-install-recommends nodejs";
    enter(["sh", "-c", install], { ...quiet, whose: "debian" });
    found = version();
  }
  return found.status === 0 ? { ...debian, version: found.stdout.trim() } : null;
}

function libraries() {
  const folder = join(root, "usr", "lib");
  const names = readdirSync(folder)
    .filter((name) => name.endsWith("-linux-gnu"))
    .flatMap((name) => readdirSync(join(folder, name)));
  return names.filter((name) => /^libdnnl\.so\.3/.test(name));
}

function testRoom() {
  const tests = readdirSync(join(repository, build, room))
    .filter((name) => name.endsWith(".test.js"))
    .map((name) => `${build}/${room}/${name}`);
  console.log(`\nnode --test ${tests.join(" ")}`);
  const words = [node.path, "--test", "--test-reporter=spec", ...tests];
  return enter(words, { stdio: "inherit", whose: node.whose }).status;
}

/** A network with convolutions on made-up pictures, through one server and one worker. */
function train() {
  const training = "train --model resnet20 --data mnist --data-dir /tmp/data --run-dir /tmp/runs";
  const options = "-s 1 -w 1 -e 2 -b 32 --lr 0.05 --batch-norm-momentum 0.5 --engine onednn";
  console.log(`\npaceline ${training} ${options}`);
  const module = `${inside.repository}/${build}/data/testing/sample-files.js`;
  const program = [
    `const { writeSampleMnist } = await import("${module}");`,
    `await writeSampleMnist("/tmp/data", { train: 512, test: 128, seed: 1 });`,
  ].join("\n");
  const made = `"${node.path}" --input-type=module --eval '${program}'`;
  const ran = `"${node.path}" ${build}/cli/main.js ${training} ${options} --no-progress`;
  const told = `sed -n '/"engines"/,/]/p' /tmp/runs/*/result.json`;
  const words = ["sh", "-c", `${made} && ${ran} && ${told}`];
  return enter(words, { stdio: "inherit", whose: node.whose }).status;
}

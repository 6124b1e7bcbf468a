// `make test-containers`: builds the images of both Dockerfiles, for linux/amd64 and the worker's for
// linux/arm64 too, without a registry of images, and runs the tests of test/containers with podman.
// Where that can't be done it says so: that is no failure. Needs Linux and root; what it makes is kept
// in .build/containers for the next time.
// Usage: node scripts/test-containers.mjs [part of a test file's name...]
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { basesOf, makeBases, makeEtcd, run } from "./container-bases.mjs";

const repository = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(repository, ".build", "containers");
// Short, as sockets lie below it.
const storage = ["--root", join(folder, "storage"), "--runroot", "/run/paceline-containers"];
const programs = ["podman", "buildah", "runc", "debootstrap", "npm", "tar", "conmon"];
const packages = "podman buildah runc netavark aardvark-dns iptables debootstrap conmon";

const lacking = whatIsLacking();
if (lacking !== null) {
  console.log(`containers are untested here: ${lacking}`);
  process.exit(0);
}
mkdirSync(folder, { recursive: true });
const began = performance.now();
const bases = basesOf("Dockerfile.server");
makeBases({ folder, storage, mirror: mirrorOfHost(), bases });
const manifest = readFileSync(join(repository, "k8s", "base", "etcd.yaml"), "utf8");
const [, etcd] = /image: (\S+)/.exec(manifest);
makeEtcd({ storage, name: etcd, debian: bases.debian });
build("Dockerfile.server", "paceline-server:0.1.0", "amd64");
build("Dockerfile.worker", "paceline-worker:0.1.0", "amd64");
build("Dockerfile.worker", "paceline-worker-arm64:0.1.0", "arm64");
const format = "{{.Repository}}:{{.Tag}} {{.Size}}";
for (const line of run("podman", [...storage, "images", "--format", format]).split("\n").sort()) {
  if (line.includes("/paceline-")) console.log(line);
}
console.log(`images are ready after ${Math.round((performance.now() - began) / 1000)} s`);
const wanted = process.argv.slice(2);
const tests = readdirSync(join(repository, "dist-test", "containers"))
  .filter((name) => name.endsWith(".long.js"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => `dist-test/containers/${name}`);
if (tests.length === 0) {
  console.error(`paceline: no test of containers matches ${wanted.join(" ")}`);
  process.exit(1);
}
const words = ["--test", "--test-concurrency=1", "--test-reporter=spec", ...tests];
// Where podman can't raise limits, those of a container have to be ones that it has itself.
const settings = join(folder, "containers.conf");
writeFileSync(settings, '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n');
const own = { CONTAINER_STORAGE: storage.join(" "), CONTAINERS_CONF: settings };
const environment = { ...process.env, ...own };
const { status } = spawnSync(process.execPath, words, { stdio: "inherit", env: environment });
// Left mounted, the storage could not be removed by `make clean`.
spawnSync("umount", [join(folder, "storage", "overlay")]);
process.exit(status ?? 1);

function whatIsLacking() {
  if (process.platform !== "linux" || process.arch !== "x64") return "it needs Linux on x64";
  if (process.getuid() !== 0) return "making base images needs root; run it with sudo";
  for (const program of programs) {
    if (spawnSync("sh", ["-c", `command -v ${program}`]).status === 0) continue;
    return `there is no ${program}; apt-get install ${packages}`;
  }
  return mirrorOfHost() === null ? "apt-get names no mirror of Debian" : null;
}

function mirrorOfHost() {
  const words = ["indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"];
  const { stdout } = spawnSync("apt-get", words, { encoding: "utf8" });
  const places = (stdout ?? "").split("\n").map((line) => line.split(" "));
  return places.find(([suite, uri]) => suite === "bookworm" && uri?.startsWith("http"))?.[1] ?? null;
}

function build(dockerfile, name, arch) {
  // The stages that run programs run here; buildah does not always know where that is.
  const platforms = ["--platform", `linux/${arch}`, "--build-arg", "BUILDPLATFORM=linux/amd64"];
  const apart = ["--network", "host", "--isolation", "chroot", "--ulimit", "nofile=4096:4096"];
  const kept = ["--layers", "--pull=never", "--format", "docker"];
  const words = [...storage, "bud", ...kept, ...platforms, ...apart, "-f", dockerfile, "-t", name, "."];
  const { status, stdout, stderr } = spawnSync("buildah", words, {
    cwd: repository,
    encoding: "utf8",
    timeout: 900_000,
    maxBuffer: 1 << 28,
  });
  if (status === 0) return;
  console.error(`buildah ${words.join(" ")} failed:\n${stdout}${stderr}`);
  process.exit(1);
}

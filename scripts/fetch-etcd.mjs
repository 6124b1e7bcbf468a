// Fetches Debian's etcd for the tests that start one, where there is none: its program alone, to
// .build/etcd, so that no service is installed or started. Nothing that goes wrong here is an error:
// those tests are then skipped, and say so.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(dirname(fileURLToPath(import.meta.url))), ".build", "etcd");
const program = join(folder, "usr", "bin", "etcd");

function went(command, ...words) {
  const limits = { cwd: folder, stdio: "ignore", timeout: 120_000 };
  return spawnSync(command, words, limits).status === 0;
}

function isInPath() {
  const folders = (process.env.PATH ?? "").split(":");
  return folders.some((one) => existsSync(join(one, "etcd")));
}

function fetch() {
  mkdirSync(folder, { recursive: true });
  if (!went("apt-get", "download", "etcd-server")) return false;
  const archive = readdirSync(folder).find((name) => /^etcd-server.*\.deb$/.test(name));
  return archive !== undefined && went("dpkg", "-x", archive, ".") && existsSync(program);
}

const isDebian = existsSync("/usr/bin/apt-get") && existsSync("/usr/bin/dpkg");
if (!existsSync(program) && !isInPath() && isDebian) {
  mkdirSync(folder, { recursive: true });
  const isRoot = process.getuid?.() === 0;
  const isThere = fetch() || (isRoot && went("apt-get", "update") && fetch());
  console.log(isThere ? "fetched etcd for the tests" : "no etcd could be fetched: its tests are skipped");
}

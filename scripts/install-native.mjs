// Installs Debian's oneDNN where it is missing and this user may: everything works without it, on the
// slower reference engine. Nothing that goes wrong here is an error.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib"];
const names = ["libdnnl.so.2", "libdnnl.so.3"];
const isHere = folders.some((folder) => names.some((name) => existsSync(`${folder}/${name}`)));
const isDebian = existsSync("/etc/debian_version") && existsSync("/usr/bin/apt-get");

/** Runs apt-get quietly; true when it went well. */
function aptGet(...words) {
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const limits = { stdio: "ignore", timeout: 120_000, env: environment };
  return spawnSync("apt-get", words, limits).status === 0;
}

if (!isHere && isDebian && process.getuid?.() === 0) {
  const install = () => aptGet("install", "-y", "--no-install-recommends", "libdnnl2");
  const went = install() || (aptGet("update") && install());
  const without = "oneDNN could not be installed: going on with the reference engine, slower";
  console.log(went ? "installed libdnnl2, oneDNN for convolutions" : without);
} else if (!isHere) {
  console.log("no oneDNN here: the reference engine computes, slower; paceline doctor says more");
}

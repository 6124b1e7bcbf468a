// Installs Debian's oneDNN where it is missing and this user may: everything works without it, on the
// slower reference engine. Nothing that goes wrong here is an error.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";

const folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib"];
const isLibrary = (name) => /^libdnnl\.so\.[23]/.test(name);
const isHere = folders.some((folder) => existsSync(folder) && readdirSync(folder).some(isLibrary));
const isDebian = existsSync("/etc/debian_version") && existsSync("/usr/bin/apt-get");

/** Runs apt-get quietly; true when it went well. */
function aptGet(...words) {
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const limits = { stdio: "ignore", timeout: 120_000, env: environment };
  return spawnSync("apt-get", words, limits).status === 0;
}

if (!isHere && isDebian && process.getuid?.() === 0) {
  // Debian 12 has the first, which is faster, and Debian 13 the second.
  const packages = ["libdnnl2", "libdnnl3.6"];
  const add = (name) => aptGet("install", "-y", "--no-install-recommends", name);
  const install = () => packages.some(add);
  const went = install() || (aptGet("update") && install());
  const without = "oneDNN could not be installed: using the reference engine, which is slower";
  console.log(went ? "installed oneDNN for convolutions" : without);
} else if (!isHere) {
  console.log("no oneDNN here: the reference engine computes, slower; paceline doctor says more");
}

// The base images that the Dockerfiles name, made without a registry of images: Debian by
// debootstrap, Node.js from its package in npm. Each is a list of linux/amd64 and linux/arm64, as
// the published ones are. They stand in for those, under their names, in a storage of the tests' own.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const npmVersion = "10.8.2";
/** What slim images leave out, and what is the machine's. */
const left = ["proc", "sys", "dev", "debootstrap", "var/cache/apt", "var/lib/apt/lists"].concat(
  ["usr/share/doc", "usr/share/man", "usr/share/locale"],
);
const npmNames = { amd64: "x64", arm64: "arm64" };

/** Runs a program; what it prints. Throws where it fails. */
export function run(program, words, options = {}) {
  const limits = { encoding: "utf8", timeout: 900_000, maxBuffer: 1 << 28, ...options };
  return execFileSync(program, words, { stdio: ["ignore", "pipe", "pipe"], ...limits }).trim();
}

/** The names after ARG in a Dockerfile: of Node.js and of Debian. */
export function basesOf(dockerfile) {
  const text = readFileSync(dockerfile, "utf8");
  const of = (name) => new RegExp(`^ARG ${name}=(\\S+)$`, "m").exec(text)[1];
  return { node: of("NODE_IMAGE"), debian: of("DEBIAN_IMAGE") };
}

/** Makes what is missing of the two. */
export function makeBases({ folder, storage, mirror, bases }) {
  const [, version] = /:(\d+\.\d+\.\d+)-/.exec(bases.node);
  const has = (name) => spawnSync("buildah", [...storage, "inspect", "--type", "manifest", name]);
  if (has(bases.node).status === 0 && has(bases.debian).status === 0) return;
  for (const arch of ["amd64", "arm64"]) {
    const root = join(folder, `bookworm-${arch}`);
    debootstrap(root, arch, mirror);
    const container = run("buildah", [...storage, "from", "--arch", arch, "scratch"]);
    const inside = (act) => {
      const mounted = run("buildah", [...storage, "mount", container]);
      act(mounted);
      run("buildah", [...storage, "umount", container]);
    };
    const config = ["--arch", arch, "--cmd", "bash", "--env", `PATH=${path}`];
    inside((mounted) => copyRoot(root, mounted));
    run("buildah", [...storage, "config", ...config, container]);
    commit(storage, container, `localhost/debian-${arch}`);
    inside((mounted) => addNode(mounted, arch, version, folder));
    // Where the registry of packages is behind an authority of the machine's own.
    const authority = process.env.NODE_EXTRA_CA_CERTS;
    if (authority !== undefined) {
      inside((mounted) => cpSync(authority, join(mounted, "etc", "machine-ca.pem")));
      const variable = "NODE_EXTRA_CA_CERTS=/etc/machine-ca.pem";
      run("buildah", [...storage, "config", "--env", variable, container]);
    }
    commit(storage, container, `localhost/node-${arch}`);
    run("buildah", [...storage, "rm", container]);
  }
  for (const [kind, name] of Object.entries(bases)) {
    spawnSync("buildah", [...storage, "manifest", "rm", name]);
    run("buildah", [...storage, "manifest", "create", name]);
    for (const arch of ["amd64", "arm64"]) {
      const [, graph, , runs] = storage;
      const place = `containers-storage:[overlay@${graph}+${runs}]localhost/${kind}-${arch}`;
      run("buildah", [...storage, "manifest", "add", name, place]);
    }
  }
}

/** Puts this machine's etcd under the name that the manifests have. */
export function makeEtcd({ storage, name, debian }) {
  const here = join(".build", "etcd", "usr", "bin", "etcd");
  const program = existsSync(here) ? here : run("sh", ["-c", "command -v etcd"]);
  const container = run("buildah", [...storage, "from", "--pull=never", debian]);
  const mounted = run("buildah", [...storage, "mount", container]);
  cpSync(program, join(mounted, "usr/local/bin/etcd"), { dereference: true });
  run("buildah", [...storage, "umount", container]);
  commit(storage, container, name);
  run("buildah", [...storage, "rm", container]);
}

function commit(storage, container, name) {
  run("buildah", [...storage, "commit", "--format", "docker", container, name]);
}

/** Packages for another processor are unpacked and not set up: nothing runs in such a root. */
function debootstrap(root, arch, mirror) {
  const marker = join(root, "etc", "debian_version");
  if (existsSync(marker)) return;
  rmSync(root, { recursive: true, force: true });
  const foreign = arch === npmArchOfHost() ? [] : ["--foreign"];
  const words = ["--variant=minbase", `--arch=${arch}`, ...foreign, "bookworm", root, mirror];
  console.log(`debootstrap ${words.slice(0, -2).join(" ")}`);
  run("debootstrap", words);
}

function npmArchOfHost() {
  return process.arch === "x64" ? "amd64" : process.arch;
}

function copyRoot(root, mounted) {
  const excluded = left.map((name) => `--exclude=./${name}`);
  const pipe = 'root="$1"; to="$2"; shift 2; tar -C "$root" "$@" -cf - . | tar -C "$to" -xf -';
  run("sh", ["-c", pipe, "sh", root, mounted, ...excluded]);
  for (const name of ["proc", "sys", "dev", "var/lib/apt/lists/partial", "usr/local/bin"].concat(
    "var/cache/apt/archives/partial",
  )) {
    mkdirSync(join(mounted, name), { recursive: true });
  }
}

function addNode(mounted, arch, version, folder) {
  const scratch = mkdtempSync(join(tmpdir(), "paceline-node-"));
  const unpack = (name) => {
    const [{ filename }] = JSON.parse(
      run("npm", ["pack", "--json", "--pack-destination", folder, name], { cwd: folder }),
    );
    const to = join(scratch, filename);
    mkdirSync(to);
    run("tar", ["-xzf", join(folder, filename), "-C", to, "--strip-components=1"]);
    return to;
  };
  try {
    const node = unpack(`node-linux-${npmNames[arch]}@${version}`);
    cpSync(join(node, "bin", "node"), join(mounted, "usr/local/bin/node"));
    const npm = join(mounted, "usr/local/lib/node_modules/npm");
    cpSync(unpack(`npm@${npmVersion}`), npm, { recursive: true });
    run("ln", ["-sf", "../lib/node_modules/npm/bin/npm-cli.js", join(mounted, "usr/local/bin/npm")]);
    run("chmod", ["755", join(mounted, "usr/local/bin/node"), join(npm, "bin/npm-cli.js")]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** `paceline certs`: the certificates of a cluster, as --tls takes them. */
import { PacelineError } from "../../errors.js";
import { alternatives, didYouMean } from "../../suggest.js";
import { type ClusterRole, clusterRoles } from "../../transport/credentials/roles.js";
import type { Call, CommandPlan } from "./command-plan.js";

const verbs = { init, add, revoke, show };
/** How long a certificate is good unless told. */
const daysDefault = 365;
const daysMax = 3650;

/** The command with its words. */
export const certsPlan: CommandPlan = {
  name: "certs",
  sentence: "make and show the certificates of a cluster, for --tls",
  options: "certs",
  arguments: [`<${Object.keys(verbs).join("|")}>`, "[words...]"],
  verbs: [
    { name: "init", words: "", sentence: "make an authority, and a certificate for each role" },
    { name: "add", words: "ROLE", sentence: "make another certificate, or a role's anew" },
    {
      name: "revoke",
      words: "NAME...",
      sentence: "have certificates, by name, file or serial number, refused from here on",
    },
    { name: "show", words: "", sentence: "list whom each certificate names, and until when" },
  ],
  extra: [
    { flags: "--out <folder>", sentence: "the folder of the cluster's certificates" },
    {
      flags: "--name <name>",
      sentence: "with add: a folder below with what one computer needs, by this name",
      verbs: ["add"],
    },
    {
      flags: "--host <hosts>",
      sentence: "names and addresses at which it is good, with commas (default: any)",
      verbs: ["init", "add"],
    },
    {
      flags: "--days <days>",
      sentence: `how long it is good (default: ${daysDefault})`,
      verbs: ["init", "add"],
    },
  ],
  examples: [
    "paceline certs init --out certs",
    "paceline certs add worker --out certs --name node-3",
    "paceline certs add server --out certs --name node-4 --host node-4,10.0.0.4",
    "paceline certs revoke node-3 --out certs",
    "paceline certs show --out certs",
  ],
  async run(call) {
    const [word, ...words] = call.words;
    const verb = word as keyof typeof verbs;
    for (const flag of ["name", "host", "days"]) {
      const takes = verb === "add" || (verb === "init" && flag !== "name");
      if (call.flags[flag] === undefined || takes) continue;
      throw usage(`--${flag} does not apply to paceline certs ${verb}; leave it out`);
    }
    return verbs[verb](words, call);
  },
};

async function init(words: readonly string[], call: Call): Promise<number> {
  demandNoWords("init", words);
  const { initFolder } = await import("../../transport/credentials/certificate-folder.js");
  const folder = folderOf(call);
  tellWritten(await initFolder(folder, hostsOf(call), daysOf(call)), call);
  const keep = `keep ${folder}/ca-key.pem where no member runs: it makes members`;
  if (!call.options.json)
    call.io.stderr.write(`start each process with --tls ${folder}; ${keep}\n`);
  return 0;
}

async function add(words: readonly string[], call: Call): Promise<number> {
  const [word, ...others] = words;
  const example = "write paceline certs add worker --out DIR";
  if (word === undefined || others.length > 0) {
    throw usage(`paceline certs add takes one role, ${alternatives(clusterRoles)}; ${example}`);
  }
  const role = clusterRoles.find((one): one is ClusterRole => one === word);
  if (role === undefined) {
    const hint = didYouMean(word, clusterRoles);
    throw usage(`${word} is no role${hint}; write ${alternatives(clusterRoles)}`);
  }
  const folderModule = await import("../../transport/credentials/certificate-folder.js");
  const { validFor } = await import("../../transport/credentials/make-certificate.js");
  const name = (call.flags.name as string | undefined) ?? null;
  const request = { role, name, hosts: hostsOf(call) };
  const { addCertificate } = folderModule;
  tellWritten(await addCertificate(folderOf(call), request, validFor(daysOf(call))), call);
  return 0;
}

async function revoke(words: readonly string[], call: Call): Promise<number> {
  const example = "write paceline certs revoke node-3 --out DIR";
  if (words.length === 0) {
    throw usage(`paceline certs revoke takes names of certificates; ${example}`);
  }
  const folderModule = await import("../../transport/credentials/certificate-folder.js");
  const folder = folderOf(call);
  const { revoked, written } = folderModule.revokeCertificates(folder, words);
  const { stdout, stderr } = call.io;
  const rows = revoked.map(({ serial, certificate, wasRevoked }) => {
    const { name = null, role = null, file = null } = certificate ?? {};
    return { serial, name, role, file, wasRevoked };
  });
  if (call.options.json) {
    stdout.write(`${JSON.stringify({ revoked: rows, written })}\n`);
    return 0;
  }
  tellWritten(written, call);
  for (const { serial, name, role, file, wasRevoked } of rows) {
    const who = file === null ? "a certificate that is not here" : `${name} (${role}, ${file})`;
    const state = wasRevoked ? "was revoked already" : "is revoked";
    stderr.write(`${who}, serial ${serial}, ${state}\n`);
  }
  const [list = ""] = written;
  stderr.write(`copy ${list} into the --tls folder of every process, beside its ca.pem\n`);
  return 0;
}

async function show(words: readonly string[], call: Call): Promise<number> {
  demandNoWords("show", words);
  const { listFolder } = await import("../../transport/credentials/certificate-folder.js");
  const { readAuthorities, readRevoked } = await import(
    "../../transport/credentials/tls-folder.js"
  );
  const folder = folderOf(call);
  const listed = listFolder(folder);
  if (listed.length === 0) {
    throw usage(`there are no certificates in ${folder}; make them: paceline certs init --out`);
  }
  const authorities = listed.some(({ isAuthority }) => isAuthority) ? readAuthorities(folder) : [];
  const revoked = readRevoked(folder, authorities);
  const nowMs = Date.now();
  const rows = listed.map((one) => {
    const until = new Date(one.validToMs).toISOString();
    const state = stateOf(one.validFromMs, one.validToMs, revoked.has(one.serial), nowMs);
    const role = one.isAuthority ? "authority" : (one.role ?? "none");
    const { file, name, serial, hosts } = one;
    return { file, name, role, hosts, until, state, serial };
  });
  const { stdout } = call.io;
  if (call.options.json) stdout.write(`${JSON.stringify({ certificates: rows })}\n`);
  else stdout.write(table(rows.map((row) => [...Object.values(row)].map(String))));
  return 0;
}

function stateOf(fromMs: number, toMs: number, isRevoked: boolean, nowMs: number): string {
  if (isRevoked) return "revoked";
  if (toMs < nowMs) return "expired";
  return fromMs > nowMs ? "not yet valid" : "good";
}

function table(rows: readonly (readonly string[])[]): string {
  const titles = ["File", "Name", "Role", "Hosts", "Until", "State", "Serial"];
  const all = [titles, ...rows.map((row) => row.map((cell) => cell || "any"))];
  const widths = titles.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

function tellWritten(paths: readonly string[], { options, io }: Call): void {
  if (options.json) io.stdout.write(`${JSON.stringify({ written: paths })}\n`);
  else io.stdout.write(paths.map((path) => `${path}\n`).join(""));
}

function folderOf({ flags }: Call): string {
  const folder = flags.out as string | undefined;
  if (folder !== undefined && folder !== "") return folder;
  throw usage("paceline certs needs a folder; write --out certs");
}

function hostsOf({ flags }: Call): string[] {
  const hosts = (flags.host as string | undefined) ?? "";
  return hosts
    .split(",")
    .map((host) => host.trim())
    .filter((host) => host !== "");
}

function daysOf({ flags }: Call): number {
  const text = (flags.days as string | undefined) ?? `${daysDefault}`;
  const days = Number(text);
  if (/^\d+$/.test(text) && days >= 1 && days <= daysMax) return days;
  throw usage(`--days ${text || '""'} is not a number of days from 1 to ${daysMax}`);
}

function demandNoWords(verb: string, words: readonly string[]): void {
  if (words.length === 0) return;
  throw usage(`paceline certs ${verb} takes no words, and got ${words.join(" ")}; write --out DIR`);
}

function usage(sentence: string): PacelineError {
  return new PacelineError("usage", sentence);
}

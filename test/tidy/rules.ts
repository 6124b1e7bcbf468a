/**
 * Style as rules over one file. Each is a function from a parsed file to what is wrong with it, and
 * is itself tried on small strings in rules.test.ts, so that a rule that can't fail is noticed.
 */
import ts from "typescript";
import { foreignPhrases } from "./plain-words.js";
import {
  at,
  type Finding,
  isGenerated,
  isTest,
  nodes,
  type Rooms,
  references,
  resolveSpecifier,
  roomOf,
  type Source,
  testing,
} from "./sources.js";

/** Longest file, in lines. */
export const fileLinesMax = 500;
/** Longest function, in lines. */
export const functionLinesMax = 70;
/** Longest line, in characters. */
export const lineCharactersMax = 100;
const freeForAll = ["assert", "errors", "random", "suggest", "system-reason"];
const topFiles = [...freeForAll, "index", "suggest.test", "system-reason.test"];
const pureRooms = ["protocol", "core"];
/** What pure rooms take of packages: functions whose result follows from their arguments alone. */
const purePackages = ["@noble/hashes/sha2"];
const withHeaders = /^src\/(protocol|core|nn|compression\/codecs|transport\/wire)\//;
const forbiddenNames = ["util", "utils", "helper", "helpers", "type", "types", "manager", "common"];
const timers = ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"];
const impureNames = [...timers, "process", "performance", "globalThis", "fetch", "console"];
const impureCalls = ["Date.now", "Math.random", "crypto.randomUUID"];

type Rule = (source: Source, rooms: Rooms) => Finding[];

const importsBetweenRooms: Rule = (source, rooms) => {
  const room = roomOf(source.path);
  if (room === null || isTest(source.path)) return [];
  const findings: Finding[] = [];
  const refuse = (node: ts.Node, message: string) => findings.push(at(source, node, message));
  for (const { node, specifier, typesOnly } of references(source)) {
    const target = resolveSpecifier(source.path, specifier);
    if (target === null) {
      const isPure = purePackages.includes(specifier);
      if (pureRooms.includes(room) && !isPure)
        refuse(node, `${room} imports "${specifier}"; it is pure`);
      continue;
    }
    if (isTest(target)) refuse(node, `${target} is for tests; production can't import it`);
    const other = roomOf(target);
    if (other === room) continue;
    if (other === null) {
      const name = target.replace(/^src\/|\.ts$/g, "");
      if (!freeForAll.includes(name))
        refuse(node, `${room} imports ${target}; only ${freeForAll.join(", ")} are free for all`);
      continue;
    }
    const allowed = rooms.get(room)?.imports.get(other);
    if (allowed === undefined)
      refuse(node, `${room} may not import ${other}; see the table in ARCHITECTURE.md`);
    else if (allowed === "types" && !typesOnly)
      refuse(node, `${room} may import types only of ${other}; write "import type"`);
  }
  return findings;
};

const placeAndName: Rule = ({ path }, rooms) => {
  const parts = path.split("/");
  if (parts[0] !== "src") return [];
  const finding = (message: string) => [{ path, line: 1, message }];
  const stem = parts.at(-1)!.replace(/\.ts$/, "");
  const [, room, wing] = parts as [string, string, string];
  if (parts.length > 4) return finding("lies too deep; files are src/<room>/<wing>/<file>.ts");
  if (parts.length === 2 && !topFiles.includes(stem)) return finding("belongs in a room of src/");
  if (parts.length > 2 && !rooms.has(room))
    return finding(`"${room}" is no room; add it to the table in ARCHITECTURE.md`);
  if (parts.length === 4 && ![...rooms.get(room)!.wings, testing].includes(wing))
    return finding(`"${wing}" is no wing of ${room}; add it to the table in ARCHITECTURE.md`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?$/.test(stem)) return finding("name it in kebab-case");
  const vague = stem.split(/[-.]/).find((word) => forbiddenNames.includes(word));
  return vague === undefined ? [] : finding(`"${vague}" says nothing; name it after its idea`);
};

const pureCore: Rule = (source) => {
  const room = roomOf(source.path);
  if (room === null || !pureRooms.includes(room) || isTest(source.path)) return [];
  const findings: Finding[] = [];
  for (const node of nodes(source)) {
    const call = ts.isPropertyAccessExpression(node) && impureCalls.includes(node.getText());
    const bareDate =
      ts.isNewExpression(node) && node.expression.getText() === "Date" && !node.arguments?.length;
    const parent = node.parent;
    const isName =
      ts.isIdentifier(node) &&
      impureNames.includes(node.text) &&
      !(ts.isPropertyAccessExpression(parent) && parent.name === node) &&
      !(ts.isPropertyAssignment(parent) && parent.name === node) &&
      !ts.isPropertySignature(parent) &&
      !ts.isMethodDeclaration(parent);
    if (call || bareDate || isName)
      findings.push(at(source, node, `${room} reaches ${node.getText()}; have it passed in`));
  }
  return findings;
};

const environmentInOnePlace: Rule = (source) => {
  if (!/^(src|bench)\//.test(source.path) || isTest(source.path)) return [];
  if (/^src\/options\/options[a-z-]*\.ts$/.test(source.path)) return [];
  return nodes(source)
    .filter((node) => ts.isPropertyAccessExpression(node) && node.getText() === "process.env")
    .map((node) => at(source, node, "process.env is read in src/options/options.ts only"));
};

const noAny: Rule = (source) =>
  nodes(source)
    .filter(
      (node) =>
        (ts.isAsExpression(node) || ts.isTypeAssertionExpression(node)) &&
        node.type.kind === ts.SyntaxKind.AnyKeyword,
    )
    .map((node) => at(source, node, 'a cast to "any" hides a mistake; use unknown and narrow it'));

/** Node's own way never ends on a file system that takes no folder in an existing one (/proc). */
const foldersThatEnd: Rule = (source) => {
  if (!source.path.startsWith("src/") || isTest(source.path)) return [];
  return nodes(source)
    .filter((node) => {
      if (!ts.isCallExpression(node) || !/\bmkdir(Sync)?$/.test(node.expression.getText()))
        return false;
      return node.arguments.some((argument) => /\brecursive\b/.test(argument.getText()));
    })
    .map((node) => at(source, node, "may never end; make folders with store/folders.ts"));
};

const noSkippedTests: Rule = (source) => {
  if (!isTest(source.path)) return [];
  const words = ["skip", "only", "todo"];
  return nodes(source)
    .filter((node) => {
      if (ts.isPropertyAccessExpression(node))
        return (
          words.includes(node.name.text) &&
          /^(test|it|describe|suite|t)$/.test(node.expression.getText())
        );
      return (
        ts.isPropertyAssignment(node) &&
        words.includes(node.name.getText()) &&
        ts.isCallExpression(node.parent.parent) &&
        /^(test|it|describe|suite)$/.test(node.parent.parent.expression.getText())
      );
    })
    .map((node) => at(source, node, "every test runs; mend it or remove it"));
};

const lengths: Rule = (source) => {
  const findings: Finding[] = [];
  const lines = source.text.replace(/\n$/, "").split("\n");
  if (lines.length > fileLinesMax)
    findings.push(at(source, 0, `${lines.length} lines; split at ${fileLinesMax} by idea`));
  lines.forEach((line, index) => {
    if (line.length > lineCharactersMax && !/https?:\/\/\S{60,}/.test(line)) {
      const message = `${line.length} characters; break the line at ${lineCharactersMax}`;
      findings.push({ path: source.path, line: index + 1, message });
    }
  });
  if (isTest(source.path)) return findings;
  for (const node of nodes(source)) {
    if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) continue;
    const first = source.tree.getLineAndCharacterOfPosition(node.getStart()).line;
    const count = source.tree.getLineAndCharacterOfPosition(node.end).line - first + 1;
    if (count > functionLinesMax)
      findings.push(at(source, node, `${count} lines of function; split at ${functionLinesMax}`));
  }
  return findings;
};

const documentedExports: Rule = (source) => {
  if (!source.path.startsWith("src/") || isTest(source.path)) return [];
  const documented = new Set<string>();
  const findings: Finding[] = [];
  for (const statement of source.tree.statements) {
    if (!ts.canHaveModifiers(statement)) continue;
    const words = ts.getModifiers(statement)?.map((modifier) => modifier.kind) ?? [];
    if (!words.includes(ts.SyntaxKind.ExportKeyword)) continue;
    const name = exportName(statement);
    const doc = ts.getJSDocCommentsAndTags(statement).find(ts.isJSDoc);
    const sentence = ts.getTextOfJSDocComment(doc?.comment) ?? "";
    if (sentence.trim().split(/\s+/).length >= 2) documented.add(name);
    else if (!documented.has(name))
      findings.push(
        at(source, statement, `export ${name} has no doc sentence; write one above it`),
      );
  }
  return findings;
};

function exportName(statement: ts.Statement): string {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations[0]!.name.getText();
  return (statement as ts.Statement & { name?: ts.Identifier }).name?.text ?? "default";
}

const namedExports: Rule = (source) => {
  const findings: Finding[] = [];
  for (const statement of source.tree.statements) {
    const isDefault =
      ts.isExportAssignment(statement) ||
      (ts.canHaveModifiers(statement) &&
        ts.getModifiers(statement)?.some((m) => m.kind === ts.SyntaxKind.DefaultKeyword));
    if (isDefault) findings.push(at(source, statement, "default export; give it a name"));
    const reexport = ts.isExportDeclaration(statement) && statement.moduleSpecifier !== undefined;
    if (reexport && source.path !== "src/index.ts")
      findings.push(at(source, statement, "re-export; src/index.ts is the only barrel"));
  }
  return findings;
};

const header: Rule = (source) => {
  if (!withHeaders.test(source.path) || isTest(source.path)) return [];
  const [comment] = ts.getLeadingCommentRanges(source.text, 0) ?? [];
  const text = comment === undefined ? "" : source.text.slice(comment.pos, comment.end);
  const lines = text.split("\n").filter((line) => /[a-z]/i.test(line)).length;
  if (comment?.pos === 0 && lines >= 2 && text.split("\n").length >= 3 && lines <= 15) return [];
  const wanted = "what it is, the idea, the invariant, the source";
  return [at(source, 0, `opens with ${lines} lines of comment; write 3 to 15: ${wanted}`)];
};

const cleanText: Rule = (source) => {
  const machinePath = /(^|[\s"'`(=:])\/(home|Users|root|work)\/\w/;
  const unfinished = /(\/\/|\*|#).*\b(TO[D]O|FI[X]ME|XX[X])\b/;
  return source.text.split("\n").flatMap((line, index) => {
    const finding = (message: string) => [{ path: source.path, line: index + 1, message }];
    if (machinePath.test(line)) return finding("names a path of one machine; make it relative");
    if (unfinished.test(line)) return finding("marks something unfinished; finish it or drop it");
    return [];
  });
};

const codeRules: readonly Rule[] = [
  importsBetweenRooms,
  placeAndName,
  pureCore,
  environmentInOnePlace,
  noAny,
  foldersThatEnd,
  noSkippedTests,
  lengths,
  documentedExports,
  namedExports,
  header,
  cleanText,
  foreignPhrases,
];

/** All that is wrong with one file. */
export function check(source: Source, rooms: Rooms): Finding[] {
  if (isGenerated(source.path)) return [];
  const rules = source.path.endsWith(".ts") ? codeRules : [cleanText, foreignPhrases];
  return rules.flatMap((rule) => rule(source, rooms));
}

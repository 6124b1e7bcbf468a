/**
 * Names that stand in a list, such as update rules, codecs and modes: what tells them apart is a
 * fact in the list, so no other file compares with one of them. A file that does is forgotten when
 * a name is added.
 */
import ts from "typescript";
import { at, type Finding, isGenerated, isTest, nodes, type Source } from "./sources.js";

const equalities = [
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
  ts.SyntaxKind.EqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsToken,
];

/** Comparisons of anything with one of the names, in production files. */
export function comparedNames(source: Source, names: readonly string[]): Finding[] {
  if (!isProduction(source)) return [];
  return nodes(source)
    .filter(ts.isStringLiteralLike)
    .filter((node) => names.includes(node.text) && isCompared(node))
    .map((node) => {
      const remedy = "put the fact that is asked for into the list, and read it there";
      return at(source, node, `compares with "${node.text}", a name of a list; ${remedy}`);
    });
}

/** Colours and marks of the published results' words, one of which is a mode's name. */
const modeColors = "src/study/chart/theme.ts";

/** Branches on a mode, also by an object's keys: a mode is known by its name in its own file. */
export function branchesOnModes(source: Source, modes: readonly string[]): Finding[] {
  const { path } = source;
  if (!isProduction(source) || path.startsWith("src/core/sync/") || path === modeColors) return [];
  return nodes(source)
    .filter((node) => ts.isStringLiteralLike(node) || ts.isIdentifier(node))
    .filter((node) => modes.includes(node.text) && (isKey(node) || isCompared(node)))
    .map((node) =>
      at(source, node, `branches on the mode ${node.getText()}; ask its pace instead`),
    );
}

function isProduction({ path }: Source): boolean {
  return path.startsWith("src/") && !isTest(path) && !isGenerated(path);
}

function isKey(node: ts.Node): boolean {
  return ts.isPropertyAssignment(node.parent) && node.parent.name === node;
}

function isCompared(node: ts.Node): boolean {
  if (!ts.isStringLiteralLike(node)) return false;
  const { parent } = node;
  if (ts.isBinaryExpression(parent)) return equalities.includes(parent.operatorToken.kind);
  if (ts.isCaseClause(parent)) return true;
  if (!ts.isArrayLiteralExpression(parent)) return false;
  const called = ts.isAsExpression(parent.parent) ? parent.parent.parent.parent : parent.parent;
  return ts.isPropertyAccessExpression(called) && /^(includes|indexOf)$/.test(called.name.text);
}

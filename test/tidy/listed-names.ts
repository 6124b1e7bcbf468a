/**
 * Names that stand in a list, such as update rules and codecs: what tells them apart is a fact in
 * the list, so no other file compares with one of them. A file that does is forgotten when a name
 * is added.
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
  const { path } = source;
  if (!path.startsWith("src/") || isTest(path) || isGenerated(path)) return [];
  return nodes(source)
    .filter(ts.isStringLiteral)
    .filter((node) => names.includes(node.text) && isCompared(node))
    .map((node) => {
      const remedy = "put the fact that is asked for into the list, and read it there";
      return at(source, node, `compares with "${node.text}", a name of a list; ${remedy}`);
    });
}

function isCompared(node: ts.StringLiteral): boolean {
  const { parent } = node;
  if (ts.isBinaryExpression(parent)) return equalities.includes(parent.operatorToken.kind);
  if (ts.isCaseClause(parent)) return true;
  if (!ts.isArrayLiteralExpression(parent)) return false;
  const called = ts.isAsExpression(parent.parent) ? parent.parent.parent.parent : parent.parent;
  return ts.isPropertyAccessExpression(called) && /^(includes|indexOf)$/.test(called.name.text);
}

/**
 * JSON that others have written. JSON.parse keeps the last of equal keys in silence; nobody could
 * tell which of the two was meant, so such a text is refused with both values.
 */

/** A key that an object has twice. */
export interface RepeatedKey {
  /** The key behind those of the objects around it: spec.schedule.lr. */
  readonly path: string;
  /** Both values as they stand there; of an object or list only its bracket. */
  readonly values: readonly [string, string];
}

interface Container {
  readonly path: string;
  readonly values: Map<string, string>;
}

/** The first key that stands twice in one object of a text that is JSON; null without one. */
export function repeatedKey(text: string): RepeatedKey | null {
  const open: Container[] = [];
  let path = "";
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;
  for (const { 0: token, 1: colon, index } of text.matchAll(tokens)) {
    if (token === "{" || token === "[") open.push({ path, values: new Map() });
    else if (token === "}" || token === "]") open.pop();
    const container = open.at(-1);
    if (colon === undefined || container === undefined) continue;
    const key = JSON.parse(token.slice(0, token.lastIndexOf(":"))) as string;
    path = container.path === "" ? key : `${container.path}.${key}`;
    const value = valueAt(text, index + token.length);
    const before = container.values.get(key);
    if (before !== undefined) return { path, values: [before, value] };
    container.values.set(key, value);
  }
  return null;
}

/**
 * Parses a text.
 * @throws SyntaxError where it is not JSON, or an object of it has a key twice.
 */
export function parseJson(text: string): unknown {
  const content: unknown = JSON.parse(text);
  const repeated = repeatedKey(text);
  if (repeated === null) return content;
  const { path, values } = repeated;
  throw new SyntaxError(`${path} stands twice, as ${values[0]} and ${values[1]}`);
}

const shownMax = 60;

function valueAt(text: string, at: number): string {
  const value = /\s*("(?:[^"\\]|\\.)*"|[^\s,\]}]+)/y;
  value.lastIndex = at;
  const [, found = ""] = value.exec(text) ?? [];
  return /^[{[]/.test(found) ? found[0]! : found.slice(0, shownMax);
}

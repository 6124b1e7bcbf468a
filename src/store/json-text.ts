/**
 * JSON that others have written. JSON.parse keeps the last of equal keys in silence; nobody could
 * tell which of the two was meant, so such a text is refused with both values.
 */

/** The most objects and lists of a text that lie in each other. */
export const jsonDepthMax = 100;

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

/** A text without the byte order mark that some editors and shells begin a file with. */
export function withoutMark(text: string): string {
  return text.startsWith("\uFEFF") ? text.slice(1) : text;
}

/** The first key that stands twice in one object of a text that is JSON; null without one. */
export function repeatedKey(text: string): RepeatedKey | null {
  const open: Container[] = [];
  let path = "";
  for (const { at, end, isKey } of marksOf(text)) {
    const mark = text[at];
    if (mark === "{" || mark === "[") open.push({ path, values: new Map() });
    else if (mark === "}" || mark === "]") open.pop();
    const container = open.at(-1);
    if (!isKey || container === undefined) continue;
    const key = JSON.parse(text.slice(at, end)) as string;
    path = container.path === "" ? key : `${container.path}.${key}`;
    const value = valueAt(text, text.indexOf(":", end) + 1);
    const before = container.values.get(key);
    if (before !== undefined) return { path, values: [before, value] };
    container.values.set(key, value);
  }
  return null;
}

/**
 * Whether objects and lists lie deeper in each other than anybody writes them: what looks at such a
 * value level by level exhausts its stack.
 */
export function isTooDeep(text: string): boolean {
  let depth = 0;
  for (const { at } of marksOf(text)) {
    if (text[at] === "{" || text[at] === "[") depth += 1;
    else if (text[at] !== '"') depth -= 1;
    if (depth > jsonDepthMax) return true;
  }
  return false;
}

/**
 * Parses a text.
 * @throws SyntaxError where it is not JSON, is nested too deeply, or an object of it has a key
 *   twice.
 */
export function parseJson(text: string): unknown {
  const content: unknown = JSON.parse(text);
  if (isTooDeep(text)) throw new SyntaxError(`it is nested deeper than ${jsonDepthMax} levels`);
  const repeated = repeatedKey(text);
  if (repeated === null) return content;
  const { path, values } = repeated;
  throw new SyntaxError(`${path} stands twice, as ${values[0]} and ${values[1]}`);
}

const shownMax = 60;

function valueAt(text: string, after: number): string {
  const at = pastSpace(text, after);
  const piece = text.slice(at, at + shownMax);
  if (/^[{[]/.test(piece)) return piece[0]!;
  if (piece.startsWith('"')) return text.slice(at, Math.min(stringEnd(text, at), at + shownMax));
  return /^[^\s,\]}]*/.exec(piece)![0];
}

/** A bracket, or a string with its quotes. */
interface Mark {
  readonly at: number;
  readonly end: number;
  readonly isKey: boolean;
}

/**
 * The brackets and strings of a text that is JSON, in order. Character by character: a pattern that
 * takes a string whole exhausts its stack where the string is of some megabytes.
 */
function* marksOf(text: string): Generator<Mark, void, undefined> {
  for (let at = 0; at < text.length; at++) {
    const mark = text[at]!;
    if (mark === '"') {
      const end = stringEnd(text, at);
      yield { at, end, isKey: text[pastSpace(text, end)] === ":" };
      at = end - 1;
    } else if ("{}[]".includes(mark)) {
      yield { at, end: at + 1, isKey: false };
    }
  }
}

/** Where the string that begins here has ended. */
function stringEnd(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    if (text[end] === "\\") end++;
    else if (text[end] === '"') return end + 1;
  }
  return text.length;
}

function pastSpace(text: string, at: number): number {
  let next = at;
  while (" \t\r\n".includes(text[next] ?? ".")) next++;
  return next;
}

/**
 * Files below a URL on a web server. A file goes on where it stopped through `Range`, and
 * `If-Range` with the ETag or the date that the server gave keeps two versions of it from being
 * mixed. Whatever the server makes of that, the answer says where its bytes begin.
 */
import { PacelineError } from "../../errors.js";
import { reasonOf } from "../../system-reason.js";
import {
  type OpenedFile,
  type OpenRequest,
  type RemoteStore,
  unavailable,
  withoutSecret,
} from "./remote-store.js";

/** The store below `base`; user and password in it become an Authorization header. */
export function httpStore(base: string): RemoteStore {
  const url = parsed(base);
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (url.username !== "") {
    const pair = `${decoded(url.username, url)}:${decoded(url.password, url)}`;
    headers.authorization = `Basic ${Buffer.from(pair).toString("base64")}`;
    url.username = "";
    url.password = "";
  }
  return {
    name: `${url.origin}${url.pathname}`,
    open: (request) => openOver(new URL(url), headers, request),
  };
}

/** Of user and password, which the message does not repeat. */
function decoded(text: string, { host }: URL): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    const problem = `the user or password before ${host} has a % that encodes no character`;
    throw new PacelineError("usage", `${problem}; write %25 for a % that is meant`, { cause });
  }
}

function parsed(base: string): URL {
  try {
    const url = new URL(base);
    if (!url.pathname.endsWith("/")) url.pathname += "/";
    return url;
  } catch (cause) {
    const place = withoutSecret(base);
    const message = `${place} is no URL (${reasonOf(cause)}); write https://host/path`;
    throw new PacelineError("usage", message, { cause });
  }
}

async function openOver(
  url: URL,
  headers: Readonly<Record<string, string>>,
  request: OpenRequest,
): Promise<OpenedFile | null> {
  const { path, from, validator, signal } = request;
  url.pathname += path.split("/").map(encodeURIComponent).join("/");
  const asked: Record<string, string> = { ...headers };
  if (from > 0) asked.range = `bytes=${from}-`;
  if (from > 0 && validator !== null) asked["if-range"] = validator;
  const response = await ask(url, asked, path, signal);
  const answer = read(response, request);
  if (answer !== "start over") return answer;
  await response.body?.cancel();
  const afresh = { ...request, from: 0 };
  const whole = read(await ask(url, { ...headers }, path, signal), afresh);
  if (whole !== "start over") return whole;
  throw unavailable(`${path} answered with a range that was not requested`);
}

async function ask(
  url: URL,
  headers: Record<string, string>,
  path: string,
  signal: AbortSignal,
): Promise<Response> {
  try {
    return await fetch(url, { headers, signal });
  } catch (cause) {
    throw translated(cause, path);
  }
}

/** "start over" where the bytes offered do not continue those that the caller has. */
function read(response: Response, request: OpenRequest): OpenedFile | null | "start over" {
  const { path, from, validator } = request;
  const { status, statusText, headers, body } = response;
  const current = strongValidator(headers);
  const range = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  const total = range === null || range[2] === "*" ? null : Number(range[2]);
  if (status === 416 && from > 0) {
    if (total !== from) return "start over";
    return { offset: from, totalBytes: from, validator, content: none() };
  }
  if (status === 404 || status === 410) return null;
  if (!response.ok || body === null) {
    throw unavailable(`${path} answered ${status} ${statusText}`.trimEnd());
  }
  if (status === 206) {
    const continues = Number(range?.[1] ?? Number.NaN) === from && from > 0;
    const hasChanged = validator !== null && current !== null && current !== validator;
    if (!continues || hasChanged) return "start over";
    const content = piecesOf(body, path);
    return { offset: from, totalBytes: total, validator: current ?? validator, content };
  }
  // A body that was packed for the journey is unpacked by `fetch`, so its length says nothing.
  const isPlain = !headers.has("content-encoding");
  const length = headers.get("content-length");
  const totalBytes = isPlain && length !== null ? Number(length) : null;
  const content = piecesOf(body, path);
  return { offset: 0, totalBytes, validator: isPlain ? current : null, content };
}

/** An ETag that promises the same bytes, else the date of the last change. */
function strongValidator(headers: Headers): string | null {
  const tag = headers.get("etag");
  return tag !== null && !tag.startsWith("W/") ? tag : headers.get("last-modified");
}

/**
 * Takes hold of the body at once: one that nobody reads is ended, as if it were whole, when its
 * response is collected as garbage.
 */
function piecesOf(body: AsyncIterable<Uint8Array>, path: string): AsyncIterable<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  return pieces({ [Symbol.asyncIterator]: () => iterator }, path);
}

async function* pieces(
  body: AsyncIterable<Uint8Array>,
  path: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (cause) {
    throw translated(cause, path);
  }
}

async function* none(): AsyncGenerator<Uint8Array> {}

function translated(cause: unknown, path: string): PacelineError {
  if (cause instanceof PacelineError) return cause;
  const root = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
  return unavailable(`${path} broke off (${reasonOf(root)})`, cause);
}

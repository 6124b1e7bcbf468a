/**
 * A place somewhere else that hands out files by name, from any byte on. The download loop needs
 * no more than this, so a web server, an object store and a test's double look alike to it.
 */
import { PacelineError } from "../../errors.js";

/** What to open, and from where. */
export interface OpenRequest {
  /** Below the store's base, without a leading slash. */
  readonly path: string;
  /** Bytes that the caller has already. */
  readonly from: number;
  /** What the store said of the content that these bytes are from; null when it said nothing. */
  readonly validator: string | null;
  readonly signal: AbortSignal;
}

/** A file that is about to stream in. */
export interface OpenedFile {
  /** Where the content begins: the `from` that was asked for, or 0 where it starts over. */
  readonly offset: number;
  /** Size of the whole file, where the store tells it. */
  readonly totalBytes: number | null;
  /** Changes whenever the content does; null when the store has nothing of the kind. */
  readonly validator: string | null;
  readonly content: AsyncIterable<Uint8Array>;
}

/** The place. Failures are "unavailable" errors that begin with the file's path. */
export interface RemoteStore {
  /** For people: without credentials. */
  readonly name: string;
  /** Null when the store has no such file, or does not say that it has. */
  open(request: OpenRequest): Promise<OpenedFile | null>;
}

/** Whether a place that the user named is not a folder of this machine. */
export function isRemote(place: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(place);
}

/** A URL, or any other place, as it may be shown and kept: without user and password. */
export function withoutSecret(place: string): string {
  // As a URL is read: what stands before the last @ of what stands before the path.
  return place.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1");
}

/** The store at `https://`, `http://` or `s3://`. Throws "usage" for any other place. */
export async function remoteStoreAt(place: string): Promise<RemoteStore> {
  if (/^s3:/i.test(place)) return (await import("./s3-store.js")).s3Store(place);
  if (/^https?:/i.test(place)) return (await import("./http-store.js")).httpStore(place);
  const message = `${withoutSecret(place)} is not a source of data`;
  throw new PacelineError("usage", `${message}; give a folder, an https:// or an s3:// URL`);
}

/** A failure of a place that another place may not have. */
export function unavailable(message: string, cause?: unknown): PacelineError {
  return new PacelineError("unavailable", message, { cause });
}

/**
 * What is asked of S3 for files of runs, one function a request. Every failure is a `storage`
 * error that names the object and the remedy.
 */
import { randomUUID } from "node:crypto";
import { posix } from "node:path";
import type { ListMultipartUploadsCommandInput } from "@aws-sdk/client-s3";
import { PacelineError } from "../../errors.js";
import { reasonOf } from "../../system-reason.js";
import { isMissing } from "../file-errors.js";
import { connectToS3, type S3Connection, s3Failure, UnsignedRefusal } from "./s3-connection.js";

/** An object. */
export interface Place {
  readonly Bucket: string;
  readonly Key: string;
}

/** Bucket and key of a path. */
export function placeOf(path: string): Place {
  const [, bucket, key = ""] = /^s3:\/{1,2}([^/]+)(?:\/(.*))?$/i.exec(path) ?? [];
  if (bucket === undefined) {
    throw new PacelineError("usage", `${path} names no bucket; write s3://bucket/prefix`);
  }
  return { Bucket: bucket, Key: posix.normalize(key).replace(/^\.?\/?|\/$/g, "") };
}

/** On what condition an object is written. */
export interface PutCondition {
  /** There is none of that name. */
  readonly isNew?: boolean;
  /** It is the one with this mark. */
  readonly etag?: string | null;
  /** Who writes it, as others will read it from the object; made up where nobody says. */
  readonly writer?: string;
}

/** What is known of an object without reading it. */
export interface ObjectFacts {
  readonly bytes: number;
  readonly etag: string;
  /** Who has written it; null where it does not say. */
  readonly writer: string | null;
}

/** A part of an upload that S3 has. */
export interface SentPart {
  readonly PartNumber: number;
  readonly ETag: string;
}

/** The name under which an object says who has written it. */
const writerKey = "paceline-writer";

/** Connects with what the environment says. */
export async function bucketOf(): Promise<Bucket> {
  return new Bucket(await connectToS3());
}

/** The requests. */
export class Bucket {
  readonly #connection: S3Connection;

  constructor(connection: S3Connection) {
    this.#connection = connection;
  }

  /**
   * Writes an object whole; gives its mark, or null where the condition of being new fails. A
   * request whose answer was lost is sent again, and meets what it has made itself: that is ours.
   */
  async put(place: Place, body: Buffer, condition: PutCondition = {}): Promise<string | null> {
    const { sdk, client } = this.#connection;
    const { isNew = false, etag = null, writer = randomUUID() } = condition;
    const only = demanded({ isNew, etag });
    try {
      const content = { Body: body, Metadata: { [writerKey]: writer } };
      const command = new sdk.PutObjectCommand({ ...place, ...content, ...only });
      return (await client.send(command)).ETag ?? "";
    } catch (cause) {
      const failure = s3Failure(cause);
      // 409: another request for the same name is under way.
      if (!isNew || (failure.status !== 412 && failure.status !== 409)) {
        throw objectError(failure, place, "write", cause);
      }
      const present = await this.present(place);
      if (present?.writer !== writer) return null;
      // A writer may have sent less before.
      if (condition.writer === undefined) return present.etag;
      return this.put(place, body, { etag: present.etag, writer });
    }
  }

  /** Size, mark and writer. */
  facts(place: Place): Promise<ObjectFacts> {
    return this.#tried("open", place, async ({ sdk, client }) => {
      const head = await client.send(new sdk.HeadObjectCommand(place));
      const writer = head.Metadata?.[writerKey] ?? null;
      return { bytes: head.ContentLength ?? 0, etag: head.ETag ?? "", writer };
    });
  }

  /** The same; null where there is no object. */
  async present(place: Place): Promise<ObjectFacts | null> {
    return this.facts(place).catch((thrown: unknown) => {
      if (isMissing(thrown)) return null;
      throw thrown;
    });
  }

  /** Some bytes, of the object with this mark. */
  get(
    place: Place,
    { position, bytes, etag }: { position: number; bytes: number; etag: string },
  ): Promise<Uint8Array> {
    return this.#tried("read", place, async ({ sdk, client }) => {
      const range = { Range: `bytes=${position}-${position + bytes - 1}` };
      const condition = etag === "" ? {} : { IfMatch: etag };
      const found = await client.send(
        new sdk.GetObjectCommand({ ...place, ...range, ...condition }),
      );
      const content = await found.Body!.transformToByteArray();
      if (content.length === bytes) return content;
      throw new Error(`it ended at byte ${position + content.length} while it was read`);
    });
  }

  /** Copies an object. */
  async copy(from: Place, to: Place): Promise<void> {
    await this.#tried("rename", from, ({ sdk, client }) => {
      return client.send(new sdk.CopyObjectCommand({ ...to, CopySource: sourceOf(from) }));
    });
  }

  /** Removes an object; one that is not there is fine. */
  async remove(place: Place): Promise<void> {
    await this.#tried("remove", place, ({ sdk, client }) =>
      client.send(new sdk.DeleteObjectCommand(place)),
    );
  }

  /** Names directly below, sorted; null where nothing is there. */
  async names({ Bucket: bucket, Key: key }: Place): Promise<string[] | null> {
    const prefix = key === "" ? "" : `${key}/`;
    const names: string[] = [];
    let isThere = false;
    for await (const page of this.#pages({ Bucket: bucket, Key: key }, { Delimiter: "/" })) {
      const folders = page.CommonPrefixes?.map((one) => one.Prefix?.slice(0, -1) ?? "") ?? [];
      const files = page.Contents?.map((one) => one.Key ?? "") ?? [];
      isThere ||= folders.length + files.length > 0;
      names.push(...[...folders, ...files].map((one) => one.slice(prefix.length)));
    }
    return isThere ? names.filter((name) => name !== "").sort() : null;
  }

  /** Keys of all that is below, at any depth. */
  async keysBelow(place: Place): Promise<string[]> {
    const keys: string[] = [];
    for await (const page of this.#pages(place, {})) {
      keys.push(...(page.Contents?.map((one) => one.Key ?? "") ?? []));
    }
    return keys;
  }

  /** Begins an upload in parts. */
  begin(place: Place, writer: string): Promise<string> {
    return this.#tried("write", place, async ({ sdk, client }) => {
      const upload = { ...place, Metadata: { [writerKey]: writer } };
      const begun = await client.send(new sdk.CreateMultipartUploadCommand(upload));
      return begun.UploadId ?? "";
    });
  }

  /** Sends a part. */
  send(place: Place, id: string, PartNumber: number, body: Buffer): Promise<SentPart> {
    return this.#tried("write", place, async ({ sdk, client }) => {
      const part = { ...place, UploadId: id, PartNumber, Body: body };
      const sent = await client.send(new sdk.UploadPartCommand(part));
      return { PartNumber, ETag: sent.ETag ?? "" };
    });
  }

  /** Makes a part of the first bytes of the object itself. */
  reuse(place: Place, id: string, PartNumber: number, bytes: number): Promise<SentPart> {
    return this.#tried("write", place, async ({ sdk, client }) => {
      const range = { CopySource: sourceOf(place), CopySourceRange: `bytes=0-${bytes - 1}` };
      const part = { ...place, UploadId: id, PartNumber, ...range };
      const sent = await client.send(new sdk.UploadPartCopyCommand(part));
      return { PartNumber, ETag: sent.CopyPartResult?.ETag ?? "" };
    });
  }

  /** Puts the parts together; gives the mark of the object. */
  complete(
    place: Place,
    id: string,
    parts: readonly SentPart[],
    { isNew = false, etag = null }: PutCondition,
  ): Promise<string> {
    return this.#tried("write", place, async ({ sdk, client }) => {
      const upload = { UploadId: id, MultipartUpload: { Parts: [...parts] } };
      const command = new sdk.CompleteMultipartUploadCommand({
        ...place,
        ...upload,
        ...demanded({ isNew, etag }),
      });
      return (await client.send(command)).ETag ?? "";
    });
  }

  /** Gives an upload up: S3 keeps its parts no longer. */
  async abort(place: Place, id: string): Promise<void> {
    await this.#tried("give up the upload of", place, ({ sdk, client }) =>
      client.send(new sdk.AbortMultipartUploadCommand({ ...place, UploadId: id })),
    );
  }

  /** The uploads of an object, and of all that is below its name, that nobody has completed. */
  async uploadsBelow({ Bucket: bucket, Key: key }: Place): Promise<(Place & { id: string })[]> {
    const found: (Place & { id: string })[] = [];
    let after: Pick<ListMultipartUploadsCommandInput, "KeyMarker" | "UploadIdMarker"> | null = {};
    while (after !== null) {
      const request: ListMultipartUploadsCommandInput = { Bucket: bucket, Prefix: key, ...after };
      const page = await this.#tried("list", { Bucket: bucket, Key: key }, ({ sdk, client }) =>
        client.send(new sdk.ListMultipartUploadsCommand(request)),
      );
      for (const { Key: name = "", UploadId: id = "" } of page.Uploads ?? []) {
        if (name === key || name.startsWith(`${key}/`))
          found.push({ Bucket: bucket, Key: name, id });
      }
      const next = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker };
      after = page.IsTruncated === true ? next : null;
    }
    return found;
  }

  async *#pages({ Bucket: bucket, Key: key }: Place, more: { readonly Delimiter?: string }) {
    const place = { Bucket: bucket, Prefix: key === "" ? "" : `${key}/` };
    let token: string | undefined;
    do {
      const page = await this.#tried("list", { Bucket: bucket, Key: key }, ({ sdk, client }) => {
        const after = token === undefined ? {} : { ContinuationToken: token };
        return client.send(new sdk.ListObjectsV2Command({ ...place, ...more, ...after }));
      });
      yield page;
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async #tried<T>(
    verb: string,
    place: Place,
    action: (connection: S3Connection) => Promise<T>,
  ): Promise<T> {
    try {
      return await action(this.#connection);
    } catch (cause) {
      throw objectError(s3Failure(cause), place, verb, cause);
    }
  }
}

function demanded({ isNew = false, etag = null }: PutCondition) {
  if (isNew) return { IfNoneMatch: "*" };
  return etag === null ? {} : { IfMatch: etag };
}

/** Why an object is not written: it is not the one that it was, and not this process's. */
export function writtenByAnother(place: Place, cause: unknown = undefined): PacelineError {
  return objectError({ name: "PreconditionFailed", status: 412 }, place, "write", cause);
}

function sourceOf({ Bucket: bucket, Key: key }: Place): string {
  return `${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`;
}

/** What could not be done to an object, as the disk's errors are told. */
function objectError(
  { name, status }: { readonly name: string; readonly status: number | null },
  { Bucket: bucket, Key: key }: Place,
  verb: string,
  cause: unknown,
): PacelineError {
  const path = `s3://${bucket}/${key}`;
  const isThere = status !== 404 || name === "NoSuchBucket";
  const unanswered = name === "TimeoutError" ? "it does not answer" : reasonOf(cause);
  const answer = cause instanceof UnsignedRefusal ? `${status}; ${cause.message}` : status;
  const told = status === null ? unanswered : `${name}, ${answer}`;
  const reason = !isThere
    ? "there is no such object: check the path"
    : status === 403
      ? `access denied (${told}): check the credentials and the bucket's policy`
      : status === 412
        ? "another process has written it meanwhile: let one write into a run's folder"
        : `${told}: check the bucket, the network and AWS_ENDPOINT_URL`;
  const errno = isThere ? (status === 412 ? "ESTALE" : "") : "ENOENT";
  const details = { errno, path, status };
  return new PacelineError("storage", `can't ${verb} ${path}: ${reason}`, { cause, details });
}

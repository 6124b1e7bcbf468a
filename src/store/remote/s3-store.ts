/**
 * Objects of an S3 bucket below a prefix, to be read from any byte on: what data sets are fetched
 * from.
 */
import type { GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { PacelineError } from "../../errors.js";
import { reasonOf } from "../../system-reason.js";
import {
  type OpenedFile,
  type OpenRequest,
  type RemoteStore,
  unavailable,
} from "./remote-store.js";
import { connectToS3, type S3Connection, type Sdk, s3Failure } from "./s3-connection.js";

/**
 * The store at `s3://bucket/prefix`.
 * @param load imports the SDK; for tests of one that is not installed.
 */
export function s3Store(place: string, load?: () => Promise<Sdk>): RemoteStore {
  const match = /^s3:\/\/([^/]+)(?:\/(.*))?$/i.exec(place);
  if (match === null) {
    const message = `${place} names no bucket; write s3://bucket/prefix`;
    throw new PacelineError("usage", message);
  }
  const bucket = match[1] as string;
  const prefix = (match[2] ?? "").replace(/\/+$/, "");
  let connection: Promise<S3Connection> | null = null;
  return {
    name: `s3://${bucket}/${prefix === "" ? "" : `${prefix}/`}`,
    async open(request) {
      connection ??= connectToS3(load);
      const key = prefix === "" ? request.path : `${prefix}/${request.path}`;
      return openObject(await connection, { Bucket: bucket, Key: key }, request);
    },
  };
}

async function openObject(
  connection: S3Connection,
  object: { Bucket: string; Key: string },
  request: OpenRequest,
): Promise<OpenedFile | null> {
  const { sdk, client } = connection;
  const { path, from, validator, signal } = request;
  const condition = validator === null ? {} : { IfMatch: validator };
  const resumed = from > 0 ? { Range: `bytes=${from}-`, ...condition } : {};
  try {
    const command = new sdk.GetObjectCommand({ ...object, ...resumed });
    const output = await client.send(command, { abortSignal: signal });
    return opened(output, request);
  } catch (cause) {
    const { name, status } = s3Failure(cause);
    const mayStartOver = from > 0 && (status === 412 || status === 416);
    if (mayStartOver) return openObject(connection, object, { ...request, from: 0 });
    if (status === 404 && name !== "NoSuchBucket") return null;
    if (cause instanceof PacelineError) throw cause;
    const told = status === null ? name : `${name}, ${status}`;
    throw unavailable(`${path} could not be read (${told}: ${reasonOf(cause)})`, cause);
  }
}

function opened(output: GetObjectCommandOutput, { path, from }: OpenRequest): OpenedFile {
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(output.ContentRange ?? "");
  const offset = range === null ? 0 : Number(range[1]);
  if (offset !== 0 && offset !== from) {
    throw unavailable(`${path} was answered from byte ${offset}, not ${from}`);
  }
  return {
    offset,
    totalBytes: range === null ? (output.ContentLength ?? null) : Number(range[2]),
    validator: output.ETag ?? null,
    content: pieces(output.Body as AsyncIterable<Uint8Array>, path),
  };
}

async function* pieces(
  body: AsyncIterable<Uint8Array>,
  path: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (cause) {
    if (cause instanceof PacelineError) throw cause;
    throw unavailable(`${path} broke off (${reasonOf(cause)})`, cause);
  }
}

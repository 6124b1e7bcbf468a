/**
 * Objects of an S3 bucket below a prefix. Region, credentials and endpoint are the SDK's own
 * matter (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL and so on); without credentials requests go
 * unsigned, which public buckets answer.
 */
import type { GetObjectCommandOutput, S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { PacelineError } from "../../errors.js";
import { messageOf } from "../file-content.js";
import {
  type OpenedFile,
  type OpenRequest,
  type RemoteStore,
  unavailable,
} from "./remote-store.js";

/** Where requests go when nobody says where: S3 then names the bucket's own region. */
const fallbackRegion = "us-east-1";

type Sdk = typeof import("@aws-sdk/client-s3");

interface Connection {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

/**
 * The store at `s3://bucket/prefix`.
 * @param load imports the SDK; for tests of one that is not installed.
 */
export function s3Store(
  place: string,
  load: () => Promise<Sdk> = () => import("@aws-sdk/client-s3"),
): RemoteStore {
  const match = /^s3:\/\/([^/]+)(?:\/(.*))?$/i.exec(place);
  if (match === null) {
    const message = `${place} names no bucket; write s3://bucket/prefix`;
    throw new PacelineError("usage", message);
  }
  const bucket = match[1] as string;
  const prefix = (match[2] ?? "").replace(/\/+$/, "");
  let connection: Promise<Connection> | null = null;
  return {
    name: `s3://${bucket}/${prefix === "" ? "" : `${prefix}/`}`,
    async open(request) {
      connection ??= connect(load);
      const { sdk, client } = await connection;
      const key = prefix === "" ? request.path : `${prefix}/${request.path}`;
      return openObject(sdk, client, { Bucket: bucket, Key: key }, request);
    },
  };
}

/** An optional dependency: 22 MB that only s3:// needs. */
const sdkName = "@aws-sdk/client-s3";

async function loaded(load: () => Promise<Sdk>): Promise<Sdk> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const reason = isMissing ? "is not installed" : `can't be loaded (${messageOf(cause)})`;
    const sentence = `an s3:// URL needs the package ${sdkName}, which ${reason}`;
    throw new PacelineError("usage", `${sentence}: npm install ${sdkName}`, { cause });
  }
}

async function connect(load: () => Promise<Sdk>): Promise<Connection> {
  const sdk = await loaded(load);
  const config: S3ClientConfig = {
    followRegionRedirects: true,
    forcePathStyle: true,
    // A part of an object has no checksum of its own; the archive checks the whole.
    responseChecksumValidation: "WHEN_REQUIRED",
  };
  const probe = new sdk.S3Client(config);
  const region = await probe.config.region().catch(() => fallbackRegion);
  const isAnonymous = await probe.config.credentials().then(
    () => false,
    () => true,
  );
  probe.destroy();
  // The SDK wants credentials even where nothing is signed with them.
  const unsigned: S3ClientConfig = {
    credentials: { accessKeyId: "none", secretAccessKey: "none" },
    signer: { sign: async (request) => request },
  };
  const client = new sdk.S3Client({ ...config, region, ...(isAnonymous ? unsigned : {}) });
  return { sdk, client };
}

async function openObject(
  sdk: Sdk,
  client: S3Client,
  object: { Bucket: string; Key: string },
  request: OpenRequest,
): Promise<OpenedFile | null> {
  const { path, from, validator, signal } = request;
  const condition = validator === null ? {} : { IfMatch: validator };
  const resumed = from > 0 ? { Range: `bytes=${from}-`, ...condition } : {};
  try {
    const command = new sdk.GetObjectCommand({ ...object, ...resumed });
    const output = await client.send(command, { abortSignal: signal });
    return opened(output, request);
  } catch (cause) {
    const { name, status } = reasonOf(cause);
    const mayStartOver = from > 0 && (status === 412 || status === 416);
    if (mayStartOver) return openObject(sdk, client, object, { ...request, from: 0 });
    if (status === 404 && name !== "NoSuchBucket") return null;
    if (cause instanceof PacelineError) throw cause;
    const told = status === null ? name : `${name}, ${status}`;
    throw unavailable(`${path} could not be read (${told}: ${messageOf(cause)})`, cause);
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
    throw unavailable(`${path} broke off (${messageOf(cause)})`, cause);
  }
}

function reasonOf(cause: unknown): { name: string; status: number | null } {
  const { name, $metadata } = cause as {
    name?: string;
    $metadata?: { httpStatusCode?: number };
  };
  return { name: name ?? "error", status: $metadata?.httpStatusCode ?? null };
}

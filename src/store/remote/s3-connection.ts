/**
 * The SDK of S3 and a client of it. Region, credentials and endpoint are the SDK's own matter
 * (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL and so on). While no credentials can be read requests
 * go unsigned, which public buckets answer; where one is refused, credentials are looked for again,
 * since what gives them may have failed for a moment.
 */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { reasonOf } from "../../system-reason.js";
import { loadedSdk } from "./aws-sdk.js";

/** The package. */
export type Sdk = typeof import("@aws-sdk/client-s3");

/** What requests are made with. */
export interface S3Connection {
  readonly sdk: Sdk;
  readonly client: Pick<S3Client, "send">;
}

/** Where requests go when nobody says where: S3 then names the bucket's own region. */
const fallbackRegion = "us-east-1";
/** An optional dependency: 22 MB that only s3:// needs. */
const sdkName = "@aws-sdk/client-s3";

/** How long is waited for a connection, and for a sign of life on one, in milliseconds. */
const patience = { connectionTimeout: 5000, socketTimeout: 60_000 };

/**
 * Makes a client. A request that meets silence fails in time, as one that is refused does.
 * @param load imports the SDK; for tests of one that is not installed.
 * @throws PacelineError `usage` where the SDK is not installed.
 */
export async function connectToS3(
  load: () => Promise<Sdk> = () => import("@aws-sdk/client-s3"),
  requestHandler: typeof patience = patience,
): Promise<S3Connection> {
  const sdk = await loadedSdk(load, { name: sdkName, neededBy: "an s3:// URL" });
  const config: S3ClientConfig = {
    followRegionRedirects: true,
    forcePathStyle: true,
    requestHandler,
    // A part of an object has no checksum of its own; the archive checks the whole.
    responseChecksumValidation: "WHEN_REQUIRED",
    // Not every store that speaks S3 knows the newer ones.
    requestChecksumCalculation: "WHEN_REQUIRED",
  };
  const probe = new sdk.S3Client(config);
  const region = await probe.config.region().catch(() => fallbackRegion);
  probe.destroy();
  const signed = new sdk.S3Client({ ...config, region });
  // The SDK wants credentials even where nothing is signed with them.
  const unsigned = new sdk.S3Client({
    ...{ ...config, region, credentials: { accessKeyId: "none", secretAccessKey: "none" } },
    signer: { sign: async (request) => request },
  });
  return { sdk, client: { send: sendingWith(signed, unsigned) } };
}

function sendingWith(signed: S3Client, unsigned: S3Client): S3Client["send"] {
  /** Null once credentials were read: the SDK then renews them, and tells what fails. */
  const lookUp = () => signed.config.credentials().then(() => null, reasonOf);
  let missing = lookUp();
  const send = async (...request: Parameters<S3Client["send"]>): Promise<unknown> => {
    if ((await missing) === null) return signed.send(...request);
    try {
      return await unsigned.send(...request);
    } catch (cause) {
      if (s3Failure(cause).status !== 403) throw cause;
      missing = lookUp();
      const reason = await missing;
      if (reason === null) return signed.send(...request);
      throw new UnsignedRefusal(reason, cause);
    }
  };
  return send as S3Client["send"];
}

/** What was refused to a request that nobody signed. */
export class UnsignedRefusal extends Error {
  constructor(reason: string, cause: unknown) {
    super(`the request was not signed: no credentials can be read (${reason})`, { cause });
  }
}

/** What the SDK calls a failure, and the status that S3 answered with; null where it did not. */
export function s3Failure(cause: unknown): { name: string; status: number | null } {
  const { name, $metadata } = (cause instanceof UnsignedRefusal ? cause.cause : cause) as {
    name?: string;
    $metadata?: { httpStatusCode?: number };
  };
  return { name: name ?? "error", status: $metadata?.httpStatusCode ?? null };
}

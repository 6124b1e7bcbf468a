/**
 * The SDK of S3 and a client of it. Region, credentials and endpoint are the SDK's own matter
 * (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL and so on); without credentials requests go unsigned,
 * which public buckets answer.
 */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { loadedSdk } from "./aws-sdk.js";

/** The package. */
export type Sdk = typeof import("@aws-sdk/client-s3");

/** What requests are made with. */
export interface S3Connection {
  readonly sdk: Sdk;
  readonly client: S3Client;
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

/** What the SDK calls a failure, and the status that S3 answered with; null where it did not. */
export function s3Failure(cause: unknown): { name: string; status: number | null } {
  const { name, $metadata } = cause as {
    name?: string;
    $metadata?: { httpStatusCode?: number };
  };
  return { name: name ?? "error", status: $metadata?.httpStatusCode ?? null };
}

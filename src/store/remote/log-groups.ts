/**
 * Events of CloudWatch's log groups, page after page. Credentials, region and endpoint are the
 * SDK's own matter (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and so on). What the service refuses
 * for being asked too often is asked again by the SDK, later each time.
 */
import type { CloudWatchLogsClient, FilteredLogEvent } from "@aws-sdk/client-cloudwatch-logs";
import { PacelineError } from "../../errors.js";
import { reasonOf } from "../../system-reason.js";
import { loadedSdk } from "./aws-sdk.js";

/** The package. */
export type LogsSdk = typeof import("@aws-sdk/client-cloudwatch-logs");

/** Which events. */
export interface LogGroupQuestion {
  readonly group: string;
  /** Null for the environment's. */
  readonly region: string | null;
  readonly fromMs: number;
  readonly toMs: number;
  /** How long one call of the service may take, each attempt for itself. */
  readonly limitMs: number;
}

/** One event. */
export interface LogGroupEvent {
  readonly stream: string;
  readonly timeMs: number | null;
  readonly text: string;
}

const sdkName = "@aws-sdk/client-cloudwatch-logs";
/** The service allows five questions a second of an account; others may ask as well. */
const attemptsMax = 7;

/**
 * All events of a group within a time, in the order in which the service gives them.
 * @param load imports the SDK; for tests of one that is not installed.
 * @throws PacelineError with the group and what to do.
 */
export async function* logGroupEvents(
  question: LogGroupQuestion,
  load: () => Promise<LogsSdk> = () => import("@aws-sdk/client-cloudwatch-logs"),
): AsyncGenerator<LogGroupEvent> {
  const sdk = await loadedSdk(load, { name: sdkName, neededBy: "a log group" });
  const { region, limitMs } = question;
  const client = new sdk.CloudWatchLogsClient({
    ...(region === null ? {} : { region }),
    maxAttempts: attemptsMax,
    requestHandler: {
      ...{ connectionTimeout: limitMs, socketTimeout: limitMs },
      ...{ requestTimeout: limitMs, throwOnRequestTimeout: true },
    },
  });
  try {
    yield* pages(client, sdk, question);
  } finally {
    client.destroy();
  }
}

async function* pages(
  client: CloudWatchLogsClient,
  sdk: LogsSdk,
  question: LogGroupQuestion,
): AsyncGenerator<LogGroupEvent> {
  const { group, fromMs, toMs } = question;
  // A page may repeat what one before had, and one without events may have others behind it.
  const seen = new Set<string>();
  let token: string | undefined;
  do {
    const command = new sdk.FilterLogEventsCommand({
      ...{ logGroupName: group, startTime: fromMs, endTime: toMs },
      ...(token === undefined ? {} : { nextToken: token }),
    });
    const answer = await client.send(command).catch((cause) => {
      throw groupError(cause, question);
    });
    for (const event of answer.events ?? []) {
      if (event.eventId !== undefined && seen.has(event.eventId)) continue;
      if (event.eventId !== undefined) seen.add(event.eventId);
      yield eventOf(event);
    }
    if (token !== undefined && answer.nextToken === token) break;
    token = answer.nextToken;
  } while (token !== undefined);
}

function eventOf({ logStreamName, timestamp, message }: FilteredLogEvent): LogGroupEvent {
  const text = (message ?? "").replace(/\r?\n$/, "");
  return { stream: logStreamName ?? "", timeMs: timestamp ?? null, text };
}

const credentialNames = [
  "CredentialsProviderError",
  "UnrecognizedClientException",
  "ExpiredTokenException",
  "InvalidSignatureException",
];

function groupError(cause: unknown, { group, region, limitMs }: LogGroupQuestion): PacelineError {
  const { name = "", message = "" } = cause as { name?: string; message?: string };
  const where = region === null ? "" : ` in ${region}`;
  const options = { cause, details: { group } };
  if (name === "ResourceNotFoundException") {
    const remedy = "check the name (aws logs describe-log-groups) and --region";
    return new PacelineError("data", `there is no log group ${group}${where}; ${remedy}`, options);
  }
  if (/region is missing/i.test(message)) {
    const sentence = `the region of log group ${group} is not known`;
    const remedy = "write --region, e.g. --region us-west-2, or set AWS_REGION";
    return new PacelineError("usage", `${sentence}; ${remedy}`, options);
  }
  if (credentialNames.includes(name)) {
    const remedy = "log in (aws configure, aws sso login) or set AWS_PROFILE";
    const sentence = `AWS takes no credentials of yours for log group ${group}${where}`;
    return new PacelineError("usage", `${sentence} (${message}); ${remedy}`, options);
  }
  if (name === "AccessDeniedException") {
    const remedy = "allow logs:FilterLogEvents on the group";
    return new PacelineError("refused", `${group}${where} refuses: ${message}; ${remedy}`, options);
  }
  if (/Throttling|LimitExceeded|TooManyRequests/.test(name)) {
    const sentence = `${group}${where} is asked too often (${attemptsMax} attempts)`;
    return new PacelineError("unavailable", `${sentence}; try again in a minute`, options);
  }
  if (name === "TimeoutError") {
    const sentence = `log group ${group}${where} did not answer within ${limitMs / 1000} s`;
    const remedy = `(${attemptsMax} attempts); check the network and --io-timeout`;
    return new PacelineError("unavailable", `${sentence} ${remedy}`, options);
  }
  const remedy = "check the network and --region, and try again";
  const sentence = `log group ${group}${where} can't be read: ${message || reasonOf(cause)}`;
  return new PacelineError("unavailable", `${sentence}; ${remedy}`, options);
}

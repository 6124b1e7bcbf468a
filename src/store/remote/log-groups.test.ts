import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { type LogGroupQuestion, logGroupEvents } from "./log-groups.js";

/** An answer as the service gave it. */
interface Recorded {
  readonly status: number;
  readonly body: object;
}

const throttled: Recorded = {
  status: 400,
  body: { __type: "ThrottlingException", message: "Rate exceeded" },
};
const page = (texts: readonly string[], nextToken?: string): Recorded => ({
  status: 200,
  body: {
    events: texts.map((message, index) => ({
      eventId: `${message}-${index}`,
      ingestionTime: 1_772_359_200_999,
      logStreamName: "ecs/worker/0a1b",
      message,
      timestamp: 1_772_359_200_000 + index,
    })),
    searchedLogStreams: [],
    ...(nextToken === undefined ? {} : { nextToken }),
  },
});

const kept = { ...process.env };
let service: Server;
let answers: (Recorded | "silence")[] = [];
let asked: { target: string; body: Record<string, unknown> }[] = [];

before(() => {
  for (const name of Object.keys(process.env)) if (/^AWS_/.test(name)) delete process.env[name];
  process.env.AWS_EC2_METADATA_DISABLED = "true";
  process.env.AWS_CONFIG_FILE = join(tmpdir(), "paceline-no-such-file");
  process.env.AWS_SHARED_CREDENTIALS_FILE = process.env.AWS_CONFIG_FILE;
});
after(() => {
  process.env = kept;
});
beforeEach(async () => {
  process.env.AWS_ACCESS_KEY_ID = "key";
  process.env.AWS_SECRET_ACCESS_KEY = "secret";
  asked = [];
  service = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (more: string) => (text += more));
    request.on("end", () => {
      const target = String(request.headers["x-amz-target"]);
      asked.push({ target, body: JSON.parse(text) as Record<string, unknown> });
      const answer = answers.shift() ?? throttled;
      if (answer === "silence") return;
      const { status, body } = answer;
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1" });
      response.end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  process.env.AWS_ENDPOINT_URL = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
});
afterEach(async () => {
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
});

const question: LogGroupQuestion = {
  ...{ group: "/ecs/paceline-dev-worker", region: "us-west-2" },
  ...{ fromMs: 1_772_355_600_000, toMs: 1_772_362_800_000, limitMs: 30_000 },
};

async function eventsOf(given = question): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of logGroupEvents(given)) texts.push(text);
  return texts;
}

test("all pages are read, empty ones between, again where the service is busy", async () => {
  answers = [throttled, page(["a\n", "b"], "two"), page([], "three"), throttled, page(["c"])];
  assert.deepEqual(await eventsOf(), ["a", "b", "c"]);
  assert.deepEqual(
    asked.map(({ body }) => body.nextToken),
    [undefined, undefined, "two", "three", "three"],
  );
  const { target, body } = asked[0]!;
  assert.equal(target, "Logs_20140328.FilterLogEvents");
  const { group: logGroupName, fromMs: startTime, toMs: endTime } = question;
  assert.deepEqual(body, { logGroupName, startTime, endTime });
});

test("an event that two pages have comes once, and a token that repeats ends it", async () => {
  answers = [page(["a"], "two"), page(["a", "b"], "two"), page(["never"])];
  assert.deepEqual(await eventsOf(), ["a", "b"]);
});

const refusals: readonly (readonly [string, RegExp])[] = [
  ["ResourceNotFoundException", /there is no log group .*-worker in us-west-2; check the name/],
  ["AccessDeniedException", /refuses: because; allow logs:FilterLogEvents on the group/],
  ["ExpiredTokenException", /takes no credentials of yours .*\(because\); log in/],
  ["InvalidParameterException", /can't be read: because; check the network/],
];
for (const [type, expected] of refusals) {
  test(`${type} is told with what to do`, async () => {
    answers = [{ status: 400, body: { __type: type, message: "because" } }];
    await assert.rejects(eventsOf(), expected);
  });
}

test("a service that is silent is waited for no longer than a call may take", async () => {
  answers = ["silence", page(["a"])];
  assert.deepEqual(await eventsOf({ ...question, limitMs: 100 }), ["a"]);
  assert.equal(asked.length, 2);
  answers = Array.from({ length: 7 }, () => "silence" as const);
  await assert.rejects(eventsOf({ ...question, limitMs: 100 }), {
    code: "unavailable",
    message: /did not answer within 0\.1 s \(7 attempts\); check the network and --io-timeout/,
  });
});

test("without credentials, region or package it says what is missing", async () => {
  await assert.rejects(eventsOf({ ...question, region: null }), /write --region, e.g. --region/);
  delete process.env.AWS_ACCESS_KEY_ID;
  await assert.rejects(eventsOf(), /takes no credentials of yours/);
  const missing = logGroupEvents(question, async () => {
    throw Object.assign(new Error("no such package"), { code: "ERR_MODULE_NOT_FOUND" });
  });
  await assert.rejects(missing.next(), /is not installed: npm install @aws-sdk\/client-cloudwatch/);
});

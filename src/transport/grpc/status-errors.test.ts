import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata, status } from "@grpc/grpc-js";
import { type ErrorCode, PacelineError } from "../../errors.js";
import { fromListenError } from "../connection-errors.js";
import { fromStatus, toStatus } from "./status-errors.js";

const foreign = (code: status, details: string, connected = true): PacelineError =>
  fromStatus({ code, details, metadata: new Metadata() }, "host:8000", "coordinator", connected);

for (const name of ["ECONNRESET", "ECONNABORTED", "EPIPE"]) {
  test(`${name} means that the connection broke, whatever status the library gives it`, () => {
    for (const code of [status.UNAVAILABLE, status.INTERNAL]) {
      const error = foreign(code, `Received RST_STREAM with code 2: write ${name}`);
      assert.equal(error.code, "unavailable");
      assert.equal(error.retryable, true);
      assert.match(error.message, /^the connection to host:8000 broke/);
    }
  });
}

const translations: readonly [status, string, ErrorCode, RegExp][] = [
  [
    status.UNAVAILABLE,
    "connect ECONNREFUSED",
    "unavailable",
    /reached \(ECONNREFUSED\); is it run/,
  ],
  [status.CANCELLED, "Cancelled", "unavailable", /host:8000 can't be reached; is it running/],
  [status.DEADLINE_EXCEEDED, "late", "timeout", /host:8000 did not answer in time/],
  [status.UNIMPLEMENTED, "no such", "protocol", /host:8000 is not a coordinator; check the addr/],
  [status.PERMISSION_DENIED, "no token", "refused", /host:8000 refused: no token/],
  [status.INTERNAL, "bad\nbytes", "protocol", /that the protocol forbids: bad bytes/],
  [status.OK, "", "unavailable", /host:8000 closed the connection/],
];
for (const [code, details, expected, says] of translations) {
  test(`status ${status[code]} becomes ${expected} with address and remedy`, () => {
    const error = foreign(code, details, false);
    assert.equal(error.code, expected);
    assert.match(error.message, says);
  });
}

test("between Paceline's own processes every code and sentence survives", () => {
  for (const code of ["usage", "refused", "protocol", "data", "unavailable", "timeout"] as const) {
    const sent = new PacelineError(code, "worker 3 is lost; start it again");
    const got = fromStatus(toStatus(sent), "host:8000", "coordinator", true);
    assert.equal(got.code, code);
    assert.equal(got.message, sent.message);
  }
});

test("a code that is none of ours is not believed", () => {
  const { code, details, metadata } = toStatus(new PacelineError("refused", "no"));
  metadata.set("paceline-code", "__proto__");
  const got = fromStatus({ code, details, metadata }, "host:8000", "coordinator", true);
  assert.equal(got.code, "refused");
});

test("an address that can't be listened on is a usage error with its flag", () => {
  const at = (code: string): string =>
    fromListenError(Object.assign(new Error(code), { code }), "10.0.0.1", 80).message;
  assert.equal(at("EADDRINUSE"), "port 80 on 10.0.0.1 is in use; choose another with --port");
  assert.match(at("EACCES"), /port 80 on 10.0.0.1 is not allowed; .* --port/);
  assert.match(at("EADDRNOTAVAIL"), /can't listen on 10.0.0.1, port 80 .* --host/);
});

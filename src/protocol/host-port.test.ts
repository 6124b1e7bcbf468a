import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isIPv6, joinHostPort, parseHostPort } from "./host-port.js";

const rows: readonly (readonly [string, string, number | null] | readonly [string, RegExp])[] = [
  ["head:8000", "head", 8000],
  ["head", "head", null],
  ["10.0.0.1:1", "10.0.0.1", 1],
  ["::1", "::1", null],
  ["[::1]", "::1", null],
  ["[::1]:8000", "::1", 8000],
  ["fd00::12", "fd00::12", null],
  ["fe80::1%eth0", "fe80::1%eth0", null],
  ["[fe80::1%eth0]:80", "fe80::1%eth0", 80],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", null],
  ["1:2:3:4:5:6:7:8:8000", "1:2:3:4:5:6:7:8", 8000],
  ["::ffff:10.0.0.1", "::ffff:10.0.0.1", null],
  ["::1:8000", /^can be an address or one with a port: \[::1:8000\] or \[::1\]:8000$/],
  ["fd00::1:2", /^can be an address or one with a port/],
  ["head:80:90", /^is not host:port$/],
  ["[head]:80", /brackets around what is no IPv6/],
  ["http://head:80", /^is not host:port$/],
  ["head:70000", /above 65535/],
  ["[::1]:70000", /above 65535/],
  [":80", /^is not host:port$/],
  ["", /^is not host:port$/],
];

describe("host:port", () => {
  for (const [text, ...wanted] of rows) {
    test(`"${text}" is ${wanted.join(" and ")}`, () => {
      const found = parseHostPort(text);
      if (typeof wanted[0] === "string")
        assert.deepEqual(found, { host: wanted[0], port: wanted[1] });
      else assert.match("problem" in found ? found.problem : "", wanted[0]!);
    });
  }
  test("is joined with brackets around IPv6 alone", () => {
    const joined = ["head", "::1", "[::1]"].map((host) => joinHostPort(host, 1));
    assert.deepEqual(joined, ["head:1", "[::1]:1", "[::1]:1"]);
  });
  test("IPv6 has eight groups, or fewer around one ::", () => {
    for (const text of [":", ":::", "1::2::3", "1:2:3:4:5:6:7", "g::", "::12345", "::1%"])
      assert.equal(isIPv6(text), false, text);
    for (const text of ["::", "1::", "::8", "1:2::7:8"]) assert.equal(isIPv6(text), true, text);
  });
});

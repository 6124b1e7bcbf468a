import assert from "node:assert/strict";
import { test } from "node:test";
import { isEtcd, parseEtcdAddress } from "./etcd-address.js";

test("an address has members and a prefix", () => {
  const cases = [
    ["etcd://a", ["a:2379"], "paceline"],
    ["etcd://a:1", ["a:1"], "paceline"],
    ["ETCD://a,b:7,[::1]:3/", ["a:2379", "b:7", "[::1]:3"], "paceline"],
    ["etcd://a/team/one/", ["a:2379"], "team/one"],
  ] as const;
  for (const [text, endpoints, prefix] of cases) {
    assert.ok(isEtcd(text));
    assert.deepEqual(parseEtcdAddress(text), { endpoints: [...endpoints], prefix }, text);
  }
  assert.ok(!isEtcd("file"));
});

test("any other is refused, with how it is written", () => {
  const wrong = [
    "etcd://",
    "etcd:a",
    "etcd://a,,b",
    "etcd://a:99999",
    "etcd://u@a",
    "etcd://a/x y",
  ];
  for (const text of [...wrong, "etcd://a?b", "etcd:///x"]) {
    assert.throws(() => parseEtcdAddress(text), {
      code: "usage",
      message: /; write etcd:\/\/host:2379 or etcd:\/\/a,b,c\/prefix$/,
    });
  }
});

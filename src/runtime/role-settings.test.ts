import assert from "node:assert/strict";
import { test } from "node:test";
import { demandLoopback } from "./role-settings.js";

test("beyond loopback there are certificates, a token, or the word that all are trusted", () => {
  for (const host of ["127.0.0.1", "127.9.0.1", "localhost", "::1", "[::1]"]) {
    demandLoopback({ host });
  }
  const told = /--host \S+ is not a loopback.*--tls DIR.*paceline certs init.*--insecure/;
  for (const host of ["0.0.0.0", "10.0.0.1", "node-3", "::", "127.0.0.1.example"]) {
    assert.throws(() => demandLoopback({ host }), { code: "usage", message: told });
    const log: string[] = [];
    const tell = (text: string) => void log.push(text);
    demandLoopback({ host, insecure: true }, tell);
    demandLoopback({ host, tls: "certs" }, tell);
    assert.deepEqual(log, []);
    demandLoopback({ host, tokenFile: "token" }, tell);
    assert.match(log.join(), /without --tls all that travels, the token too, can be read/);
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { expandHome } from "./home-path.js";

test("only a ~ that stands alone before a path is the home folder", () => {
  const rows: readonly (readonly [string, string | RegExp])[] = [
    ["~", "/h/ada"],
    ["~/runs", "/h/ada/runs"],
    ["runs/~", "runs/~"],
    ["./~/runs", "./~/runs"],
    ["/a/~b", "/a/~b"],
    ["~bob/runs", /another user/],
    ["~runs", /another user/],
  ];
  for (const [path, wanted] of rows) {
    const found = expandHome(path, "/h/ada");
    if (typeof wanted === "string") assert.deepEqual(found, { path: wanted });
    else assert.match("problem" in found ? found.problem : "", wanted, path);
  }
  const homeless = expandHome("~/runs", null);
  assert.match("problem" in homeless ? homeless.problem : "", /no home folder/);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  healthMethods,
  type LateMethod,
  loadHealth,
  loadReflection,
  reflectionMethods,
} from "./late-services.js";

test("what is known of late methods is what their libraries define", () => {
  const known = (methods: readonly LateMethod[]) => methods.map((one) => one.join(" ")).sort();
  for (const [methods, loaded] of [
    [healthMethods, loadHealth("some.Service")],
    [reflectionMethods, loadReflection("some.Service")],
  ] as const) {
    const defined = [...loaded.values()].map(({ definition }) => {
      const { path, requestStream, responseStream } = definition;
      return [path, requestStream, responseStream] as const;
    });
    assert.deepEqual(known(defined), known(methods));
  }
});

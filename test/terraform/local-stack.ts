/** The tasks of a stack as processes of this machine: in other places, and with less to do. */
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Ended,
  freePort,
  mainPath,
  type Place,
  type RunningCommand,
} from "../run-paceline.js";
import { type Container, environmentOf } from "./terraform-runs.js";

/** Starts tasks, each as its container would be started. */
export interface LocalStack {
  /** @param more of the environment; @param through a program that starts it. */
  start(name: string, more?: Record<string, string>, through?: readonly string[]): RunningCommand;
  /** What the health check of a task's container comes to, given the same environment. */
  check(name: string, more: Record<string, string>): Promise<Ended>;
}

/** Makes certificates and a token, which tasks are given as ECS gives a secret. */
export async function localStack(
  place: Place,
  containers: ReadonlyMap<string, Container>,
): Promise<LocalStack> {
  const port = await freePort();
  const made = await place.call(["certs", "init", "--out", place.path("certs")]);
  assert.equal(made.exitCode, 0, made.err);
  await mkdir(place.path("bin"));
  const program = `#!/bin/sh\nexec '${process.execPath}' '${mainPath}' "$@"\n`;
  await writeFile(place.path("bin", "paceline"), program, { mode: 0o755 });
  const secret = await secretOf(place.path("certs"));
  const here = {
    PATH: `${place.path("bin")}:${process.env.PATH}`,
    TMPDIR: place.folder,
    DATA_MOUNT: place.path("cache"),
    PACELINE_HOST: "127.0.0.1",
    PACELINE_RUN_DIR: place.path("runs"),
    PACELINE_DATA_DIR: place.path("data"),
    PACELINE_CACHE_DIR: place.path("cache"),
  };
  const small = {
    ...{ PACELINE_MODEL: "logistic", PACELINE_DATA: "mnist-parity", PACELINE_AUGMENT: "none" },
    ...{ TOTAL_WORKERS_EXPECTED: "1", PACELINE_ENGINE: "reference", PACELINE_EPOCHS: "1" },
  };
  const there: Record<string, Record<string, string>> = {
    coordinator: { SERVER_PORT: String(port) },
    "parameter-server-0": { PACELINE_PORT: "0", PACELINE_ADVERTISE: "" },
    submit: small,
  };
  const containerOf = (name: string) => {
    const container = containers.get(name);
    assert.ok(container !== undefined, `no container ${name}`);
    return container;
  };
  const environmentFor = (name: string, more: Record<string, string>) => {
    const container = containerOf(name);
    const secrets = container.secrets.map(({ name: variable, valueFrom }) => {
      const key = valueFrom.split(":").at(-3) ?? "";
      assert.ok(secret[key] !== undefined, `the secret has no ${key}`);
      return [variable, secret[key]] as const;
    });
    return {
      ...environmentOf(container),
      ...(name === "coordinator" ? {} : { PARAMETER_SERVER_ADDRESS: `127.0.0.1:${port}` }),
      ...{ ...here, ...there[name], ...Object.fromEntries(secrets), ...more },
    };
  };
  return {
    start(name, more = {}, through = []) {
      const { entryPoint, command } = containerOf(name);
      return place.start([], environmentFor(name, more), [
        ...through,
        ...entryPoint,
        ...command,
        "sh",
      ]);
    },
    check(name, more) {
      const { command = [], timeout = 0 } = containerOf(name).healthCheck ?? {};
      const [form, script = ""] = command;
      assert.equal(form, "CMD-SHELL");
      const words = ["/bin/sh", "-c", script, "sh"];
      return place.start([], environmentFor(name, more), words).end(timeout * 1000);
    },
  };
}

/** The secret as deploy.sh puts it together. */
async function secretOf(folder: string): Promise<Record<string, string>> {
  const read = (name: string) => readFile(join(folder, name), "utf8");
  const secret: Record<string, string> = { token: "0123456789abcdef", ca: await read("ca.pem") };
  for (const role of ["coordinator", "server", "worker", "admin"]) {
    secret[role] = await read(`${role}.pem`);
    secret[`${role}_key`] = await read(`${role}-key.pem`);
  }
  return secret;
}

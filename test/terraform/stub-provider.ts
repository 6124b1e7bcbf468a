/**
 * A provider of Terraform that knows the schemas of AWS, or of Google Cloud, and nothing of either:
 * it answers the calls of plugin protocol 5 that `terraform validate`, and `terraform test` with a
 * mocked provider, make. Terraform itself holds the configuration against the schemas, and a mocked
 * provider plans, applies and reads without asking. It is reached by TF_REATTACH_PROVIDERS: nothing
 * is installed.
 *
 * The schemas are aws-schemas.json and so on, see scripts/extract-provider-schemas.mjs: for each
 * block its arguments (a: name, type, and of r, o and c what is true of required, optional,
 * computed) and blocks (b: nesting n, fewest and most).
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { Server, ServerCredentials } from "@grpc/grpc-js";

type Attribute = readonly [type: unknown, flags: string];
interface Block {
  readonly a: Readonly<Record<string, Attribute>>;
  readonly b: Readonly<Record<string, NestedBlock>>;
}
interface NestedBlock extends Block {
  readonly n: "single" | "list" | "set";
  readonly min?: number;
  readonly max?: number;
}

/** The schemas of a provider. */
interface Schemas {
  readonly provider: Block;
  readonly resources: Readonly<Record<string, Block>>;
  readonly data: Readonly<Record<string, Block>>;
}

/** A stub that runs. */
export interface StubProvider {
  /** What a terraform process needs in its environment to find it. */
  readonly environment: { readonly TF_REATTACH_PROVIDERS: string };
  close(): void;
}

/** Field numbers of a message in protobuf's wire form: 2 for what has a length, 0 for numbers. */
const lengthTag = (field: number) => (field << 3) | 2;
const numberTag = (field: number) => field << 3;
const nestingNumbers = { single: 1, list: 2, set: 3 } as const;

/** Starts a provider for each of these names, with the schemas that are committed. */
export async function startStubProviders(
  root: string,
  names: readonly string[],
): Promise<StubProvider> {
  const folder = mkdtempSync(join(tmpdir(), "paceline-provider-"));
  const servers: Server[] = [];
  const reattach: Record<string, object> = {};
  for (const name of names) {
    const file = join(root, "test", "terraform", `${name}-schemas.json`);
    const path = join(folder, `${name}.sock`);
    servers.push(await listen(JSON.parse(readFileSync(file, "utf8")) as Schemas, path));
    const address = { Network: "unix", String: path };
    reattach[`registry.terraform.io/hashicorp/${name}`] = {
      ...{ Protocol: "grpc", ProtocolVersion: 5, Pid: process.pid, Test: true, Addr: address },
    };
  }
  return {
    environment: { TF_REATTACH_PROVIDERS: JSON.stringify(reattach) },
    close() {
      for (const server of servers) server.forceShutdown();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A server at a socket that answers for a provider of these schemas. */
async function listen(schemas: Schemas, path: string): Promise<Server> {
  const server = new Server();
  const schema = encodeSchemas(schemas);
  const empty = new Uint8Array();
  // Of these a stub has nothing to say, which means that all is well.
  const silent = ["ValidateResourceTypeConfig", "ValidateDataSourceConfig", "Configure", "Stop"];
  server.addService(
    {
      GetSchema: rpc("GetSchema"),
      PrepareProviderConfig: rpc("PrepareProviderConfig"),
      ...Object.fromEntries(silent.map((name) => [name, rpc(name)])),
    },
    {
      GetSchema: (_: unknown, done: Done) => done(null, schema),
      // The prepared configuration is the given one: field 1 of both messages.
      PrepareProviderConfig: ({ request }: { request: Uint8Array }, done: Done) => {
        const reader = new BinaryReader(request);
        reader.tag();
        done(null, new BinaryWriter().raw(bytesField(1, reader.bytes())).finish());
      },
      ...Object.fromEntries(
        silent.map((name) => [name, (_: unknown, done: Done) => done(null, empty)]),
      ),
    },
  );
  await new Promise<void>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(`unix:${path}`, credentials, (error) => (error ? reject(error) : resolve()));
  });
  return server;
}

type Done = (error: Error | null, response: Uint8Array) => void;

function rpc(name: string) {
  const pass = (bytes: Uint8Array) => Buffer.from(bytes);
  return {
    path: `/tfplugin5.Provider/${name}`,
    ...{ requestStream: false, responseStream: false },
    ...{ requestSerialize: pass, requestDeserialize: pass },
    ...{ responseSerialize: pass, responseDeserialize: pass },
  };
}

/** GetProviderSchema.Response: the provider's own schema, those of resources and of data. */
function encodeSchemas({ provider, resources, data }: Schemas): Uint8Array {
  const mapped = (field: number, blocks: Schemas["resources"]) =>
    Object.entries(blocks).map(([name, block]) =>
      bytesField(field, joined([textField(1, name), bytesField(2, encodeSchema(block))])),
    );
  return joined([
    bytesField(1, encodeSchema(provider)),
    ...mapped(2, resources),
    ...mapped(3, data),
  ]);
}

function encodeSchema(block: Block): Uint8Array {
  return bytesField(2, encodeBlock(block));
}

function encodeBlock({ a, b }: Block): Uint8Array {
  const attributes = Object.entries(a).map(([name, [type, flags]]) => {
    const isTrue = (flag: string, field: number) =>
      flags.includes(flag) ? [numberField(field, 1)] : [];
    const typed = [textField(1, name), textField(2, JSON.stringify(type))];
    return bytesField(
      2,
      joined([...typed, ...isTrue("r", 4), ...isTrue("o", 5), ...isTrue("c", 6)]),
    );
  });
  const blocks = Object.entries(b).map(([name, nested]) => {
    const { n, min = 0, max = 0 } = nested;
    const head = [textField(1, name), bytesField(2, encodeBlock(nested))];
    const counts = [numberField(3, nestingNumbers[n]), numberField(4, min), numberField(5, max)];
    return bytesField(3, joined([...head, ...counts]));
  });
  return joined([...attributes, ...blocks]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return new BinaryWriter().uint32(lengthTag(field)).bytes(bytes).finish();
}

function textField(field: number, text: string): Uint8Array {
  return bytesField(field, Buffer.from(text));
}

function numberField(field: number, value: number): Uint8Array {
  return new BinaryWriter().uint32(numberTag(field)).uint32(value).finish();
}

/**
 * Health checking and reflection, which every listener offers and few callers ask for. What answers
 * them takes longer to load than all the rest of a listener, since it reads .proto files and
 * compiles codecs of its own: so only the names of methods are known here, and the first call loads
 * the libraries.
 */
import { createRequire } from "node:module";
import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type {
  MethodDefinition,
  Server,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { assert } from "../../assert.js";
import { file_paceline_v1_coordinator } from "../wire/generated-coordinator.js";
import { file_paceline_v1_parameter_server } from "../wire/generated-parameter-server.js";
import { file_paceline_v1_run } from "../wire/generated-run.js";

/** A method as its library defines it, with what answers it. */
export interface AnsweredMethod {
  readonly definition: MethodDefinition<unknown, unknown>;
  readonly answer: (call: unknown, callback: unknown) => void;
}

/** The methods of one library by their paths. */
export type AnsweredMethods = ReadonlyMap<string, AnsweredMethod>;

/** A method's name and whether its requests and its responses are streams. */
export type LateMethod = readonly [path: string, takesStream: boolean, givesStream: boolean];

/** The methods of health checking, as grpc-health-check has them. */
export const healthMethods: readonly LateMethod[] = [
  ["/grpc.health.v1.Health/Check", false, false],
  ["/grpc.health.v1.Health/List", false, false],
  ["/grpc.health.v1.Health/Watch", false, true],
];

/** The methods of reflection, as @grpc/reflection has them. */
export const reflectionMethods: readonly LateMethod[] = [
  ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true, true],
  ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", true, true],
];

const require = createRequire(import.meta.url);

/** Has a server answer health checks and reflection for one service; loads neither. */
export function addLateServices(server: Server, serviceName: string): void {
  add(server, healthMethods, () => loadHealth(serviceName));
  add(server, reflectionMethods, () => loadReflection(serviceName));
}

/** What answers health checks: the service is healthy for as long as its server is there. */
export function loadHealth(serviceName: string): AnsweredMethods {
  const { HealthImplementation } = require("grpc-health-check") as {
    HealthImplementation: typeof import("grpc-health-check").HealthImplementation;
  };
  return collect(new HealthImplementation({ "": "SERVING", [serviceName]: "SERVING" }));
}

/** What answers reflection, from the descriptors of our own messages. */
export function loadReflection(serviceName: string): AnsweredMethods {
  const { ReflectionService } = require("@grpc/reflection") as {
    ReflectionService: typeof import("@grpc/reflection").ReflectionService;
  };
  const files: readonly DescFile[] = [
    file_paceline_v1_run,
    file_paceline_v1_coordinator,
    file_paceline_v1_parameter_server,
  ];
  const fileDescriptorProtos = files.map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  const described = { [serviceName]: { fileDescriptorProtos } };
  const taken = described as unknown as ConstructorParameters<typeof ReflectionService>[0];
  return collect(new ReflectionService(taken, { services: [serviceName] }));
}

/** Asks a library for its services, as a server would that they are added to. */
function collect(library: { addToServer(server: Server): void }): AnsweredMethods {
  const methods = new Map<string, AnsweredMethod>();
  const addService = (service: ServiceDefinition, handlers: UntypedServiceImplementation): void => {
    for (const [name, definition] of Object.entries(service)) {
      const handler = handlers[name] ?? handlers[definition.originalName ?? ""];
      assert(handler !== undefined, `${definition.path} is answered`);
      const answer = handler.bind(handlers) as AnsweredMethod["answer"];
      methods.set(definition.path, { definition, answer });
    }
  };
  library.addToServer({ addService } as unknown as Server);
  return methods;
}

/** Adds methods whose codecs and handlers are loaded together, at the first call of any of them. */
function add(server: Server, methods: readonly LateMethod[], load: () => AnsweredMethods): void {
  let loaded: AnsweredMethods | null = null;
  const at = (path: string): AnsweredMethod => {
    loaded ??= load();
    const method = loaded.get(path);
    assert(method !== undefined, `${path} is a method of the library`);
    return method;
  };
  const definitions = methods.map(([path, requestStream, responseStream]) => {
    const definition: MethodDefinition<unknown, unknown> = {
      ...{ path, requestStream, responseStream },
      requestSerialize: (value) => at(path).definition.requestSerialize(value),
      requestDeserialize: (bytes) => at(path).definition.requestDeserialize(bytes),
      responseSerialize: (value) => at(path).definition.responseSerialize(value),
      responseDeserialize: (bytes) => at(path).definition.responseDeserialize(bytes),
    };
    return [path, definition] as const;
  });
  const handlers = methods.map(([path]) => {
    const answer: AnsweredMethod["answer"] = (call, callback) => at(path).answer(call, callback);
    return [path, answer] as const;
  });
  server.addService(
    Object.fromEntries(definitions),
    Object.fromEntries(handlers) as UntypedServiceImplementation,
  );
}

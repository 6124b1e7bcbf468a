/**
 * The paths of the public contract's methods and the options of every gRPC channel and server.
 * Bytes pass through grpc-js untouched: messages are encoded and decoded by `wire` before and
 * after, so that what is wrong with them is told by one translator and not by the library.
 */
import type { ChannelOptions, MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import type { Security } from "../credentials/security.js";
import { chunkMessageBytesMax, sessionMessageBytesMax } from "../wire/limits.js";

/** Fully qualified names of the services. */
export const serviceNames = {
  coordinator: "paceline.v1.Coordinator",
  parameterServer: "paceline.v1.ParameterServer",
} as const;

/**
 * Bytes that a peer may send before it hears that some were read, per stream and per connection.
 * HTTP/2's default of 64 KiB would limit a push to that much a round trip.
 */
export const receiveWindowBytes = 16777216;

/** The largest piece that a server lets HTTP/2 cut a message into; the default is 16 KiB. */
export const frameBytesMax = 262144;

/** What people may choose about the gRPC transport. */
export interface GrpcTransportOptions {
  /** Every wait on the network ends after this many milliseconds; 30,000 if not given. */
  readonly ioTimeoutMs?: number;
  /** What connections by a port are made with; plain ones, without a token, if not given. */
  readonly security?: Security | null;
}

/** The defaults filled in. */
export interface GrpcLimits {
  readonly ioTimeoutMs: number;
  /** How long what was sent may take to go out when all is closed: its peer may be frozen. */
  readonly closeMs: number;
  readonly security: Security | null;
}

const closeMsMax = 5000;

/** The limits that options ask for. */
export function limitsOf({ ioTimeoutMs = 30_000, security = null }: GrpcTransportOptions) {
  return { ioTimeoutMs, closeMs: Math.min(ioTimeoutMs, closeMsMax), security };
}

function method(
  service: string,
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): MethodDefinition<Buffer, Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/${service}/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

/** Methods of the coordinator. */
export const coordinatorMethods = {
  register: method(serviceNames.coordinator, "Register", false, false),
  heartbeat: method(serviceNames.coordinator, "Heartbeat", true, true),
  leave: method(serviceNames.coordinator, "Leave", false, false),
  status: method(serviceNames.coordinator, "Status", false, false),
  drain: method(serviceNames.coordinator, "Drain", false, false),
  switchTo: method(serviceNames.coordinator, "Switch", false, false),
  submit: method(serviceNames.coordinator, "Submit", false, false),
  jobs: method(serviceNames.coordinator, "Jobs", false, false),
  cancelJob: method(serviceNames.coordinator, "CancelJob", false, false),
  jobEvents: method(serviceNames.coordinator, "JobEvents", false, false),
  readExamples: method(serviceNames.coordinator, "ReadExamples", false, true),
  keepResidual: method(serviceNames.coordinator, "KeepResidual", false, false),
  readResidual: method(serviceNames.coordinator, "ReadResidual", false, false),
} satisfies ServiceDefinition;

/** Methods of a parameter server. */
export const parameterServerMethods = {
  push: method(serviceNames.parameterServer, "Push", true, false),
  pull: method(serviceNames.parameterServer, "Pull", false, true),
  pushPull: method(serviceNames.parameterServer, "PushPull", true, true),
} satisfies ServiceDefinition;

/**
 * Options that both sides share. Pings make a black-holed peer noticed within the time-out: one is
 * sent after a third of it without news, and must be answered within another.
 */
function commonOptions({ ioTimeoutMs }: GrpcLimits): ChannelOptions {
  const third = Math.max(50, Math.floor(ioTimeoutMs / 3));
  return {
    "grpc.keepalive_time_ms": third,
    "grpc.keepalive_timeout_ms": third,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_receive_message_length": Math.max(sessionMessageBytesMax, chunkMessageBytesMax),
    "grpc.max_send_message_length": -1,
    "grpc.enable_channelz": 0,
    "grpc-node.flow_control_window": receiveWindowBytes,
  };
}

/**
 * Options of a client's channel: its own connection, no proxy, no hidden retries, short back-off.
 */
export function clientOptions(limits: GrpcLimits): ChannelOptions {
  return {
    ...commonOptions(limits),
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
  };
}

/** Options of a server: a connection on which nothing happens is closed after the time-out. */
export function serverOptions(limits: GrpcLimits): ChannelOptions {
  return { ...commonOptions(limits), "grpc.max_connection_idle_ms": limits.ioTimeoutMs };
}

/** Transports over sockets for tests that know processes by name, as the one in memory does. */
import { join } from "node:path";
import { framesAddress, pathAddress } from "../addresses.js";
import { createMemberTransport } from "../frames/member-transport.js";
import type { Transport } from "../transport.js";

/** Makes the transports of one cluster, whose chunks all travel one way. */
export function namedTransports(
  way: "grpc" | "tcp" | "unix",
  folder: string,
): (name: string) => Transport {
  const book = new Map<string, string>();
  const placeOf = (name: string) => (way === "unix" ? pathAddress(join(folder, name)) : anyPort);
  const find = (name: string) => book.get(name) ?? "127.0.0.1:1";
  return () => {
    const transport = createMemberTransport({ ioTimeoutMs: 5000 });
    return {
      ...transport,
      serveCoordinator: async (name, service) => {
        const listener = await transport.serveCoordinator(anyPort, service);
        book.set(name, listener.address);
        return listener;
      },
      serveChunks: async (name, accept) => {
        const listener = await transport.serveChunks(placeOf(name), accept);
        const { address } = listener;
        book.set(name, way === "tcp" ? framesAddress(address) : address);
        return listener;
      },
      register: (name, request) => transport.register(find(name), request),
      openSession: (name, identity, mail) => transport.openSession(find(name), identity, mail),
      openChunks: (name, receiver) => transport.openChunks(find(name), receiver),
    };
  };
}

const anyPort = "127.0.0.1:0";

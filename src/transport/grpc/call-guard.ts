/**
 * Looks at each gRPC call when its metadata is in, before any message of it is read: may a peer
 * with this certificate make it, and has it said the cluster's token? One that is refused reaches
 * no handler.
 */
import { Metadata, ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import type { Door } from "../credentials/door.js";
import { toStatus } from "./status-errors.js";

/** The metadata that carries the token, as "Bearer TOKEN". */
const tokenMetadata = "authorization";

/** What a server is made with that answers calls behind a door. */
export function callGuard(door: Door): ServerInterceptor {
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            const peer = call.getPeer();
            const said = String(metadata.get(tokenMetadata)[0] ?? "");
            const objection = door.objectionToCall(method.path, peer, said);
            if (objection === null) {
              door.greeted(peer);
              pass(metadata);
            } else call.sendStatus(toStatus(objection));
          },
        }),
    });
}

/** What a call carries beside its message. */
export function callMetadata(token: string | null): Metadata {
  const metadata = new Metadata();
  if (token !== null) metadata.set(tokenMetadata, `Bearer ${token}`);
  return metadata;
}

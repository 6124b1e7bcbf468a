/**
 * What the three roles have in common: how long they wait, where they listen, what is around them.
 * The defaults are those of the options table; a test compares the two.
 */
import { PacelineError } from "../errors.js";
import type { Clock } from "../host/clock.js";
import type { TransportChoice } from "../protocol/view.js";
import type { SecuritySettings } from "../transport/credentials/security.js";
import type { Transport } from "../transport/transport.js";

/** How a role reaches others and how long it waits for them. */
export interface ReachSettings extends SecuritySettings {
  /** How chunks travel; `auto` if left out. */
  readonly transport?: TransportChoice;
  /** How long the cluster is waited for at the start; 60 s if left out. */
  readonly startTimeoutMs?: number;
  /** How long any wait on the network may last; 30 s if left out. */
  readonly ioTimeoutMs?: number;
}

/** How long a run waits for members that are gone, before it ends; 0 waits for none. */
export interface WaitSettings {
  /** For a server that had the only copy of a chunk; 10 s if left out. */
  readonly serverGraceMs?: number;
  /** For workers while fewer are there than must be; 10 min if left out. */
  readonly waitForWorkersMs?: number;
}

/** Where a role listens. */
export interface ListenSettings {
  /**
   * An address of this machine; 127.0.0.1 if left out. Others than loopback need certificates, a
   * token, or `insecure`.
   */
  readonly host?: string;
  /** 0 for any free one; 8000 for a coordinator and 0 for a server if left out. */
  readonly port?: number;
  /** Everyone on the network of `host` may be trusted: nothing is encrypted. */
  readonly insecure?: boolean;
}

/** What is around a role. */
export interface RoleParts {
  /**
   * Another network than the machine's, such as one in memory: hosts and ports are then names in
   * it. Its creator closes it.
   */
  readonly transport?: Transport;
  /** The process's if left out. */
  readonly clock?: Clock;
  /** Told what the role does, a sentence at a time; nobody if left out. */
  readonly log?: (text: string) => void;
  /**
   * Called when a server has applied an update to a chunk, before that is answered, or a worker
   * has received one, with the count of updates that the chunk has had: the global step that it is
   * at.
   */
  readonly onChunkStep?: (step: number) => void;
}

/** What holds where nothing is said. */
export const roleDefaults = {
  transport: "auto",
  startTimeoutMs: 60_000,
  ioTimeoutMs: 30_000,
  tls: null,
  tokenFile: null,
  leaseMs: 3000,
  rankGraceMs: 30_000,
  serverGraceMs: 10_000,
  waitForWorkersMs: 600_000,
  coordinatorGraceMs: 30_000,
  host: "127.0.0.1",
  coordinatorPort: 8000,
  serverPort: 0,
} as const;

/**
 * Addresses beyond loopback are only listened on with certificates or a token, or where it is said
 * that everyone there is trusted.
 */
export function demandLoopback(
  settings: ListenSettings & SecuritySettings,
  log: (text: string) => void = () => {},
): void {
  const { host = roleDefaults.host, insecure, tls = null, tokenFile = null } = settings;
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  const loopback = bare === "localhost" || bare === "::1" || /^127(\.\d{1,3}){3}$/.test(bare);
  if (loopback || tls !== null) return;
  if (tokenFile !== null) {
    const readable = "without --tls all that travels, the token too, can be read on its network";
    log(`--host ${host} is not a loopback address: ${readable}`);
    return;
  }
  if (insecure === true) return;
  throw new PacelineError(
    "usage",
    `--host ${host} is not a loopback address, and everyone who reaches it could join: ` +
      "give --tls DIR with certificates from paceline certs init, or write --insecure " +
      "if you trust everyone on that network",
  );
}

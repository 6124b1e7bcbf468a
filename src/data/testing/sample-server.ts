/**
 * A small web server for tests of downloads: it knows ranges, validators and conditions, as web
 * servers and object stores do, and cuts connections where it is told to.
 */
import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { assert } from "../../assert.js";

/** What the server has and how it behaves; may be changed while it runs. */
export interface SampleSite {
  /** Content by path, without the leading slash. */
  files: Map<string, Uint8Array>;
  /** How it marks the version of a file. */
  marks: "etag" | "date" | "none";
  /** Whether it answers `Range` with a part. */
  knowsRanges: boolean;
  /**
   * After how many bytes of the body each answer is cut, in order; those after the last are whole.
   */
  cuts: number[];
  /** Whether it answers a request with 403, as S3 does. */
  refuses: (headers: IncomingHttpHeaders) => boolean;
  /** Leaves a connection open where it would cut it. */
  stalls: boolean;
  /** Awaited before a cut, with the place in the file that the answer has come to. */
  beforeCut: (sentBytes: number) => Promise<void>;
}

/** One request as it came. */
export interface SampleRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** A running server. */
export interface SampleServer {
  /** With a slash at the end. */
  readonly url: string;
  readonly site: SampleSite;
  readonly requests: SampleRequest[];
  close(): Promise<void>;
}

/** Starts one on this machine alone. */
export async function startSampleServer(
  files: Iterable<readonly [string, Uint8Array]>,
): Promise<SampleServer> {
  const site: SampleSite = {
    files: new Map(files),
    marks: "etag",
    knowsRanges: true,
    cuts: [],
    refuses: () => false,
    stalls: false,
    beforeCut: async () => {},
  };
  const requests: SampleRequest[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url as string, "http://localhost");
    const path = decodeURIComponent(pathname.slice(1));
    requests.push({ path, headers: request.headers });
    answer(site, path, request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    site,
    requests,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(
  site: SampleSite,
  path: string,
  { headers }: IncomingMessage,
  response: ServerResponse,
): void {
  if (site.refuses(headers)) {
    const code = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    response.writeHead(403, { "content-type": "application/xml" }).end(code);
    return;
  }
  const bytes = site.files.get(path);
  if (bytes === undefined) {
    response.writeHead(404).end();
    return;
  }
  const mark = markOf(site, bytes);
  if (site.marks === "etag") response.setHeader("etag", mark);
  if (site.marks === "date") response.setHeader("last-modified", mark);
  if (headers["if-match"] !== undefined && headers["if-match"] !== mark) {
    response.writeHead(412).end();
    return;
  }
  const range = /^bytes=(\d+)-$/.exec(headers.range ?? "");
  const isSame = headers["if-range"] === undefined || headers["if-range"] === mark;
  const from = range !== null && site.knowsRanges && isSame ? Number(range[1]) : null;
  if (from !== null && from >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  const body = bytes.subarray(from ?? 0);
  const part = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  response.writeHead(from === null ? 200 : 206, {
    "content-length": body.length,
    ...(from === null ? {} : { "content-range": part }),
  });
  const cut = site.cuts.shift();
  if (cut === undefined) response.end(body);
  else if (site.stalls) response.write(body.subarray(0, cut));
  else if (cut === 0) response.socket?.destroySoon();
  else {
    response.write(body.subarray(0, cut));
    void site.beforeCut((from ?? 0) + cut).then(() => response.socket?.destroySoon());
  }
}

/** Resolves when the part of a download below this folder has so many bytes. */
export async function untilPartHas(folder: string, bytes: number): Promise<void> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    const name = names.find((found) => basename(found) === "content");
    const found = name === undefined ? null : await stat(join(folder, name)).catch(() => null);
    if (found?.size === bytes) return;
    assert(performance.now() < endMs, "the part grows", { found: found?.size ?? null, bytes });
    await delay(5);
  }
}

/** Differs where the content differs. */
function markOf(site: SampleSite, bytes: Uint8Array): string {
  const sum = bytes.reduce((total, byte, index) => (total + byte * (index + 1)) % 1e9, 7);
  return site.marks === "date" ? new Date(sum * 1000).toUTCString() : `"${sum}"`;
}

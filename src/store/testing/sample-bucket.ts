/**
 * An object store for tests, as S3 is one: buckets of objects under names, with ranges, conditions,
 * listings, copies and uploads in parts. It keeps everything in memory and listens on this machine
 * alone.
 */
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request as it came. */
interface Asked {
  readonly method: string;
  /** bucket/key. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/** Status, headers and body of an answer. */
interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Uint8Array;
}

/** Headers that an object keeps. */
type Metadata = Readonly<Record<string, string>>;

/** An upload in parts that is neither completed nor given up. */
interface Upload {
  readonly name: string;
  readonly metadata: Metadata;
  readonly parts: Map<number, Buffer>;
}

/** A running store. */
export class SampleBucket {
  /** Content by bucket and key, joined by a slash. */
  readonly objects = new Map<string, Buffer>();
  /** Method and name of each request, oldest first. */
  readonly requests: string[] = [];
  /** Answers a request in the store's place, where it gives one. */
  interfere: (asked: Pick<Asked, "method" | "name" | "query">) => Answer | null = () => null;
  /** True where a request is done and the connection breaks before its answer is sent. */
  losesAnswer: (asked: Pick<Asked, "method" | "name" | "query">) => boolean = () => false;
  /** By object what it was written with besides its content. */
  readonly #metadata = new Map<string, Metadata>();
  readonly #uploads = new Map<string, Upload>();
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  /** Starts one; `url` is what AWS_ENDPOINT_URL takes. */
  static async start(): Promise<SampleBucket> {
    const bucket = new SampleBucket();
    bucket.#server.listen(0, "127.0.0.1");
    await once(bucket.#server, "listening");
    return bucket;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Names of what is being uploaded in parts: neither completed nor given up. */
  get uploads(): string[] {
    return [...this.#uploads.values()].map(({ name }) => name);
  }

  /** An object's text; undefined where there is none. */
  text(name: string): string | undefined {
    return this.objects.get(name)?.toString("utf8");
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const { pathname, searchParams: query } = new URL(request.url ?? "/", "http://localhost");
    const name = decodeURIComponent(pathname.slice(1));
    const { method = "GET", headers } = request;
    const asked = { method, name, query, headers, body: Buffer.concat(pieces) };
    this.requests.push(`${method} ${name}`);
    const { status, headers: told = {}, body = "" } = this.interfere(asked) ?? this.#answer(asked);
    if (this.losesAnswer(asked)) return void request.socket.destroy();
    const length = told["content-length"] ?? Buffer.byteLength(body);
    response.writeHead(status, { ...told, "content-length": length });
    response.end(method === "HEAD" ? undefined : body);
  }

  #answer(asked: Asked): Answer {
    const { method, query } = asked;
    if (method === "GET" && query.has("list-type")) return this.#list(asked);
    if (method === "GET" && query.has("uploads")) return this.#listUploads(asked);
    if (method === "GET" || method === "HEAD") return this.#read(asked);
    if (method === "DELETE") {
      const id = query.get("uploadId");
      if (id === null) this.objects.delete(asked.name);
      else if (!this.#uploads.delete(id)) return failure(404, "NoSuchUpload");
      return { status: 204 };
    }
    if (method === "POST" && query.has("uploads")) {
      const id = randomUUID();
      this.#uploads.set(id, { name: asked.name, metadata: metadataOf(asked), parts: new Map() });
      const inside = `<UploadId>${id}</UploadId>`;
      return xml(`<InitiateMultipartUploadResult>${inside}</InitiateMultipartUploadResult>`);
    }
    if (method === "POST") return this.#complete(asked);
    return this.#put(asked);
  }

  #put(asked: Asked): Answer {
    const { name, query, headers, body } = asked;
    const source = headers["x-amz-copy-source"];
    const content = source === undefined ? body : this.#copied(String(source), headers);
    if (content === null) return failure(404, "NoSuchKey");
    const id = query.get("uploadId");
    const parts = this.#uploads.get(id ?? "")?.parts;
    if (id !== null && parts === undefined) return failure(404, "NoSuchUpload");
    if (parts !== undefined) parts.set(Number(query.get("partNumber")), content);
    else {
      const refusal = this.#refusal(asked);
      if (refusal !== null) return refusal;
      this.objects.set(name, content);
      this.#metadata.set(name, metadataOf(asked));
    }
    const etag = etagOf(content);
    if (source === undefined) return { status: 200, headers: { etag } };
    const kind = parts === undefined ? "CopyObjectResult" : "CopyPartResult";
    return xml(`<${kind}><ETag>${etag}</ETag></${kind}>`);
  }

  #copied(source: string, headers: Asked["headers"]): Buffer | null {
    const content = this.objects.get(decodeURIComponent(source.replace(/^\//, "")));
    if (content === undefined) return null;
    const range = /^bytes=(\d+)-(\d+)$/.exec(String(headers["x-amz-copy-source-range"] ?? ""));
    if (range === null) return content;
    return content.subarray(Number(range[1]), Number(range[2]) + 1);
  }

  #complete(asked: Asked): Answer {
    const { name, query } = asked;
    const id = query.get("uploadId") ?? "";
    const upload = this.#uploads.get(id);
    if (upload === undefined) return failure(404, "NoSuchUpload");
    const { parts, metadata } = upload;
    const refusal = this.#refusal(asked);
    if (refusal !== null) return refusal;
    const ordered = [...parts].sort(([left], [right]) => left - right).map(([, part]) => part);
    const isShort = ordered.slice(0, -1).some((part) => part.length < 5 * 1024 * 1024);
    if (isShort) return failure(400, "EntityTooSmall");
    const content = Buffer.concat(ordered);
    this.objects.set(name, content);
    this.#metadata.set(name, metadata);
    this.#uploads.delete(id);
    const inside = `<ETag>${etagOf(content)}</ETag>`;
    return xml(`<CompleteMultipartUploadResult>${inside}</CompleteMultipartUploadResult>`);
  }

  /** Of a condition that does not hold. */
  #refusal({ name, headers }: Asked): Answer | null {
    const present = this.objects.get(name);
    const isNew = headers["if-none-match"] === "*";
    if (isNew && present !== undefined) return failure(412, "PreconditionFailed");
    const wanted = headers["if-match"];
    if (wanted === undefined) return null;
    if (present === undefined) return failure(404, "NoSuchKey");
    return etagOf(present) === wanted ? null : failure(412, "PreconditionFailed");
  }

  #read({ name, headers, method }: Asked): Answer {
    const content = this.objects.get(name);
    if (content === undefined) return failure(404, "NoSuchKey");
    const etag = etagOf(content);
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "");
    if (method === "HEAD" || range === null) {
      const told = { etag, ...this.#metadata.get(name), "content-length": content.length };
      return { status: 200, headers: told, body: content };
    }
    const [from, to] = [Number(range[1]), range[2] === "" ? content.length - 1 : Number(range[2])];
    if (from >= content.length) return failure(416, "InvalidRange");
    const body = content.subarray(from, to + 1);
    const place = `bytes ${from}-${from + body.length - 1}/${content.length}`;
    return { status: 206, headers: { etag, "content-range": place }, body };
  }

  /** One a page. */
  #listUploads({ name, query }: Asked): Answer {
    const bucket = `${name.replace(/\/$/, "")}/`;
    const begins = bucket + (query.get("prefix") ?? "");
    const open = [...this.#uploads].filter(([, upload]) => upload.name.startsWith(begins));
    const marker = query.get("upload-id-marker");
    const rest = open.slice(open.findIndex(([id]) => id === marker) + 1);
    const inside = rest.slice(0, 1).map(([id, upload]) => {
      const key = upload.name.slice(bucket.length);
      const next = `<NextKeyMarker>${key}</NextKeyMarker><NextUploadIdMarker>${id}`;
      const told = `<Upload><Key>${key}</Key><UploadId>${id}</UploadId></Upload>`;
      return `${next}</NextUploadIdMarker>${told}`;
    });
    const isMore = `<IsTruncated>${rest.length > 1}</IsTruncated>`;
    return xml(
      `<ListMultipartUploadsResult>${isMore}${inside.join("")}</ListMultipartUploadsResult>`,
    );
  }

  /** Two names a page, so that callers have to turn pages. */
  #list({ name, query }: Asked): Answer {
    const prefix = query.get("prefix") ?? "";
    const bucket = `${name.replace(/\/$/, "")}/`;
    const delimiter = query.get("delimiter");
    const after = query.get("continuation-token") ?? "";
    const found = new Map<string, string>();
    for (const whole of [...this.objects.keys()].sort()) {
      if (!whole.startsWith(bucket + prefix)) continue;
      const key = whole.slice(bucket.length);
      const cut = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
      if (cut < 0) found.set(key, `<Contents><Key>${key}</Key></Contents>`);
      else {
        const common = key.slice(0, cut + 1);
        found.set(common, `<CommonPrefixes><Prefix>${common}</Prefix></CommonPrefixes>`);
      }
    }
    const rest = [...found].filter(([key]) => key > after);
    const page = rest.slice(0, 2);
    const isMore = rest.length > page.length;
    const next = isMore ? `<NextContinuationToken>${page.at(-1)![0]}</NextContinuationToken>` : "";
    const inside = page.map(([, element]) => element).join("");
    return xml(
      `<ListBucketResult><IsTruncated>${isMore}</IsTruncated>${next}${inside}</ListBucketResult>`,
    );
  }
}

function metadataOf({ headers }: Asked): Metadata {
  const kept = Object.entries(headers).filter(([name]) => name.startsWith("x-amz-meta-"));
  return Object.fromEntries(kept) as Metadata;
}

function etagOf(content: Uint8Array): string {
  return `"${createHash("md5").update(content).digest("hex")}"`;
}

function xml(inside: string): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>${inside}`;
  return { status: 200, headers: { "content-type": "application/xml" }, body };
}

function failure(status: number, code: string): Answer {
  return { ...xml(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`), status };
}

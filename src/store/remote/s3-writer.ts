/**
 * A file that is written into a bucket. Up to 8 MiB it is kept here and sent whole each time; what
 * is larger goes up in parts, and once S3 has put those together, what is added later makes another
 * object of that one and the rest.
 *
 * Invariant: what `sync` has resolved on is in the object; until then readers meet the object as it
 * was at the last one. An upload that no object has come of is given up when the file is closed, as
 * S3 would keep its parts, and charge for them, without end.
 */
import { randomUUID } from "node:crypto";
import type { WritableFile } from "../files.js";
import type { Bucket, Place, SentPart } from "./s3-bucket.js";

/** S3 takes no part below 5 MiB, but for the last. */
const partBytes = 8 * 1024 * 1024;
const delayMs = 1000;

interface Upload {
  readonly id: string;
  readonly parts: SentPart[];
  /** Of all parts. */
  bytes: number;
}

/** The file. */
export class ObjectWriter implements WritableFile {
  readonly #bucket: Bucket;
  readonly #place: Place;
  readonly #sendsByItself: boolean;
  /** Written into the object, so that this writer knows what it has sent itself. */
  readonly #id = randomUUID();
  /** What is not in a part, nor in an object that is built upon. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** Bytes of the object that S3 has, where the rest is to be added to it. */
  #builtBytes = 0;
  #upload: Upload | null = null;
  /** The mark of the object that was last sent. */
  #etag: string | null = null;
  #isUnsent = true;
  #last: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  #failure: unknown = null;

  /** @param sendsByItself has what was written sent a second later, as a log's readers want. */
  constructor(bucket: Bucket, place: Place, { sendsByItself = false } = {}) {
    this.#bucket = bucket;
    this.#place = place;
    this.#sendsByItself = sendsByItself;
  }

  /** Keeps the first bytes of the object that is there; none where there is no object. */
  async keep(bytes: number): Promise<void> {
    if (bytes === 0) return;
    const { etag } = await this.#bucket.facts(this.#place);
    this.#etag = etag;
    this.#isUnsent = false;
    if (bytes > partBytes) this.#builtBytes = bytes;
    else this.#add(Buffer.from(await this.#bucket.get(this.#place, { position: 0, bytes, etag })));
  }

  write(bytes: Uint8Array): Promise<void> {
    // The caller may change them once this resolves.
    const kept = Buffer.from(bytes);
    return this.#after(async () => {
      this.#add(kept);
      this.#isUnsent = true;
      while (this.#restBytes > partBytes) await this.#sendPart();
      if (this.#sendsByItself) this.#sendLater();
    });
  }

  sync(): Promise<void> {
    return this.#after(() => this.#send());
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    try {
      if (this.#sendsByItself) await this.sync();
    } finally {
      await this.#last.catch(() => undefined);
      await this.#giveUp();
    }
  }

  /** Where S3 can't be reached any more the parts stay. */
  async #giveUp(): Promise<void> {
    const upload = this.#upload;
    this.#upload = null;
    if (upload === null) return;
    await this.#bucket.abort(this.#place, upload.id).catch(() => undefined);
  }

  /** One thing after the other; what failed by itself is told to the next call. */
  #after(action: () => Promise<void>): Promise<void> {
    const done = this.#last
      .catch(() => undefined)
      .then(async () => {
        const failure = this.#failure;
        this.#failure = null;
        if (failure !== null) throw failure;
        await action();
      });
    this.#last = done;
    done.catch(() => undefined);
    return done;
  }

  #sendLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#last = this.#last
        .catch(() => undefined)
        .then(() => this.#send())
        .catch((thrown: unknown) => {
          this.#failure = thrown;
        });
    }, delayMs).unref();
  }

  #add(bytes: Buffer): void {
    this.#rest.push(bytes);
    this.#restBytes += bytes.length;
  }

  /** The rest as one buffer. */
  #joined(): Buffer {
    const [only] = this.#rest;
    const whole = this.#rest.length === 1 ? only! : Buffer.concat(this.#rest);
    this.#rest = [whole];
    return whole;
  }

  async #sendPart(): Promise<void> {
    const upload = await this.#uploading();
    const { id, parts } = upload;
    const whole = this.#joined();
    const part = whole.subarray(0, partBytes);
    parts.push(await this.#bucket.send(this.#place, id, parts.length + 1, part));
    upload.bytes += part.length;
    this.#rest = [whole.subarray(partBytes)];
    this.#restBytes -= part.length;
  }

  /** The upload that is under way, which begins with what S3 has. */
  async #uploading(): Promise<Upload> {
    const id = this.#upload?.id ?? (await this.#bucket.begin(this.#place, this.#id));
    // Kept before anything else can fail: what has been begun is continued, or given up.
    this.#upload ??= { id, parts: [], bytes: 0 };
    const { parts } = this.#upload;
    if (this.#builtBytes > 0 && parts.length === 0) {
      parts.push(await this.#bucket.reuse(this.#place, id, 1, this.#builtBytes));
      this.#upload.bytes = this.#builtBytes;
    }
    return this.#upload;
  }

  async #send(): Promise<void> {
    if (!this.#isUnsent) return;
    if (this.#upload === null && this.#builtBytes === 0) {
      this.#etag = await this.#bucket.put(this.#place, this.#joined(), {
        etag: this.#etag,
        writer: this.#id,
      });
    } else if (this.#upload !== null || this.#restBytes > 0) {
      await this.#complete(await this.#uploading());
    }
    this.#isUnsent = false;
  }

  async #complete({ id, parts, bytes }: Upload): Promise<void> {
    const rest = this.#joined();
    // None of the parts before it may be so small: it is the last only once the object is there.
    const last = await this.#bucket.send(this.#place, id, parts.length + 1, rest);
    this.#etag = await this.#bucket.complete(this.#place, id, [...parts, last], this.#etag);
    this.#builtBytes = bytes + rest.length;
    this.#upload = null;
    this.#rest = [];
    this.#restBytes = 0;
  }
}

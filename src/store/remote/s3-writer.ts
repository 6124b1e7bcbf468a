/**
 * A file that is written into a bucket. Up to 8 MiB it is kept here and sent whole each time; what
 * is larger goes up in parts, and once S3 has put those together, what is added later makes another
 * object of that one and the rest.
 *
 * Invariant: what `sync` has resolved on is in the object; until then readers meet the object as it
 * was at the last one.
 */
import type { WritableFile } from "../files.js";
import type { Bucket, Place, SentPart } from "./s3-bucket.js";

/** S3 takes no part below 5 MiB, but for the last. */
const partBytes = 8 * 1024 * 1024;
const delayMs = 1000;

interface Upload {
  readonly id: string;
  readonly parts: SentPart[];
}

/** The file. */
export class ObjectWriter implements WritableFile {
  readonly #bucket: Bucket;
  readonly #place: Place;
  readonly #sendsByItself: boolean;
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
    if (this.#sendsByItself) await this.sync();
    await this.#last.catch(() => undefined);
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
    const whole = this.#joined();
    const { id, parts } = upload;
    const part = whole.subarray(0, partBytes);
    parts.push(await this.#bucket.send(this.#place, id, parts.length + 1, part));
    this.#rest = [whole.subarray(partBytes)];
    this.#restBytes -= part.length;
  }

  /** The upload that is under way, which begins with what S3 has. */
  async #uploading(): Promise<Upload> {
    if (this.#upload !== null) return this.#upload;
    const upload: Upload = { id: await this.#bucket.begin(this.#place), parts: [] };
    if (this.#builtBytes > 0) {
      upload.parts.push(await this.#bucket.reuse(this.#place, upload.id, 1, this.#builtBytes));
    }
    this.#upload = upload;
    return upload;
  }

  async #send(): Promise<void> {
    if (!this.#isUnsent) return;
    if (this.#upload === null && this.#builtBytes === 0) {
      this.#etag = await this.#bucket.put(this.#place, this.#joined(), { etag: this.#etag });
    } else if (this.#upload !== null || this.#restBytes > 0) {
      const { id, parts } = await this.#uploading();
      const rest = this.#joined();
      const last = await this.#bucket.send(this.#place, id, parts.length + 1, rest);
      this.#etag = await this.#bucket.complete(this.#place, id, [...parts, last], this.#etag);
      this.#builtBytes = await this.#sizeNow();
      this.#upload = null;
      this.#rest = [];
      this.#restBytes = 0;
    }
    this.#isUnsent = false;
  }

  async #sizeNow(): Promise<number> {
    return (await this.#bucket.facts(this.#place)).bytes;
  }
}

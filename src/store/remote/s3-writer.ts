/**
 * A file that is written into a bucket. Up to 8 MiB it is kept here and sent whole each time; what
 * is larger goes up in parts, and once S3 has put those together, what is added later makes another
 * object of that one and the rest.
 *
 * Invariant: what `sync` has resolved on is in the object; until then readers meet the object as it
 * was at the last one. An upload that no object has come of is given up when the file is closed, as
 * S3 would keep its parts, and charge for them, without end.
 *
 * What was written stays here until S3 has it, however often sending fails; while it does, no more
 * is taken in. Where the object turns out to be another's, this writer stays refused: it has no
 * place in a file that somebody else goes on with.
 */
import { randomUUID } from "node:crypto";
import { PacelineError } from "../../errors.js";
import type { WritableFile } from "../files.js";
import { type Bucket, type Place, type SentPart, writtenByAnother } from "./s3-bucket.js";

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
  /** True where there was no object, and one that is there by now is another's. */
  #isNew = false;
  #isUnsent = true;
  #unsentBytes = 0;
  #last: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;
  /** True where what was taken in could not be sent, and waits here. */
  #isBehind = false;
  #isClosed = false;
  #refusal: PacelineError | null = null;

  /** @param sendsByItself has what was written sent a second later, as a log's readers want. */
  constructor(bucket: Bucket, place: Place, { sendsByItself = false } = {}) {
    this.#bucket = bucket;
    this.#place = place;
    this.#sendsByItself = sendsByItself;
  }

  /** Keeps the first bytes of the object that is there; none where there is no object. */
  async keep(bytes: number): Promise<void> {
    const present = await this.#bucket.present(this.#place);
    this.#isNew = present === null;
    this.#etag = present?.etag ?? null;
    if (bytes === 0) return;
    const etag = this.#etag ?? "";
    this.#isUnsent = false;
    if (bytes > partBytes) this.#builtBytes = bytes;
    else this.#add(Buffer.from(await this.#bucket.get(this.#place, { position: 0, bytes, etag })));
  }

  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  write(bytes: Uint8Array): Promise<void> {
    // The caller may change them once this resolves.
    const kept = Buffer.from(bytes);
    return this.#after(async () => {
      if (this.#isBehind) await this.#send();
      this.#add(kept);
      this.#isUnsent = true;
      this.#unsentBytes += kept.length;
      if (!this.#sendsByItself) return this.#sendParts();
      await this.#sendParts().catch(() => {
        this.#isBehind = true;
      });
      this.#sendLater();
    });
  }

  sync(): Promise<void> {
    return this.#after(() => this.#send());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
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

  /** One thing after the other. */
  #after(action: () => Promise<void>): Promise<void> {
    const done = this.#last.catch(() => undefined).then(action);
    this.#last = done;
    done.catch(() => undefined);
    return done;
  }

  #sendLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#after(() => this.#send()).catch(() => {
        if (this.#refusal === null && !this.#isClosed) this.#sendLater();
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

  async #sendParts(): Promise<void> {
    while (this.#restBytes > partBytes) await this.#knowing(() => this.#sendPart());
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
    this.#isBehind = true;
    await this.#sendParts();
    await this.#knowing(() => this.#sendRest());
    this.#isNew = false;
    this.#isUnsent = false;
    this.#unsentBytes = 0;
    this.#isBehind = false;
  }

  async #sendRest(): Promise<void> {
    if (this.#upload === null && this.#builtBytes === 0) {
      const condition = { isNew: this.#isNew, etag: this.#etag, writer: this.#id };
      const etag = await this.#bucket.put(this.#place, this.#joined(), condition);
      if (etag === null) throw writtenByAnother(this.#place);
      this.#etag = etag;
    } else if (this.#upload !== null || this.#restBytes > 0) {
      await this.#complete(await this.#uploading());
    }
  }

  /**
   * Sends something. The answer to an earlier request may be lost: what S3 refuses is sent once
   * more where the object is this writer's own, with what is now known of it.
   */
  async #knowing(send: () => Promise<void>): Promise<void> {
    if (this.#refusal !== null) throw this.#refusal;
    try {
      await send();
    } catch (thrown) {
      if (!isOfAnotherState(thrown)) throw thrown;
      const isOurs = await this.#look();
      if (isOurs) return send();
      if (statusOf(thrown) === 412) this.#refusal = writtenByAnother(this.#place, thrown);
      throw this.#refusal ?? thrown;
    }
  }

  /** Goes on from the object as it is; false where it is not this writer's. */
  async #look(): Promise<boolean> {
    const present = await this.#bucket.present(this.#place);
    if (present?.writer !== this.#id) return false;
    this.#etag = present.etag;
    this.#isNew = false;
    const inParts = this.#upload?.bytes ?? this.#builtBytes;
    const further = present.bytes - inParts;
    // The parts are in the object, which an upload has become whose completion was not told.
    if (this.#upload === null || further <= 0 || further > this.#restBytes) return true;
    this.#upload = null;
    this.#builtBytes = present.bytes;
    this.#rest = [this.#joined().subarray(further)];
    this.#restBytes -= further;
    return true;
  }

  async #complete({ id, parts, bytes }: Upload): Promise<void> {
    const rest = this.#joined();
    // None of the parts before it may be so small: it is the last only once the object is there.
    const last = await this.#bucket.send(this.#place, id, parts.length + 1, rest);
    const condition = { isNew: this.#isNew, etag: this.#etag };
    this.#etag = await this.#bucket.complete(this.#place, id, [...parts, last], condition);
    this.#builtBytes = bytes + rest.length;
    this.#upload = null;
    this.#rest = [];
    this.#restBytes = 0;
  }
}

/** True for 404 and 412: the object, or the upload, is not what it was taken for. */
function isOfAnotherState(thrown: unknown): boolean {
  const status = statusOf(thrown);
  return status === 412 || status === 404;
}

function statusOf(thrown: unknown): number | null {
  return thrown instanceof PacelineError ? (thrown.details.status as number | null) : null;
}

/**
 * Runs in a bucket of S3, or of any store that speaks its API: the verbs that the store needs of a
 * disk, on objects named as files are. A folder is what its objects' names begin with, and an
 * empty object of its name with a slash.
 *
 * What a disk does in one step and S3 does not:
 * - A folder is renamed object by object, `manifest.json` last: a checkpoint without it is none.
 * - A file grows as an object is written anew; one above 8 MiB is put together by S3 from what it
 *   has and what is added. What was appended is sent a second later without being asked for.
 *
 * Invariant: of two processes that write one file the second to send finds that the object is
 * another's, and fails; so does the making of what must not exist.
 */
import { posix } from "node:path";
import { PacelineError } from "../../errors.js";
import type { Files, ReadableFile, WritableFile } from "../files.js";
import { type Bucket, bucketOf, type Place, placeOf } from "./s3-bucket.js";
import { ObjectWriter } from "./s3-writer.js";

/** The files of all buckets. */
export function s3Files(connect: () => Promise<Bucket> = bucketOf): Files {
  let opened: Promise<Bucket> | null = null;
  const bucket = (): Promise<Bucket> => {
    opened ??= connect();
    return opened;
  };
  return {
    makeFolder: async (path) => {
      await (await bucket()).put(folderAt(path), Buffer.alloc(0));
    },
    claimFolder: async (path) => {
      const store = await bucket();
      if ((await store.names(placeOf(path))) !== null) return false;
      return (await store.put(folderAt(path), Buffer.alloc(0), { isNew: true })) !== null;
    },
    claimFile: async (path, text) => {
      const etag = await (await bucket()).put(placeOf(path), Buffer.from(text), { isNew: true });
      return etag !== null;
    },
    list: async (path) => (await bucket()).names(placeOf(path)),
    rename: async (from, to) => renameAll(await bucket(), placeOf(from), placeOf(to)),
    remove: async (path) => {
      const store = await bucket();
      const place = placeOf(path);
      const keys = await store.keysBelow(place);
      await each([place.Key, ...keys], (Key) => store.remove({ ...place, Key }));
      await abortBelow(store, place);
    },
    // What S3 has answered is durable, names included.
    syncFolder: async () => {},
    create: async (path) => new ObjectWriter(await bucket(), placeOf(path)),
    append: async (path, bytes) => appended(await bucket(), path, bytes),
    openFile: async (path) => readable(await bucket(), path),
  };
}

function folderAt(path: string): Place {
  const { Bucket: bucket, Key: key } = placeOf(path);
  return { Bucket: bucket, Key: `${key}/` };
}

/**
 * A process that was killed leaves the parts of what it was sending. Not everyone may list them,
 * and what has no name any more does no harm to a run: where this fails it is left.
 */
async function abortBelow(store: Bucket, place: Place): Promise<void> {
  try {
    const uploads = await store.uploadsBelow(place);
    await each(uploads, ({ id, ...of }) => store.abort(of, id));
  } catch (thrown) {
    if (!(thrown instanceof PacelineError)) throw thrown;
  }
}

async function appended(bucket: Bucket, path: string, bytes: number): Promise<WritableFile> {
  const writer = new ObjectWriter(bucket, placeOf(path), { sendsByItself: true });
  await writer.keep(bytes);
  return writer;
}

async function readable(bucket: Bucket, path: string): Promise<ReadableFile> {
  const place = placeOf(path);
  const { bytes, etag } = await bucket.facts(place);
  return {
    bytes,
    read: async (into, position) => {
      if (into.byteLength === 0) return;
      const found = await bucket.get(place, { position, bytes: into.byteLength, etag });
      into.set(found);
    },
    close: async () => {},
  };
}

/** How many objects are copied or removed at a time. */
const atOnce = 8;

async function renameAll(bucket: Bucket, from: Place, to: Place): Promise<void> {
  const keys = await bucket.keysBelow(from);
  if (keys.length === 0) {
    await bucket.copy(from, to);
    await bucket.remove(from);
    return;
  }
  const isLast = (key: string) => posix.basename(key) === "manifest.json";
  const copy = async (key: string) => {
    const target = `${to.Key}${key.slice(from.Key.length)}`;
    await bucket.copy({ ...from, Key: key }, { ...to, Key: target });
  };
  await each(
    keys.filter((key) => !isLast(key)),
    copy,
  );
  await each(keys.filter(isLast), copy);
  // The other way round: what is left of one that is half gone must not look whole.
  await each(keys.filter(isLast), (Key) => bucket.remove({ ...from, Key }));
  await each(
    keys.filter((key) => !isLast(key)),
    (Key) => bucket.remove({ ...from, Key }),
  );
}

async function each<T>(those: readonly T[], action: (one: T) => Promise<unknown>) {
  for (let first = 0; first < those.length; first += atOnce) {
    await Promise.all(those.slice(first, first + atOnce).map(action));
  }
}

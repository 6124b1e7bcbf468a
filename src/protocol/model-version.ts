/**
 * The name of one version of a whole model: how many updates its least updated chunk has had, and a
 * digest of the versions of all chunks, as in `313-9f3c21aa`. Two names are equal where every chunk
 * has had as many updates; within one run that is the same model, bit for bit.
 *
 * The digest is FNV-1a over the versions in the order of the chunks, each as eight little-endian
 * bytes.
 */

/** Names the model whose chunks have these versions. */
export function modelVersion(versions: readonly number[]): string {
  return `${updatesOfAll(versions)}-${digestOf(versions).toString(16).padStart(8, "0")}`;
}

/** Updates that every chunk has had. */
export function updatesOfAll(versions: readonly number[]): number {
  return versions.length === 0 ? 0 : versions.reduce((least, one) => Math.min(least, one));
}

function digestOf(versions: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const version of versions) {
    for (const half of [version % 0x100000000, Math.floor(version / 0x100000000)]) {
      for (let shift = 0; shift < 32; shift += 8) {
        hash = Math.imul(hash ^ ((half >>> shift) & 255), 0x01000193);
      }
    }
  }
  return hash >>> 0;
}

/**
 * A checkpoint joins those of its run: it is written, what the run has given up is moved away, and
 * as many stay as are to be kept.
 *
 * Invariant: what is moved away was there before this one was begun. A checkpoint of a later step
 * that comes meanwhile is of another coordinator, which goes on with the run.
 */
import { PacelineError } from "../../errors.js";
import { diskFiles, type Files } from "../files.js";
import { type CheckpointContent, writeCheckpoint } from "./checkpoint.js";
import { laterCheckpoints, pruneCheckpoints, retireCheckpoints } from "./checkpoint-folder.js";

/**
 * Writes it and removes those beyond `keep`; what can't be moved or removed stays. Resolves to its
 * path.
 */
export async function addCheckpoint(
  runDirectory: string,
  content: CheckpointContent,
  keep: number,
  files: Files = diskFiles,
): Promise<string> {
  const givenUp = await laterCheckpoints(runDirectory, content.facts.globalStep, files);
  const written = await writeCheckpoint(runDirectory, content, files);
  try {
    await retireCheckpoints(runDirectory, givenUp, files);
    await pruneCheckpoints(runDirectory, keep, files);
  } catch (thrown) {
    // The checkpoint is there, and the next one tries again.
    if (!(thrown instanceof PacelineError)) throw thrown;
  }
  return written;
}

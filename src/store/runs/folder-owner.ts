/** What the lock of a folder says. Loaded when there is one to read: zod takes a while to load. */
import { z } from "zod";

/** Who writes into a folder. */
export interface FolderOwner {
  readonly pid: number;
  readonly host: string;
  /** Tells it apart from others that had the same pid; null where the platform does not tell. */
  readonly start: string | null;
  /** ISO 8601. */
  readonly since: string;
}

/** The content of the lock's file. */
export const ownerForm = z.object({
  pid: z.int().positive(),
  host: z.string(),
  start: z.string().nullable(),
  since: z.string(),
});

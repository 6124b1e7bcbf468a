/**
 * The files of a folder that several processes may write, one of which leads: what takes a name
 * away or gives it to something else is asked for first. One that slept, and still believes that it
 * leads, so changes nothing that others rely on; what it writes aside has a name of its own.
 *
 * No file system takes the question and the change as one: who is put to sleep between the two does
 * one change more.
 */
import { aroundFiles, type Files } from "./files.js";

const changesNames = /^(rename|remove)/;

/** The same files; `confirm` rejects where this process does not lead, if several may. */
export function ledFiles(files: Files, confirm: (() => Promise<void>) | undefined): Files {
  if (confirm === undefined) return files;
  return aroundFiles(files, async (verb, _path, action) => {
    if (changesNames.test(verb)) await confirm();
    return action();
  });
}

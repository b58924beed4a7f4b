/**
 * What went wrong, in words that say what to do next.
 *
 * Holds: a sentence for each error of the store that a reader can meet, and the way on. Must not know: where
 * it is shown.
 */
import { ChatStoreError, type ErrorCode } from 'chatstore';

/** `retry` = the same once more, `reload` = the page anew, `copy` = save a copy. */
type WayOn = 'retry' | 'reload' | 'copy' | 'none';

export interface Words {
  text: string;
  way: WayOn;
  /** For those who want to look it up. */
  code: string | null;
}

const known: Partial<Record<ErrorCode, [text: string, way: WayOn]>> = {
  DISK_FULL: [
    'There is no room left on this device for this page. Delete chats that you do not need, or free some room, then try again. Nothing that was saved is lost.',
    'retry',
  ],
  OUT_OF_MEMORY: ['The browser has no memory left for this. Close other tabs, then try again.', 'retry'],
  VERSION_MISMATCH: [
    'Another tab runs another version of this page. Reload this one, and the other if it stays.',
    'reload',
  ],
  SCHEMA_TOO_NEW: ['These chats were saved by a newer version of this page. Reload to get it.', 'reload'],
  LEADER_UNRESPONSIVE: [
    'The tab that keeps the file does not answer. Try again; if it stays so, close other tabs of this page.',
    'retry',
  ],
  OWNER_UNRESPONSIVE: [
    'The tab that keeps the file does not answer. Try again; if it stays so, close other tabs of this page.',
    'retry',
  ],
  STORE_LOCKED: ['Another tab has the chats open and does not share them. Close it, then try again.', 'retry'],
  LOCKED_ELSEWHERE: ['Another tab has the chats open and does not share them. Close it, then try again.', 'retry'],
  STORE_CLOSED: ['The chats are closed in this tab. Reload the page to open them again.', 'reload'],
  TIMEOUT: ['That took too long and was given up. Try again.', 'retry'],
  BUSY: ['The store is busy. Try again in a moment.', 'retry'],
  POOL_EXHAUSTED: ['Too much is being read at once. Try again in a moment.', 'retry'],
  IO_ERROR: ['The browser could not read or write the file. Try again; if it stays so, reload the page.', 'retry'],
  CORRUPT: [
    'The file is damaged. Nothing was deleted: what can be read is still shown. Save a copy before anything else.',
    'copy',
  ],
  CHECKSUM_MISMATCH: [
    'A part of the file is not as it was written. What can be read is still shown. Save a copy before anything else.',
    'copy',
  ],
  NOT_A_STORE: ['This file holds no chats of this kind. Choose a .sqlite file that was saved from here.', 'none'],
  FOREIGN_ACCESS: ['Something else has changed the file meanwhile. Reload the page.', 'reload'],
  READ_ONLY: ['The file can be read, but not written to. Save a copy, then reload the page.', 'copy'],
  NOT_FOUND: ['It is not there any more. It may have been deleted in another tab.', 'none'],
  TOO_LARGE: ['That is too long to be kept as one piece. Make it shorter.', 'none'],
  UNSUPPORTED: ['This browser lacks something that is needed for this.', 'none'],
};

export function inWords(error: unknown): Words {
  const code = codeOf(error);
  const found = code === null ? undefined : known[code];
  if (found !== undefined) return { text: found[0], way: found[1], code };
  return { text: error instanceof Error ? error.message : String(error), way: 'retry', code };
}

export const codeOf = (error: unknown): ErrorCode | null => (error instanceof ChatStoreError ? error.code : null);

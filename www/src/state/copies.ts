/**
 * Copies of everything as a file: saving one, loading one.
 *
 * Holds: the browser's ways to write and read a file. Must not know: what is in it.
 */
import { go, home } from './route';
import { theStore } from './store';
import { attempt, dismiss, tell, update } from './toasts';
import { size } from './sizes';

declare global {
  interface Window {
    /** Not in every browser, and not in the types. */
    showSaveFilePicker?: (options: {
      suggestedName: string;
      types: { description: string; accept: Record<string, string[]> }[];
    }) => Promise<FileSystemFileHandle>;
  }
}

const MEDIA_TYPE = 'application/vnd.sqlite3';

export function saveCopy(): void {
  attempt(async () => {
    const name = `chats-${new Date().toISOString().slice(0, 10)}.sqlite`;
    const pick = window.showSaveFilePicker;
    if (pick === undefined) {
      await download(name);
      return;
    }
    let handle: FileSystemFileHandle;
    try {
      const types = [{ description: 'SQLite file', accept: { [MEDIA_TYPE]: ['.sqlite'] } }];
      handle = await pick.call(window, { suggestedName: name, types });
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') return;
      // Not allowed here, in a frame for instance.
      await download(name);
      return;
    }
    await write(await handle.createWritable(), handle.name);
  });
}

/** Where the browser does not let a page write a file: gathered, then given as a download. */
async function download(name: string): Promise<void> {
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  const gathered = new Response(readable, { headers: { 'content-type': MEDIA_TYPE } }).blob();
  await Promise.all([write(writable, name), gathered]);
  const address = URL.createObjectURL(await gathered);
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 60_000);
}

async function write(target: WritableStream, name: string): Promise<void> {
  const toast = tell('Saving a copy…', { progress: 0 });
  try {
    const { sizeBytes } = await theStore().backup(target, {
      onProgress: ({ done, expected }) => {
        update(toast, { progress: expected === 0 ? 0 : done / expected });
      },
    });
    tell(`Saved as ${name}, ${size(sizeBytes)}. Any SQLite tool opens it.`);
  } finally {
    dismiss(toast);
  }
}

const taskWords: Record<string, string> = {
  send: 'Reading the file…',
  check: 'Checking the file…',
  keep: 'Keeping what was here…',
};

/** Puts the chats of a file in place of those that are here; those are kept aside. */
export function loadCopy(file: File): void {
  attempt(async () => {
    const toast = tell(`Loading ${file.name}…`, { progress: 0 });
    try {
      const { keptPath } = await theStore().replaceWith(file, {
        onProgress: ({ task, done, expected }) => {
          const progress = expected === 0 ? done / file.size : done / expected;
          update(toast, { text: taskWords[task] ?? 'Putting it in place…', progress: Math.min(1, progress) });
        },
      });
      go(home);
      tell(
        keptPath === null
          ? `The chats of ${file.name} are here now.`
          : `The chats of ${file.name} are here now. Those from before are kept in this browser as ${keptPath}.`,
      );
    } finally {
      dismiss(toast);
    }
  });
}

/** Asks for a file. */
export function chooseFile(onChosen: (file: File) => void): void {
  const input = document.createElement('input');
  input.type = 'file';
  input.accept = '.sqlite,.sqlite3,.db';
  input.addEventListener('change', () => {
    const file = input.files?.[0];
    if (file !== undefined) onChosen(file);
  });
  input.click();
}

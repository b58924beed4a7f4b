/** The files of a store in a browser, over a file system that fails: what the core calls never throws. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importSource } from './support.mjs';

const { StoreFiles, removeFolder } = await importSource('js/browser/files.ts');

/** A folder whose files are sizes; all of them fail to be cut to nothing. */
function folder(open) {
  const entry = (name) => ({
    createSyncAccessHandle: async () => {
      let bytes = 0;
      open.add(name);
      return {
        close: () => open.delete(name),
        getSize: () => bytes,
        truncate: (size) => {
          if (size === 0) throw new DOMException('the disk fails', 'InvalidStateError');
          bytes = size;
        },
      };
    },
  });
  return {
    getDirectoryHandle: async () => folder(open),
    getFileHandle: async (name) => entry(name),
    keys: async function* () {},
  };
}

function withRoot(t, root) {
  const { navigator } = globalThis;
  const set = (value) => Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
  set({ storage: { getDirectory: async () => root } });
  t.after(() => set(navigator));
}

test('room that cannot be given back is no failure for the core, which could not catch it', async (t) => {
  const open = new Set();
  withRoot(t, folder(open));
  const files = await StoreFiles.open('chats');
  await files.tidy();
  assert.equal(files.reserve.hold(), true);
  files.reserve.release();
  assert.equal(files.reserve.hold(), false, 'its file is closed, and not open anew yet');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(files.reserve.hold(), true);
  files.close();
  assert.deepEqual([...open], []);
});

test('a store is removed as soon as a worker that has ended has let its files go', async (t) => {
  let tries = 0;
  const stores = {
    removeEntry: async () => {
      if (++tries < 4) throw new DOMException('it is open', 'NoModificationAllowedError');
    },
  };
  withRoot(t, { getDirectoryHandle: async () => stores });
  await removeFolder('chats');
  assert.equal(tries, 4);
});

/** The files of a store in a browser, over a file system that fails: what the core calls never throws. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importSource } from './support.mjs';

const { StoreFiles } = await importSource('js/browser/files.ts');

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

test('room that cannot be given back is no failure for the core, which could not catch it', async (t) => {
  const open = new Set();
  const { navigator } = globalThis;
  const storage = { getDirectory: async () => folder(open) };
  Object.defineProperty(globalThis, 'navigator', { value: { storage }, configurable: true });
  t.after(() => Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true }));
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

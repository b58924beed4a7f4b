/** The page's side of the package where there is no page: a program that renders on a server imports it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runModule } from '../../js/support.mjs';

test('importing the script of the page in Node opens nothing and holds up nobody', { timeout: 30_000 }, async () => {
  const { lines, errors, code } = await runModule(`
    import { ChatStore, ChatStoreError } from './dist/browser.js';
    console.log(typeof ChatStore.open, new ChatStoreError('TIMEOUT', 'late').name);
  `);
  // It has ended by itself.
  assert.deepEqual([lines, errors, code], [['function ChatStoreError'], '', 0]);
});

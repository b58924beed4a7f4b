/** The package in WebKitGTK, whose pages have no file system: a store in memory that says so and does the rest. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as node from 'chatstore';
import { rejection, temporaryFolder } from '../../js/support.mjs';
import * as contents from '../support/contents.js';
import { startServer } from '../support/server.mjs';
import { startWebKitGtk, webkitgtk } from '../support/webdriver.mjs';

const timeout = 60_000;
const skip =
  webkitgtk() === undefined &&
  'this machine lacks WebKitGTK, its driver or Xvfb (on Debian: webkit2gtk-driver and xvfb)';

test('WebKitGTK keeps a store in memory, says why, and does all but keep it', { timeout, skip }, async () => {
  const server = await startServer();
  const browser = await startWebKitGtk();
  const tab = await browser.tab(server.page());
  const written = await tab.run(async ({ ChatStore, fill, contentsOf }) => {
    const events = [];
    const store = await ChatStore.open('webkit', { onEvent: (event) => events.push(event.type) });
    await fill(store);
    const { ok, problems } = await store.verify();
    const hits = (await store.search('train')).items.length;
    const pieces = [];
    await store.backup(
      new WritableStream({
        write: (piece) => {
          pieces.push(piece.slice());
        },
      }),
    );
    await fetch('/files/webkit', { method: 'PUT', body: new Blob(pieces) });
    const found = { contents: await contentsOf(store), info: store.info, persisted: await store.persist() };
    await store.close();
    return { ...found, events, ok, problems, hits, listed: await ChatStore.list() };
  });
  assert.deepEqual(written.problems, []);
  assert.equal(written.ok, true);
  assert.equal(written.hits, 50);
  assert.deepEqual([written.info.ephemeral, written.info.backend, written.persisted], [true, 'memory', false]);
  assert.deepEqual(written.events, ['ephemeral']);
  assert.deepEqual(written.listed, []);

  // What is taken out of it opens elsewhere, with all its rows.
  const path = join(temporaryFolder(), 'webkit.sqlite');
  writeFileSync(path, server.files.get('webkit'));
  const store = await node.ChatStore.open(path);
  assert.deepEqual(await contents.contentsOf(store), written.contents);
  await store.close();

  const error = await rejection(
    tab.run(async ({ ChatStore }) => {
      const again = await ChatStore.open('webkit');
      await again.sessions.create({ id: 's' });
      await again.sessions.create({ id: 's' });
    }),
  );
  assert.deepEqual([error.is_ours, error.code], [true, 'CONSTRAINT_UNIQUE']);
  await browser.close();
});

/**
 * What the package promises in a page, whichever browser it is: each browser's test file runs these.
 *
 * Holds: tests of one tab, or of two where nothing is closed or killed. Must not know: which browser it
 * is, or how it is driven.
 */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as node from 'chatstore';
import { rejection, temporaryFolder } from '../../js/support.mjs';
import * as contents from './contents.js';

/** For each test, opening included; what waits longer than this hangs. */
const timeout = 90_000;

/** Runs the tests in a browser that is there already; `start` starts another on a profile. */
export function coreTests({ browser, server, start }) {
  /** A test with a tab of its own, which is closed at its end. */
  const inTab = (name, run, { build = 'dist' } = {}) =>
    test(name, { timeout }, async (t) => {
      const tab = await browser.tab(server.page(build));
      await run(tab, t);
      await tab.close();
    });

  inTab('what was written is there after a reload, and opened again', async (tab) => {
    const written = await tab.run(async ({ ChatStore, fill, contentsOf }) => {
      const store = await ChatStore.open('reload');
      await fill(store);
      return contentsOf(store);
    });
    assert.equal(written.messages.length, 304);
    await tab.reload();
    const read = await tab.run(async ({ ChatStore, contentsOf }) => {
      const store = await ChatStore.open('reload');
      const { ok, problems } = await store.verify();
      const [hit] = (await store.search('train')).items;
      const found = { contents: await contentsOf(store), ok, problems, role: typeof hit?.snippet, info: store.info };
      await store.close();
      return found;
    });
    assert.deepEqual(read.problems, []);
    assert.equal(read.ok, true);
    assert.deepEqual(read.contents, written);
    assert.equal(read.role, 'string');
    assert.equal(read.info.ephemeral, false);
    assert.equal(read.info.durability, 'strict');
  });

  inTab('two handles in one page have one host, and closing one leaves the other', async (tab) => {
    const found = await tab.run(async ({ ChatStore }) => {
      const [one, two] = await Promise.all([ChatStore.open('handles'), ChatStore.open('handles')]);
      await one.sessions.create({ id: 'of one' });
      await two.sessions.create({ id: 'of two' });
      const seen = [(await two.sessions.get('of one'))?.id, (await one.sessions.get('of two'))?.id];
      await one.close();
      const closed = await one.sessions.get('of two').catch((error) => error.code);
      await two.sessions.create({ id: 'after' });
      const left = (await two.sessions.list()).items.length;
      await two.close();
      return { seen, closed, left };
    });
    assert.deepEqual(found, { seen: ['of one', 'of two'], closed: 'STORE_CLOSED', left: 3 });
  });

  test('two tabs write to one store and read what the other wrote', { timeout }, async () => {
    const tabs = [await browser.tab(server.page()), await browser.tab(server.page())];
    for (const [i, tab] of tabs.entries()) {
      await tab.run(async ({ ChatStore, state }, name) => {
        state.store = await ChatStore.open('two tabs');
        await state.store.sessions.create({ id: name, title: `by ${name}` });
        await state.store.messages.add({ sessionId: name, role: 'user', content: `hello from ${name}` });
      }, `tab ${i}`);
    }
    for (const tab of tabs) {
      const titles = await tab.run(async ({ state }) =>
        (await state.store.sessions.list()).items.map((session) => session.title).toSorted(),
      );
      assert.deepEqual(titles, ['by tab 0', 'by tab 1']);
      const hits = await tab.run(async ({ state }) => (await state.store.search('hello')).items.length);
      assert.equal(hits, 2);
    }
    const roles = await Promise.all(tabs.map((tab) => tab.run(({ state }) => state.store.info.role)));
    assert.equal(new Set(roles).size, 2, `one leads, the other is its client: ${roles.join()}`);
    for (const tab of tabs) await tab.close();
  });

  test(
    'while a tab has a store open for reading only, another one reads, and writes when it is closed',
    { timeout },
    async () => {
      const [reader, other] = [await browser.tab(server.page()), await browser.tab(server.page())];
      await reader.run(async ({ ChatStore, state }) => {
        const store = await ChatStore.open('read by two');
        await store.sessions.create({ id: 's' });
        await store.close();
        state.store = await ChatStore.open('read by two', { readOnly: true });
      });
      const found = await other.run(async ({ ChatStore, state }) => {
        state.store = await ChatStore.open('read by two');
        const { id } = await state.store.sessions.get('s');
        const { code } = await state.store.sessions.create({ id: 'new' }).catch((error) => error);
        return { id, code };
      });
      assert.deepEqual(found, { id: 's', code: 'READ_ONLY' });
      await reader.run(({ state }) => state.store.close());
      assert.equal(await other.run(async ({ state }) => (await state.store.sessions.create({ id: 'new' })).id), 'new');
      for (const tab of [reader, other]) await tab.close();
    },
  );

  for (const kind of ['Uint8Array', 'Blob', 'ReadableStream']) {
    inTab(`a store made in Node opens in the browser, taken from a ${kind}`, async (tab) => {
      const path = join(temporaryFolder(), 'a.sqlite');
      const store = await node.ChatStore.open(path);
      await contents.fill(store);
      const written = await contents.contentsOf(store);
      await store.backup({ path: `${path}.copy` });
      await store.close();
      server.files.set('from-node', readFileSync(`${path}.copy`));
      const read = await tab.run(async ({ ChatStore, contentsOf }, wanted) => {
        const target = await ChatStore.open(`from node, ${wanted}`);
        await target.sessions.create({ id: 'to be replaced' });
        const blob = await (await fetch('/files/from-node')).blob();
        const sources = {
          Uint8Array: async () => new Uint8Array(await blob.arrayBuffer()),
          Blob: () => blob,
          ReadableStream: () => blob.stream(),
        };
        await target.replaceWith(await sources[wanted]());
        const { ok, problems } = await target.verify();
        const found = { contents: await contentsOf(target), ok, problems };
        await target.close();
        // And once more, from the file that was made.
        const again = await ChatStore.open(`from node, ${wanted}`);
        found.again = await contentsOf(again);
        await again.close();
        return found;
      }, kind);
      assert.deepEqual(read.problems, []);
      assert.equal(read.ok, true);
      assert.deepEqual(read.contents, written);
      assert.deepEqual(read.again, written);
    });
  }

  inTab('a store made in the browser opens in Node with all its rows', async (tab) => {
    const written = await tab.run(async ({ ChatStore, fill, contentsOf }) => {
      const store = await ChatStore.open('to node');
      await fill(store);
      const pieces = [];
      const { sizeBytes } = await store.backup(
        new WritableStream({
          write: (piece) => {
            pieces.push(piece.slice());
          },
        }),
      );
      const blob = new Blob(pieces);
      await fetch('/files/to-node', { method: 'PUT', body: blob });
      const found = { contents: await contentsOf(store), sizeBytes, size_bytes: blob.size };
      await store.close();
      return found;
    });
    assert.equal(written.sizeBytes, written.size_bytes);
    const path = join(temporaryFolder(), 'b.sqlite');
    writeFileSync(path, server.files.get('to-node'));
    const store = await node.ChatStore.open(path);
    const { ok, problems } = await store.verify();
    assert.deepEqual(problems, []);
    assert.equal(ok, true);
    assert.deepEqual(await contents.contentsOf(store), written.contents);
    await store.close();
  });

  inTab(
    'errors arrive as ChatStoreError with their code and details, from the worker and from the page',
    async (tab) => {
      const found = await tab.run(async ({ ChatStore, ChatStoreError }) => {
        const store = await ChatStore.open('errors');
        await store.bots.create({ name: 'Ada' });
        const errors = await Promise.all(
          [
            store.bots.create({ name: 'Ada' }),
            store.messages.add({ sessionId: 'nobody', role: 'user', content: 'x' }),
            store.messages.list({ sessionId: 's', limt: 10 }),
            store.query('DELETE FROM bots'),
            store.query('SELEC 1'),
          ].map((call) =>
            call.then(
              () => 'no error',
              (error) => [
                error instanceof ChatStoreError,
                error.code,
                error.details.table ?? error.details.argument ?? null,
              ],
            ),
          ),
        );
        await store.close();
        return errors;
      });
      assert.deepEqual(found, [
        [true, 'CONSTRAINT_UNIQUE', 'bots'],
        [true, 'CONSTRAINT_FOREIGN_KEY', 'messages'],
        [true, 'INVALID_ARGUMENT', 'limt'],
        [true, 'QUERY_NOT_ALLOWED', null],
        [true, 'INVALID_SQL', null],
      ]);
    },
  );

  inTab('a call ends by its timeoutMs and by its signal, and nothing of it is stored', async (tab) => {
    const found = await tab.run(async ({ ChatStore }) => {
      const store = await ChatStore.open('patience');
      await store.sessions.create({ id: 's' });
      const message = { sessionId: 's', role: 'user', content: 'too late' };
      const errors = await store.transaction(async (tx) => {
        await tx.messages.add({ sessionId: 's', role: 'user', content: 'in time' });
        const stop = new AbortController();
        const ended = Promise.allSettled([
          store.messages.add(message, { timeoutMs: 100 }),
          store.messages.add(message, { signal: stop.signal }),
          store.messages.add(message, { signal: AbortSignal.abort() }),
        ]);
        stop.abort();
        return (await ended).map(({ reason }) => [reason?.code, ['not-applied', 'unknown'].includes(reason?.outcome)]);
      });
      const stored = (await store.messages.list({ sessionId: 's' })).items.map((each) => each.content);
      await store.close();
      return { errors, stored };
    });
    assert.deepEqual(found, {
      errors: [
        ['TIMEOUT', true],
        ['ABORTED', true],
        ['ABORTED', true],
      ],
      stored: ['in time'],
    });
  });

  inTab('importing the package starts no worker, loads no wasm and makes no folder', async (tab) => {
    const found = await tab.run(async () => {
      const loaded = performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname);
      const locks = (await navigator.locks.query()).held ?? [];
      return { loaded, locks: locks.length };
    });
    assert.ok(found.loaded.includes('/builds/dist/browser.js'), 'the package itself was loaded');
    assert.deepEqual(
      found.loaded.filter((path) => /worker|wasm/.test(path)),
      [],
    );
    assert.equal(found.locks, 0);
  });

  inTab(
    'without OPFS a store is in memory, says so, and does all but last',
    async (tab) => {
      const use = async ({ ChatStore, fill, contentsOf }) => {
        const store = await ChatStore.open('no opfs');
        const before = (await store.sessions.list({ limit: 5 })).items.length;
        await fill(store, 50);
        const found = { before, info: store.info, messages: (await contentsOf(store)).messages.length };
        await store.close();
        return found;
      };
      const first = await tab.run(use);
      assert.equal(first.info.ephemeral, true);
      assert.equal(first.info.backend, 'memory');
      assert.equal(first.messages, 54);
      await tab.reload();
      assert.equal((await tab.run(use)).before, 0);
    },
    { build: 'without-opfs' },
  );

  inTab('stores are listed by their names and destroyed for good, but not while one is open', async (tab) => {
    const found = await tab.run(async ({ ChatStore }) => {
      const names = ['plain', 'with / slash', 'ünïcode \u{1f642}', '..', 'a%2Fb', 'UPPER', 'upper'];
      const ours = async () =>
        (await ChatStore.list())
          .map(({ name }) => name)
          .filter((name) => names.includes(name))
          .toSorted();
      for (const name of names) {
        const store = await ChatStore.open(name);
        await store.sessions.create({ id: 's', title: name });
        await store.close();
      }
      const all = await ours();
      const titles = [];
      for (const name of names) {
        const store = await ChatStore.open(name);
        titles.push((await store.sessions.get('s')).title);
        if (name === 'plain') titles.push(await ChatStore.destroy(name).catch((error) => error.code));
        await store.close();
      }
      for (const name of names) await ChatStore.destroy(name);
      await ChatStore.destroy('there is none');
      const store = await ChatStore.open('plain');
      const left = (await store.sessions.list()).items.length;
      await store.close();
      await ChatStore.destroy('plain');
      return { names: names.toSorted(), all, titles, left, after: await ours() };
    });
    assert.deepEqual(found.all, found.names);
    assert.deepEqual(found.titles.toSorted(), [...found.names, 'STORE_LOCKED'].toSorted());
    assert.equal(found.left, 0);
    assert.deepEqual(found.after, []);
  });

  inTab('a file that is none of ours is refused as new content, and the store stays as it was', async (tab) => {
    const found = await tab.run(async ({ ChatStore, fill, contentsOf }) => {
      const store = await ChatStore.open('refuses');
      await fill(store, 20);
      const before = await contentsOf(store);
      const error = await store.replaceWith(new TextEncoder().encode('not a store '.repeat(1_000))).catch((e) => e);
      const same = JSON.stringify(await contentsOf(store)) === JSON.stringify(before);
      // Its own folder, and that of the content that was not replaced as long as it is not removed.
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('chatstore');
      const folders = async () => (await Array.fromAsync(folder.keys())).filter((name) => name.startsWith('refuses'));
      for (let tries = 0; tries < 100 && (await folders()).length > 1; tries++)
        await new Promise((resolve) => setTimeout(resolve, 20));
      const left = await folders();
      await store.close();
      return { code: error.code, same, left };
    });
    assert.deepEqual(found, { code: 'NOT_A_STORE', same: true, left: ['refuses'] });
  });

  inTab('a store that is opened for reading only is read, and refuses what would change it', async (tab) => {
    const found = await tab.run(async ({ ChatStore, fill, contentsOf }) => {
      const store = await ChatStore.open('to read');
      await fill(store, 20);
      const before = JSON.stringify(await contentsOf(store));
      await store.close();
      const reading = await ChatStore.open('to read', { readOnly: true });
      const { code } = await reading.sessions.create({ id: 'new' }).catch((error) => error);
      const { ok } = await reading.verify();
      const same = JSON.stringify(await contentsOf(reading)) === before;
      await reading.close();
      const none = await ChatStore.open('not there', { readOnly: true }).catch((error) => error);
      return { code, ok, same, none: none.code };
    });
    assert.deepEqual(found, { code: 'READ_ONLY', ok: true, same: true, none: 'NOT_FOUND' });
  });

  inTab('what can be read of a damaged store becomes a new one, and the damaged one is kept as it is', async (tab) => {
    const found = await tab.run(async ({ ChatStore, fill, contentsOf }) => {
      const store = await ChatStore.open('damaged');
      await fill(store, 1_000);
      const written = await contentsOf(store);
      const { pageSizeBytes } = store.info;
      const locked = await ChatStore.salvage('damaged').catch((error) => error.code);
      await store.close();

      const root = await navigator.storage.getDirectory();
      const folder = await (await root.getDirectoryHandle('chatstore')).getDirectoryHandle('damaged');
      const file = await folder.getFileHandle('store.sqlite');
      const read = async () => new Uint8Array(await (await file.getFile()).arrayBuffer());
      const whole = await read();
      const damaged = whole.slice();
      // The pages of the middle, each third: rows, indexes and search index alike.
      const pages = damaged.length / pageSizeBytes;
      for (let page = Math.floor(pages / 4); page < pages; page += 3)
        damaged.fill(0xa5, page * pageSizeBytes, (page + 1) * pageSizeBytes);
      const writable = await file.createWritable();
      await writable.write(damaged);
      await writable.close();

      const report = await ChatStore.salvage('damaged', { to: 'what is left' });
      const errors = [];
      for (const [name, to] of [
        ['damaged', 'what is left'],
        ['there is none', 'x'],
      ])
        errors.push(await ChatStore.salvage(name, { to }).catch((error) => error.code));
      const kept = await read();
      const same = kept.length === damaged.length && kept.every((byte, i) => byte === damaged[i]);
      const saved = await ChatStore.open('what is left');
      const { problems } = await saved.verify();
      const left = await contentsOf(saved);
      const hits = (await saved.search('train', { limit: 100 })).items.length;
      await saved.messages.add({ sessionId: 's', role: 'user', content: 'it goes on' });
      await saved.close();
      return { written, locked, report, errors, same, problems, left, hits };
    });
    assert.equal(found.locked, 'STORE_LOCKED');
    assert.deepEqual(found.errors, ['INVALID_ARGUMENT', 'NOT_FOUND']);
    assert.equal(found.same, true, 'the damaged file is as it was');
    assert.equal(found.report.path, 'what is left');
    assert.ok(found.report.pagesLost > 0, 'something was damaged');
    assert.deepEqual(found.problems, []);
    const texts = (rows) => rows.map((row) => JSON.parse(row)).map(({ id, text }) => JSON.stringify([id, text]));
    const written = new Set(texts(found.written.messages));
    const left = texts(found.left.messages);
    const whole = left.filter((text) => written.has(text));
    assert.ok(left.length < written.size, 'some is lost');
    assert.ok(whole.length > 200, `${whole.length} of ${written.size} messages are there as they were`);
    const reported = found.report.tables.find(({ name }) => name === 'messages');
    assert.equal(reported.rows, left.length);
    assert.ok(found.hits > 0, 'what is left can be searched');
  });

  inTab('a store of the name :memory: is its handle’s own and leaves nothing', async (tab) => {
    const found = await tab.run(async ({ ChatStore }) => {
      const [one, two] = await Promise.all([ChatStore.open(':memory:'), ChatStore.open(':memory:')]);
      await one.sessions.create({ id: 's' });
      const seen = await two.sessions.get('s');
      const { ephemeral } = one.info;
      await Promise.all([one.close(), two.close()]);
      return { seen, ephemeral, listed: (await ChatStore.list()).some(({ name }) => name === ':memory:') };
    });
    assert.deepEqual(found, { seen: null, ephemeral: true, listed: false });
  });

  test('what was acknowledged is there when the whole browser was killed', { timeout }, async () => {
    const victim = await start();
    const tab = await victim.tab(server.page());
    await tab.run(async ({ ChatStore, state }) => {
      state.store = await ChatStore.open('killed');
      await state.store.sessions.create({ id: 's' });
      await state.store.messages.add({ sessionId: 's', role: 'user', content: 'acknowledged' });
    });
    await victim.kill();
    const next = await start({ profile: victim.profile });
    const found = await (
      await next.tab(server.page())
    ).run(async ({ ChatStore }) => {
      const store = await ChatStore.open('killed');
      const items = (await store.messages.list({ sessionId: 's' })).items.map((message) => message.content);
      const { ok } = await store.verify();
      await store.close();
      return { items, ok };
    });
    assert.deepEqual(found, { items: ['acknowledged'], ok: true });
    await next.close();
  });

  test('a bad name is an INVALID_ARGUMENT before anything is opened', { timeout }, async () => {
    const tab = await browser.tab(server.page());
    for (const name of ['', 'x'.repeat(300), 7, null]) {
      const error = await rejection(tab.run(({ ChatStore }, wanted) => ChatStore.open(wanted), name));
      assert.deepEqual([error.is_ours, error.code], [true, 'INVALID_ARGUMENT'], JSON.stringify(name));
    }
    await tab.close();
  });
}

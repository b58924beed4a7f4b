/** Backups by the clock, on real files. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one after the other is the point */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { filled, ids } from './stores.mjs';
import { runModule, startPeer, temporaryFolder } from './support.mjs';

/** Keeps what is told of backups: on a machine that is slow something else may be told as well. */
const onBackup = (events) => (event) => event.type.startsWith('backup') && events.push(event);

/** Waits until something holds. */
async function until(holds, everyMs = 20) {
  for (let i = 0; i < 20_000 / everyMs; i++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  assert.fail('it does not come to pass');
}

test('backups by the clock keep the newest few and touch no other file', async () => {
  const folder = temporaryFolder();
  const directory = join(folder, 'backups');
  const events = [];
  const store = await filled(join(folder, 'a.chat'), 50, { onEvent: (event) => events.push(event) });
  const written = () => events.filter(({ type }) => type === 'backup').length;
  const stop = store.scheduleBackups({ everyMs: 1_000, keep: 2, directory });
  await until(() => written() === 1);
  const first = readdirSync(directory).find((name) => name.endsWith('.sqlite'));
  const strange = first.replace('.sqlite', '-mine.sqlite');
  copyFileSync(join(directory, first), join(directory, strange));
  await until(() => written() === 3);
  stop();
  const files = readdirSync(directory).filter((name) => name.endsWith('.sqlite'));
  assert.equal(files.length, 3, files.join());
  assert.ok(files.includes(strange));
  assert.equal(existsSync(join(directory, first)), false);
  assert.deepEqual(
    events.filter(({ type }) => type === 'backupFailed'),
    [],
  );
  const newest = await ChatStore.open(
    join(
      directory,
      files.findLast((name) => name !== strange),
    ),
  );
  assert.equal((await ids(newest)).length, 50);
  await newest.close();
  await store.close();
});

test('a backup that is young enough is not made again, and that of another store is left alone', async () => {
  const folder = temporaryFolder();
  const directory = join(folder, 'backups');
  const events = [];
  const onEvent = onBackup(events);
  const store = await filled(join(folder, 'a.chat'), 5, { onEvent });
  store.scheduleBackups({ everyMs: 3_600_000, keep: 1, directory });
  await until(() => events.length === 1);
  await store.close();
  const again = await ChatStore.open(join(folder, 'a.chat'), { onEvent });
  const stop = again.scheduleBackups({ everyMs: 3_600_000, keep: 1, directory });
  await new Promise((resolve) => setTimeout(resolve, 200));
  stop();
  assert.equal(events.length, 1);
  await again.close();
  const list = join(directory, 'a.chat-backups.json');
  writeFileSync(list, readFileSync(list, 'utf8').replace('a.chat"', 'b.chat"'));
  const third = await ChatStore.open(join(folder, 'a.chat'));
  assert.throws(() => third.scheduleBackups({ everyMs: 3_600_000, keep: 1, directory }), { code: 'INVALID_ARGUMENT' });
  await third.close();
});

/** A store in a folder of its own, what it tells, and where its backups go. */
async function scene(messages = 5) {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  const events = [];
  const onEvent = onBackup(events);
  const store = await filled(path, messages, { onEvent });
  const directory = join(folder, 'backups');
  mkdirSync(directory);
  return { folder, path, events, onEvent, store, directory, list: join(directory, 'a.chat-backups.json') };
}
const backupsIn = (directory) =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.sqlite'))
    .toSorted();
const typesOf = (events) => events.map(({ type }) => type);
const countOf = (events, wanted) => typesOf(events).filter((type) => type === wanted).length;
/** The name of a backup that was made so long ago. */
const named = (agoMs) => `a.chat-${new Date(Date.now() - agoMs).toISOString().replaceAll(/[:.]/g, '-')}.sqlite`;

test('a client makes the backups where the owner of the file has no schedule', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'a.chat');
  const directory = join(folder, 'backups');
  await (await filled(path, 5)).close();
  const peer = await startPeer();
  await peer.run(`globalThis.store = await ChatStore.open(args.path);`, { path });
  const events = [];
  const store = await ChatStore.open(path, { onEvent: onBackup(events) });
  const stop = store.scheduleBackups({ everyMs: 1_000, keep: 3, directory });
  await until(() => events.length > 0);
  stop();
  assert.equal(store.info.role, 'client');
  assert.deepEqual(typesOf(events), ['backup']);
  const copy = await ChatStore.open(join(directory, backupsIn(directory)[0]));
  assert.equal((await ids(copy)).length, 5);
  await copy.close();
  await store.close();
  await peer.kill();
});

test('of several schedules for one directory one makes each backup, and another where that one is gone', async () => {
  const { path, store, events, directory } = await scene();
  const told = [];
  const peer = await startPeer({ on_told: (type) => told.push({ type }) });
  const schedule = { everyMs: 2_000, keep: 100, directory };
  await peer.run(
    `globalThis.store = await ChatStore.open(args.path, { onEvent: ({ type }) => process.send({ told: type }) });
     store.scheduleBackups(args.schedule);
     store.scheduleBackups(args.schedule);`,
    { path, schedule },
  );
  const stops = [store.scheduleBackups(schedule), store.scheduleBackups(schedule)];
  const all = () => [...told, ...events].filter(({ type }) => type.startsWith('backup'));
  await until(() => all().length >= 3);
  assert.deepEqual([...new Set(typesOf(all()))], ['backup']);
  const times = backupsIn(directory).map((name) =>
    Date.parse(name.slice(7, -7).replace(/-(\d\d)-(\d\d)-(\d+Z)$/, ':$1:$2.$3')),
  );
  for (const [at, time] of times.entries())
    if (at > 0) assert.ok(time - times[at - 1] >= 2_000, `${times.join()}: two for one time`);
  await peer.kill();
  const before = events.length;
  await until(() => countOf(events.slice(before), 'backup') >= 2);
  for (const stop of stops) stop();
  assert.equal(countOf(events, 'backupFailed'), 0);
  await store.close();
});

test('what a process that was killed while it made a backup has locked holds up no other', async () => {
  const { path, store, events, onEvent, directory } = await scene(20_000);
  await store.close();
  const peer = await startPeer();
  await peer.run(
    `globalThis.store = await ChatStore.open(args.path);
     store.scheduleBackups({ everyMs: 1_000, keep: 2, directory: args.directory });`,
    { path, directory },
  );
  await until(() => readdirSync(directory).some((name) => name.endsWith('.partial')), 1);
  await peer.kill();
  const again = await ChatStore.open(path, { onEvent });
  const stop = again.scheduleBackups({ everyMs: 1_000, keep: 2, directory });
  await until(() => events.length > 0);
  stop();
  assert.deepEqual(typesOf(events), ['backup']);
  await again.close();
});

test('an old backup that cannot be removed stops no other from being made or removed, and is told as what it is', async () => {
  const { store, events, directory } = await scene();
  const stop = store.scheduleBackups({ everyMs: 1_000, keep: 2, directory });
  await until(() => countOf(events, 'backup') === 1);
  const [first] = backupsIn(directory);
  rmSync(join(directory, first));
  mkdirSync(join(directory, first));
  await until(() => countOf(events, 'backup') === 5);
  stop();
  await until(() => countOf(events, 'backupNotRemoved') === 3);
  assert.equal(backupsIn(directory).length, 3, backupsIn(directory).join());
  assert.equal(countOf(events, 'backupFailed'), 0);
  for (const { type, message } of events) {
    if (type === 'backupNotRemoved')
      assert.ok(message.includes(first) && message.includes('cannot be removed'), message);
  }
  // It stays in the list, and goes when it can.
  rmSync(join(directory, first), { recursive: true });
  writeFileSync(join(directory, first), '');
  const again = store.scheduleBackups({ everyMs: 1_000, keep: 2, directory });
  await until(() => countOf(events, 'backup') === 6);
  again();
  assert.equal(existsSync(join(directory, first)), false);
  await store.close();
});

test('only what has the name of a backup of this store is removed, whatever stands in the list', async () => {
  const { folder, path, store, events, directory, list } = await scene();
  const [real, other] = [named(3_000), named(5_000).replace('a.chat', 'b.chat')];
  const strange = ['../keep', `../${real}`, 'keep', other, `sub/${real}`, `${real}/../keep`, join(folder, 'keep'), ''];
  mkdirSync(join(directory, 'sub'));
  const kept = strange.filter((name) => name !== '').map((name) => join(name.startsWith('/') ? '' : directory, name));
  for (const file of [...kept.filter((name) => !name.includes('/..')), join(directory, real)]) writeFileSync(file, 'x');
  const files = [...strange, real, 5, null, {}].map((name) => ({ name, atMs: 1 }));
  writeFileSync(
    list,
    JSON.stringify({ store: path, files: [...files, null, 7, { name: 5, atMs: 'x' }], writing: '../keep' }),
  );
  const stop = store.scheduleBackups({ everyMs: 1_000, keep: 1, directory });
  await until(() => events.length > 0);
  stop();
  assert.deepEqual(typesOf(events), ['backup']);
  for (const file of kept) assert.ok(existsSync(file), file);
  assert.equal(existsSync(join(directory, real)), false);
  assert.equal(JSON.parse(readFileSync(list, 'utf8')).files.length, 1);
  await store.close();
});

test('what a killed process has left is cleared away: parts of copies, and a backup that it had not listed', async () => {
  const { path, store, events, directory, list } = await scene();
  const [whole, empty, part] = [named(60_000), named(50_000), `${named(60_000)}.0123456789ab.partial`];
  const others = [`${whole}.0123456789ab.partial2`, 'mine.0123456789ab.partial', `${whole}.mine.partial`];
  const young = `${named(0)}.ba9876543210.partial`;
  const long_ago = Date.now() / 1_000 - 3_600;
  for (const name of [part, young, ...others]) writeFileSync(join(directory, name), 'x');
  for (const name of [part, ...others]) utimesSync(join(directory, name), long_ago, long_ago);
  writeFileSync(join(directory, whole), 'x');
  // Whose process has died after it was published.
  writeFileSync(list, JSON.stringify({ store: path, files: [], writing: whole }));
  const late = store.scheduleBackups({ everyMs: 3_600_000, keep: 1, directory });
  await new Promise((resolve) => setTimeout(resolve, 100));
  late();
  assert.deepEqual(events, [], 'it counts as made');
  const stop = store.scheduleBackups({ everyMs: 1_000, keep: 1, directory });
  await until(() => events.length > 0);
  stop();
  assert.deepEqual(typesOf(events), ['backup']);
  assert.equal(existsSync(join(directory, whole)), false);
  assert.equal(existsSync(join(directory, part)), false);
  for (const name of [young, ...others]) assert.ok(existsSync(join(directory, name)), name);
  // One that was not published was not made.
  writeFileSync(list, JSON.stringify({ store: path, files: [], writing: empty }));
  const again = store.scheduleBackups({ everyMs: 3_600_000, keep: 1, directory });
  await until(() => events.length > 1);
  again();
  assert.ok(statSync(join(directory, backupsIn(directory).at(-1))).size > 0);
  await store.close();
});

test('a store that is closed takes no schedule, and makes no directory', async () => {
  const { folder, store } = await scene();
  await store.close();
  const directory = join(folder, 'never');
  assert.throws(() => store.scheduleBackups({ everyMs: 1_000, keep: 1, directory }), { code: 'STORE_CLOSED' });
  assert.equal(existsSync(directory), false);
});

test('a wrong directory is refused by its name', async () => {
  const { store, directory } = await scene();
  for (const wrong of ['', `${directory}\0`, new URL('http://localhost/backups'), 5]) {
    assert.throws(
      () => store.scheduleBackups({ everyMs: 1_000, keep: 1, directory: wrong }),
      ({ code, message, details }) =>
        code === 'INVALID_ARGUMENT' && message.startsWith('directory: expected') && details.argument === 'directory',
    );
  }
  store.scheduleBackups({ everyMs: 1_000, keep: 1, directory: pathToFileURL(directory) })();
  await store.close();
});

test('what onEvent throws about a backup is uncaught, and the next one is made', async () => {
  const folder = temporaryFolder();
  const { lines, errors, code } = await runModule(
    `
    import { ChatStore } from 'chatstore';
    import { join } from 'node:path';
    let uncaught = 0;
    const folder = process.argv.at(-1);
    const store = await ChatStore.open(join(folder, 'a.chat'), { slowQueryMs: 0, onEvent: ({ type }) => { throw new Error(type) } });
    const twice = new Promise((resolve) => {
      process.on('uncaughtException', ({ message }) => {
        console.log(message);
        if (++uncaught === 2) resolve();
      });
    });
    store.scheduleBackups({ everyMs: 1_000, keep: 1, directory: join(folder, 'backups') });
    const alive = setTimeout(() => undefined, 20_000);
    await twice;
    clearTimeout(alive);
    await store.close();
  `,
    folder,
  );
  assert.deepEqual([lines, errors, code], [['backup', 'backup'], '', 0]);
});

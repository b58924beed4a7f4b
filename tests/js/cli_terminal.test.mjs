/** What the program `chatstore` shows: nothing that a terminal would obey, in columns that fit. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { run } from './cli.mjs';
import { filled } from './stores.mjs';
import { importSource, temporaryFolder } from './support.mjs';

const { Terminal } = await importSource('js/cli/terminal.ts');

/** Colours, a new line, a bell, the one-letter form of an escape sequence, and text that is shown backwards. */
const hostile = 'a\u001B[31mb\nc\u0007\u009B31md\u007F\u202Ee\u2066f\rg';
/** All that a terminal obeys, but for line breaks. */
const obeyed = /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/; // oxlint-disable-line no-control-regex -- those are meant

/** A closed store in which every text that can be chosen is hostile. */
async function hostileStore() {
  const path = join(temporaryFolder(), 'a.sqlite');
  const store = await ChatStore.open(path);
  const bot = await store.bots.create({ id: hostile, name: hostile, model: hostile });
  await store.sessions.create({ id: hostile, botId: bot.id, title: hostile });
  await store.messages.add({ id: hostile, sessionId: hostile, role: hostile, content: `words ${hostile}` });
  await store.close();
  return path;
}

test('nothing that is stored or given does anything to the terminal, from wherever it comes', async () => {
  const path = await hostileStore();
  for (const args of [
    ['list', path],
    ['list', path, '--bots'],
    ['show', path, hostile],
    ['search', path, 'words'],
    ['query', path, `SELECT text AS "${hostile}", id FROM messages`],
    ['query', path, `SELECT "${hostile}"`],
    ['query', path, `SELECT ${hostile} FROM`],
    ['show', path, `${hostile}, which is none`],
    ['verify', path],
    ['stats', path, '--deep'],
    ['list', `${path}${hostile}`],
    [hostile],
    ['list', path, `--${hostile}`],
    ['list', path, '--limit', hostile],
    ['verify-report', '--only', hostile],
    ['list', path, '--json'],
    ['list', path, '--bots', '--json'],
    ['show', path, hostile, '--json'],
    ['search', path, 'words', '--json'],
    ['query', path, 'SELECT id, text FROM messages', '--jsonl'],
  ]) {
    const { out, errors } = run(args);
    assert.doesNotMatch(out, obeyed, `${args.join(' ')}: ${JSON.stringify(out)}`);
    assert.doesNotMatch(errors, obeyed, `${args.join(' ')}: ${JSON.stringify(errors)}`);
    assert.notEqual(out + errors, '');
  }
});

test('a line break in an id splits no row, and JSON keeps every letter', async () => {
  const path = await hostileStore();
  for (const args of [
    ['list', path],
    ['list', path, '--bots'],
    ['query', path, `SELECT id AS "${hostile}" FROM messages`],
  ]) {
    assert.equal(run(args).out.split('\n').length, 3, args.join(' '));
  }
  assert.equal(run(['search', path, 'words']).out.split('\n').length, 4);
  const [session] = JSON.parse(run(['list', path, '--json']).out);
  assert.equal(session.id, hostile);
  const [message] = JSON.parse(run(['query', path, 'SELECT id FROM messages', '--json']).out);
  assert.equal(message.id, hostile);
});

test('a message is shown in its own lines, whichever way they end', async () => {
  const path = join(temporaryFolder(), 'a.sqlite');
  const store = await filled(path, 0);
  await store.messages.add({ sessionId: 's', role: 'user', content: 'one\r\ntwo\n\tthree' });
  await store.close();
  assert.match(run(['show', path, 's']).out, /\n {2}one\n {2}two\n {2}\tthree\n/);
});

/** A terminal with streams of the test's own; `shown` is what has reached standard error. */
function terminalOf(stderr = {}) {
  const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
  Object.assign(streams.stderr, { isTTY: true, ...stderr });
  const terminal = new Terminal(streams);
  return {
    terminal,
    out: () => streams.stdout.read()?.toString() ?? '',
    shown: () => streams.stderr.read()?.toString() ?? '',
  };
}

test('columns are as wide as their texts are in a terminal', async () => {
  const { terminal, out } = terminalOf();
  await terminal.table(
    ['a', 'b'],
    [
      ['漢字', 'x'],
      ['e\u0301', 'y'],
      ['👨‍👩‍👧', 'z'],
      ['four', 'w'],
    ],
  );
  assert.deepEqual(out().split('\n'), ['a     b', '漢字  x', 'e\u0301     y', '👨‍👩‍👧    z', 'four  w', '']);
});

test('a progress bar fits into its line, however narrow that is', () => {
  const erase = '\r\u001B[2K';
  for (const [columns, least] of [
    [80, / 50 % copy/],
    [0, / 50 % copy/],
    [30, / 50 % copy/],
    [15, /50 %/],
    [8, /50 %/],
    [2, /^.?$/],
  ]) {
    const { terminal, shown } = terminalOf({ columns });
    terminal.progress(1, 2, `copy ${'漢'.repeat(200)}`);
    const text = shown();
    assert.ok(text.startsWith(erase));
    const bar = text.slice(erase.length);
    assert.match(bar, least, `${columns} columns: ${bar}`);
    const wide = [...bar].reduce((sum, letter) => sum + (letter === '漢' ? 2 : 1), 0);
    assert.ok(wide < (columns || 80), `${columns} columns: ${bar}`);
  }
});

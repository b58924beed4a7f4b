/** The program `chatstore`, run as people run it. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one run after the other */
import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChatStore } from 'chatstore';
import { program, run, runBeside } from './cli.mjs';
import { filled, ids } from './stores.mjs';
import { root, temporaryFolder } from './support.mjs';

const names = ['verify-report', 'stats', 'verify', 'backup', 'restore', 'maintain', 'query', 'list', 'show', 'search'];

/** A closed store with some messages. */
async function store(messages = 30) {
  const path = join(temporaryFolder(), 'a.sqlite');
  const opened = await filled(path, messages);
  await opened.bots.create({ id: 'ada', name: 'Ada' });
  await opened.close();
  return path;
}

test('the help names every command, and each command has a help with examples', () => {
  const all = run(['--help']);
  assert.deepEqual([all.code, all.errors], [0, '']);
  for (const name of names) {
    assert.match(all.out, new RegExp(`^ {2}${name} `, 'm'));
    const help = run([name, '--help']);
    assert.deepEqual([help.code, help.errors], [0, '']);
    assert.match(help.out, new RegExp(`^Usage: chatstore ${name}\\b`));
    assert.match(help.out, new RegExp(`Examples:\\n  # .+\\n  chatstore ${name}\\b`));
    assert.equal(run(['help', name]).out, help.out);
    for (const line of help.out.split('\n')) assert.ok(line.length <= 110, line);
  }
  assert.match(run(['--version']).out, /^\d+\.\d+\.\d+\n$/);
});

test('the examples of the help are understood', async () => {
  const path = await store();
  const cwd = temporaryFolder();
  for (const name of names.filter((one) => one !== 'verify-report' && one !== 'maintain')) {
    const examples = run([name, '--help']).out.match(/^ {2}chatstore .+$/gm);
    for (const line of examples) {
      // What stands before a pipe, with files of this test in the place of those of the example.
      const words = line
        .split(/ [|<>] ?/)[0]
        .match(/"[^"]*"|\S+/g)
        .slice(1);
      const args = words.map((word) =>
        word
          .replaceAll('"', '')
          .replace(/^chats\.sqlite$/, path)
          .replace(/^trip$/, 's'),
      );
      const target = args.indexOf('monday.sqlite');
      if (name === 'restore') args[1] = join(cwd, 'restored.sqlite');
      if (target !== -1) args[target] = name === 'restore' ? path : join(cwd, 'monday.sqlite');
      const { code, errors } = run([...args, ...(name === 'restore' ? ['--force'] : [])], {
        cwd,
        input: name === 'query' ? 'SELECT 1' : readFileSync(path),
      });
      assert.equal(code, 0, `${line}: ${errors}`);
    }
  }
});

test('what it does not understand ends with 2 and a word about the help', async () => {
  const path = await store();
  for (const args of [
    [],
    ['nonsense'],
    ['list'],
    ['list', path, 'more'],
    ['list', path, '--nonsense'],
    ['list', path, '--limit', 'many'],
    ['list', path, '--limit', '0'],
    ['list', path, '--bots', '--bot', 'ada'],
    ['backup', path, '-', '--json'],
    ['verify-report', '--only', 'nonsense'],
    ['verify-report', '--format', 'pdf'],
    ['query', path, 'SELECT 1', '--limit', '1000000'],
  ]) {
    const { code, out, errors } = run(args);
    assert.deepEqual([code, out], [2, ''], `${args.join(' ')}: ${errors}`);
    assert.match(errors, /chatstore/);
  }
});

/** The commands that read a store, with what they are given after it. */
const reading = (copy) => [
  ['stats'],
  ['verify'],
  ['list'],
  ['show', 's'],
  ['search', 'x'],
  ['query', 'SELECT 1'],
  ['backup', copy],
];

test('what the store refuses ends with 3 and its code, and no command makes a store by reading', async () => {
  const path = await store();
  const nothing = join(temporaryFolder(), 'nothing.sqlite');
  for (const [name, ...more] of [...reading(`${nothing}.copy`), ['verify-report', '--store']]) {
    const { code, errors } = run(name === 'verify-report' ? [name, '--store', nothing] : [name, nothing, ...more]);
    assert.equal(code, 3, errors);
    assert.match(errors, /there is no file/);
  }
  assert.equal(existsSync(nothing), false);
  const other = join(temporaryFolder(), 'other.sqlite');
  writeFileSync(other, 'some text that is no store. '.repeat(200));
  assert.match(run(['list', other]).errors, /NOT_A_STORE/);
  assert.equal(run(['list', other]).code, 3);
  const wrong = run(['query', path, 'SELEC 1']);
  assert.equal(wrong.code, 3);
  assert.match(wrong.errors, /INVALID_SQL/);
  assert.equal(run(['query', path, 'DELETE FROM messages']).code, 3);
  assert.equal(run(['show', path, 'nobody']).code, 3);
});

test('list, show, search, query and stats tell what is there, to people and to programs', async () => {
  const path = await store();
  assert.match(run(['list', path]).out, /^id +messages +last +title\ns +30 /);
  assert.deepEqual(
    JSON.parse(run(['list', path, '--json']).out).map(({ id, messageCount }) => [id, messageCount]),
    [['s', 30]],
  );
  assert.match(run(['list', path, '--bots']).out, /ada +Ada/);
  const shown = run(['show', path, 's', '--json'])
    .out.trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    shown.map(({ id }) => id),
    Array.from({ length: 30 }, (_, i) => `m${i}`),
  );
  const newest = run(['show', path, 's', '--limit', '2']).out;
  assert.match(newest, /message 28 .*[^]*message 29 /);
  assert.ok(!newest.includes('message 27'));
  const hits = JSON.parse(run(['search', path, 'message', '17', '--json']).out);
  assert.deepEqual(
    hits.map(({ id }) => id),
    ['m17'],
  );
  assert.match(run(['search', path, 'message', '17']).out, /^s m17: user/);
  const sql = 'SELECT id, length(?) AS n, NULL AS absent FROM messages WHERE seq = ? -- ';
  const given = ['--param', 'four', '--param', '3', '--json'];
  assert.deepEqual(JSON.parse(run(['query', path, sql, ...given]).out), [{ id: 'm2', n: 4, absent: null }]);
  const lines = run(['query', path, '-', '--jsonl'], { input: 'SELECT id FROM messages ORDER BY key LIMIT 3' }).out;
  assert.deepEqual(
    lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id),
    ['m0', 'm1', 'm2'],
  );
  assert.match(run(['stats', path]).out, /messages +30/);
  assert.equal(JSON.parse(run(['stats', path, '--json']).out).rows.messages, 30);
});

test('verify says what is wrong, and ends with 1 where anything is', async () => {
  const path = await store(500);
  const sound = run(['verify', path, '--json']);
  assert.deepEqual([sound.code, JSON.parse(sound.out).ok], [0, true]);
  const bytes = readFileSync(path);
  // The first page of the messages is all zeros.
  const at = Math.floor(bytes.indexOf('message 250 ') / 4096) * 4096;
  writeFileSync(path, bytes.fill(0, at, at + 4096));
  const broken = run(['verify', path]);
  assert.deepEqual([broken.code, /NOT sound/.test(broken.out)], [1, true], broken.out + broken.errors);
});

test('a backup goes to a file or a pipe, and over no file unless it is forced', async () => {
  const path = await store();
  const folder = temporaryFolder();
  const copy = join(folder, 'copy.sqlite');
  assert.equal(run(['backup', path, copy]).code, 0);
  const refused = run(['backup', path, copy]);
  assert.deepEqual([refused.code, /--force/.test(refused.errors)], [3, true]);
  assert.equal(run(['backup', path, copy, '--force']).code, 0);
  const piped = run(['backup', path, '-']);
  assert.deepEqual([piped.code, piped.errors], [0, '']);
  assert.deepEqual(piped.bytes, readFileSync(copy));
});

test('restore makes a store or replaces its content, keeps the old, and leaves nothing where it fails', async () => {
  const [small, large] = [await store(10), await store(40)];
  const folder = temporaryFolder();
  const made = join(folder, 'made.sqlite');
  assert.equal(run(['restore', made, small]).code, 0);
  const refused = run(['restore', made, large]);
  assert.deepEqual([refused.code, /exists/.test(refused.errors)], [3, true]);
  const kept = join(folder, 'kept.sqlite');
  const { code, out } = run(['restore', made, '-', '--force', '--keep', kept, '--json'], {
    input: readFileSync(large),
  });
  assert.deepEqual([code, JSON.parse(out).keptPath], [0, kept]);
  for (const [path, count] of [
    [made, 40],
    [kept, 10],
  ]) {
    const opened = await ChatStore.open(path);
    assert.equal((await ids(opened)).length, count);
    await opened.close();
  }
  writeFileSync(join(folder, 'text'), 'this is no backup. '.repeat(300));
  const failed = run(['restore', join(folder, 'never.sqlite'), join(folder, 'text')]);
  assert.deepEqual([failed.code, /NOT_A_STORE/.test(failed.errors)], [3, true]);
  assert.ok(!failed.errors.includes('partial'), failed.errors);
  assert.equal(run(['restore', made, join(folder, 'text'), '--force']).code, 3);
  assert.deepEqual(readdirSync(folder).toSorted(), ['kept.sqlite', 'made.sqlite', 'text']);
});

test('a store that another process has open is reached there', async () => {
  const path = join(temporaryFolder(), 'a.sqlite');
  const opened = await filled(path, 5);
  const other = await store(12);
  assert.match((await runBeside(['list', path])).out, /s +5 /);
  assert.equal((await runBeside(['verify', path])).code, 0);
  assert.equal((await runBeside(['backup', path, `${path}.copy`])).code, 0);
  assert.equal((await runBeside(['restore', path, other, '--force'])).code, 0);
  assert.equal((await ids(opened)).length, 12);
  await opened.close();
});

test('verify-report writes what it found where it is told to, and its exit code says whether all is well', async () => {
  const folder = temporaryFolder();
  const [page, data] = [join(folder, 'r.html'), join(folder, 'r.json')];
  const outputs = ['--output', page, '--output', data];
  const good = run(['verify-report', '--only', 'schema', '--seed', '5', ...outputs]);
  assert.deepEqual([good.code, good.errors], [0, '']);
  assert.match(good.out, /^Passed: (\d+) of \1 checks passed\.\n$/);
  assert.match(readFileSync(page, 'utf8'), /^<!doctype html>/);
  const report = JSON.parse(readFileSync(data, 'utf8'));
  assert.deepEqual([report.format, report.formatVersion, report.passed, report.seed], ['chatstore-report', 1, true, 5]);
  assert.match(run(['verify-report', '--only', 'schema.version']).out, /^# Verification report\n/);

  const path = await store(500);
  const read = run(['verify-report', '--store', path, '--json']);
  assert.deepEqual([read.code, JSON.parse(read.out).subject.kind], [0, 'store'], read.out);
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.indexOf('message 250 ') / 4096) * 4096;
  writeFileSync(path, bytes.fill(0, at, at + 4096));
  const bad = run(['verify-report', '--store', path]);
  assert.equal(bad.code, 1, bad.errors);
  assert.match(bad.out, /expected: .*\n- seen: /);
});

test('what the program is bundled with ships with its licence', () => {
  const notices = readFileSync(join(root, 'dist/THIRD-PARTY-LICENSES.txt'), 'utf8');
  // The bundler writes where each piece comes from.
  const pieces = readFileSync(program, 'utf8').matchAll(/^\/\/ (node_modules\/.+)$/gm);
  const packages = new Set(Array.from(pieces, ([, path]) => path.split('node_modules/').at(-1).split('/')[0]));
  assert.ok(packages.has('string-width'));
  for (const name of packages)
    assert.match(notices, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\(MIT\\)\\n\\nMIT License`, 'm'));
});

test('an empty file is no store, and stays as it is', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'empty.sqlite');
  writeFileSync(path, '');
  for (const [name, ...more] of [...reading(join(folder, 'copy.sqlite')), ['maintain'], ['verify-report']]) {
    const { code, out, errors } = run(name === 'verify-report' ? [name, '--store', path] : [name, path, ...more]);
    assert.deepEqual([code, out, errors], [3, '', `chatstore: ${path} is empty: there is no store in it\n`], name);
    assert.deepEqual([readdirSync(folder), statSync(path).size], [['empty.sqlite'], 0], name);
  }
});

test('options that contradict each other, and numbers that are too small, end with 2', async () => {
  const path = await store();
  for (const args of [
    ['query', path, 'SELECT 1', '--json', '--jsonl'],
    ['query', path, 'SELECT 1', '--timeout', '0'],
    ['query', path, 'SELECT 1', '--limit', '0'],
    ['maintain', path, '--vacuum', '--full'],
    ['show', path, 's', '--limit', '0'],
    ['search', path, 'x', '--limit', '0'],
    ['verify-report', '--format', 'toString'],
    ['verify-report', '--json', '--format', 'html'],
    ['verify-report', '--only', 'recovery', '--faults', '0'],
    ['verify-report', '--only', 'nonsense', '--output', join(temporaryFolder(), 'r.md')],
    ['verify-report', '--store', path, '--only', 'pool'],
  ]) {
    const { code, out, errors } = run(args);
    assert.deepEqual([code, out], [2, ''], `${args.join(' ')}: ${errors}`);
    assert.match(errors, /^chatstore: .+\nSee: chatstore \S+ --help\n$/);
    assert.doesNotMatch(errors, /1000/);
  }
});

test('query gives as many rows as are asked for, and each column once', async () => {
  const path = await store();
  const query = (...args) => {
    const { code, out, errors } = run(['query', path, ...args, '--json']);
    assert.equal(code, 0, errors);
    return { rows: JSON.parse(out), errors };
  };
  assert.deepEqual(
    query('SELECT seq FROM messages ORDER BY seq DESC', '--limit', '3').rows.map(({ seq }) => seq),
    [30, 29, 28],
  );
  const counting = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n';
  assert.equal(query(`${counting}) SELECT i FROM n`, '--limit', '5').rows.length, 5);
  assert.equal(query('EXPLAIN SELECT * FROM messages', '--limit', '2').rows.length, 2);
  assert.equal(query('PRAGMA table_info(messages)', '--limit', '2').rows.length, 2);
  assert.deepEqual(query('VALUES (1), (2), (3);', '--limit', '2').rows, [{ column1: 1 }, { column1: 2 }]);
  const many = query(`${counting} WHERE i < 10001) SELECT i FROM n`);
  assert.deepEqual([many.rows.length, many.errors], [10_000, 'only the first 10000 rows: --limit gives more\n']);
  for (const end of ['', ';', ' ; -- a comment', '; /* one; */ -- another\n ;', ' -- a comment']) {
    assert.deepEqual(query(`SELECT 1 AS a, 2 AS a, 3 AS b${end}`).rows, [{ a: 1, 'a:1': 2, b: 3 }], end);
  }
  assert.deepEqual(query("SELECT ';--' AS a").rows, [{ a: ';--' }]);
  const wrong = run(['query', path, 'SELECT nothing FROM messages']);
  assert.match(wrong.errors, /^chatstore: INVALID_SQL: .*nothing.*\n$/);
  assert.doesNotMatch(wrong.errors, /LIMIT/);
  assert.match(run(['query', path, 'DELETE FROM messages']).errors, /QUERY_NOT_ALLOWED/);
});

test('what cannot be opened for its damage is not sound, and ends with 1', async () => {
  const path = await store(500);
  truncateSync(path, 3 * 4096);
  const text = run(['verify', path]);
  assert.deepEqual([text.code, text.errors], [1, '']);
  assert.match(text.out, /^NOT sound: it cannot be read: CORRUPT: /);
  const json = run(['verify', path, '--json']);
  assert.deepEqual([json.code, JSON.parse(json.out).ok], [1, false]);
  assert.match(JSON.parse(json.out).damage, /^CORRUPT: /);
  const report = run(['verify-report', '--store', path]);
  assert.deepEqual([report.code, report.out], [1, '']);
  assert.match(report.errors, /^chatstore: failed: .* is NOT sound, and no report can be made of it: CORRUPT: .*\n$/);

  const none = await store();
  const file = openSync(none, 'r+');
  writeSync(file, Buffer.alloc(100), 0, 100, 0);
  closeSync(file);
  for (const args of [
    ['verify', none],
    ['verify-report', '--store', none],
  ]) {
    const { code, errors } = run(args);
    assert.deepEqual([code, errors.startsWith('chatstore: NOT_A_STORE: ')], [3, true], errors);
  }
});

test('restore names the file that is at fault', async () => {
  const folder = temporaryFolder();
  const [source, zero, exists] = [await store(), join(folder, 'zero'), join(folder, 'exists.sqlite')];
  writeFileSync(zero, '');
  writeFileSync(join(folder, 'file'), '');
  assert.equal(run(['restore', exists, source]).code, 0);
  const incoming = run(['restore', exists, zero, '--force']);
  assert.deepEqual([incoming.code, incoming.errors], [3, `chatstore: NOT_A_STORE: ${zero} is empty\n`]);
  const made = run(['restore', join(folder, 'made.sqlite'), zero]);
  assert.deepEqual([made.code, made.errors], [3, `chatstore: NOT_A_STORE: ${zero} is empty\n`]);
  const piped = run(['restore', join(folder, 'made.sqlite'), '-'], { input: 'no store'.repeat(100) });
  assert.match(piped.errors, /^chatstore: NOT_A_STORE: standard input /);
  const absent = run(['restore', join(folder, 'none', 'made.sqlite'), source]);
  assert.deepEqual([absent.code, absent.errors], [3, `chatstore: there is no folder ${join(folder, 'none')}\n`]);
  const inFile = run(['restore', join(folder, 'file', 'made.sqlite'), source]);
  assert.deepEqual([inFile.code, inFile.errors], [3, `chatstore: there is no folder ${join(folder, 'file')}\n`]);
  // A name that no file system takes, with what goes before it while the store is not whole.
  const target = join(folder, `${'a'.repeat(240)}.sqlite`);
  const refused = run(['restore', target, source]);
  assert.equal(refused.code, 3);
  assert.ok(refused.errors.includes(target) && !refused.errors.includes(source), refused.errors);
  assert.ok(!refused.errors.includes('partial'), refused.errors);
});

test('what an ordinary run says to people is worth reading', async () => {
  const path = await store(20_000);
  // Slow for any store, and no concern of whoever asked for it.
  const slow =
    'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n';
  assert.equal(run(['query', path, slow]).errors, '');
  assert.equal(run(['verify', path]).errors, '');
  assert.match(
    run(['maintain', path, '--full']).errors,
    /^the whole store is written anew: everybody else .* waits .*\n$/,
  );
  assert.equal(run(['maintain', path]).errors, '');
});

test('where a report cannot be written is told before it is made', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'kept.md'), 'as it was');
  for (const file of [join(folder, 'none', 'r.md'), folder, join(folder, 'kept.md', 'r.md')]) {
    const { code, errors } = run([
      'verify-report',
      '--only',
      'schema',
      '--output',
      join(folder, 'new.md'),
      '--output',
      file,
    ]);
    assert.deepEqual([code, errors.split('\n').length], [3, 2], errors);
    assert.ok(errors.startsWith(`chatstore: ${file} cannot be written: `), errors);
  }
  assert.deepEqual(readdirSync(folder), ['kept.md']);
  assert.equal(readFileSync(join(folder, 'kept.md'), 'utf8'), 'as it was');
});

test('a problem is told in words with one space between them', async () => {
  const path = await store(500);
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.indexOf('message 250 ') / 4096) * 4096;
  writeFileSync(path, bytes.fill(0, at, at + 4096));
  const { code, out } = run(['verify', path]);
  assert.equal(code, 1);
  for (const line of out.trim().split('\n')) assert.doesNotMatch(line, / {2}| :/);
});

/** How the program `chatstore` ends where a person, the system or its reader ends it. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one run after the other */
import assert from 'node:assert/strict';
import { closeSync, copyFileSync, existsSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { run, runBeside } from './cli.mjs';
import { filled } from './stores.mjs';
import { temporaryFolder } from './support.mjs';

const codes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
const interrupted = 'chatstore: interrupted\n';

/** A closed store with more messages than a pipe holds. */
let path;
before(async () => {
  path = join(temporaryFolder(), 'a.sqlite');
  await (await filled(path, 60_000)).close();
});

/** What lies beside a file. */
const besides = (file) => readdirSync(dirname(file)).filter((name) => name !== basename(file));

/** Sends a signal a moment after something is there; never where it does not come, as the test will see. */
async function signalWhen(child, signal, isThere, moment_ms = 300) {
  for (let i = 0; i < 2_000 && !isThere(); i++) await pause(5);
  await pause(moment_ms);
  child.kill(signal);
}

test('a signal ends whoever writes into a pipe that is full: with its code, one line, and the store closed', async () => {
  for (const args of [
    ['show', path, 's'],
    ['show', path, 's', '--json', '--limit', '50000'],
    ['query', path, 'SELECT * FROM messages', '--limit', '60000', '--jsonl'],
    ['query', path, 'SELECT * FROM messages', '--limit', '60000', '--json'],
    ['search', path, 'message', '--limit', '5000'],
    ['backup', path, '-'],
  ]) {
    for (const signal of args[0] === 'backup' ? Object.keys(codes) : ['SIGINT']) {
      const ended = await runBeside(args, {
        reads: false,
        // It has begun to write, and nobody takes more of it than fits on the way.
        on_start: (child) => child.stdout.once('readable', () => setTimeout(() => child.kill(signal), 300)),
      });
      assert.deepEqual([ended.code, ended.errors], [codes[signal], interrupted], args.join(' '));
      assert.deepEqual(besides(path), [], args.join(' '));
    }
  }
});

test('a signal ends whoever waits for standard input', async () => {
  const made = join(temporaryFolder(), 'made.sqlite');
  for (const args of [
    ['restore', made, '-'],
    ['query', path, '-'],
  ]) {
    const ended = await runBeside(args, {
      // More than fits on the way: when it is all taken, the program reads.
      on_start: (child) => child.stdin.write(Buffer.alloc(1 << 20, 0x20), () => child.kill('SIGINT')),
    });
    assert.deepEqual([ended.code, ended.errors], [130, interrupted], args.join(' '));
  }
  assert.deepEqual(readdirSync(dirname(made)), []);
});

const endless = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n';

test('a signal ends a query that never pauses', async () => {
  for (const signal of Object.keys(codes)) {
    // One of its own: what is ended by force in the middle of a statement leaves its lock file behind.
    const own = join(temporaryFolder(), 'own.sqlite');
    copyFileSync(path, own);
    const ended = await runBeside(['query', own, endless], {
      on_start: (child) => void signalWhen(child, signal, () => existsSync(`${own}.lock`)),
    });
    assert.deepEqual([ended.code, ended.errors], [codes[signal], interrupted]);
  }
});

test('a query has as much time as it is given', () => {
  const { code, errors } = run(['query', path, endless, '--timeout', '1']);
  assert.equal(code, 3);
  assert.match(errors, /^chatstore: TIMEOUT: .*\n$/);
});

test('a backup that a closed terminal ends leaves nothing of itself', async () => {
  let seen = 0;
  for (let round = 0; round < 10 && seen === 0; round++) {
    const copy = join(temporaryFolder(), 'copy.sqlite');
    const ended = await runBeside(['backup', path, copy], {
      on_start: (child) => void signalWhen(child, 'SIGHUP', () => besides(copy).length > 0, 0),
    });
    // The copy may have been whole a moment before.
    if (ended.code === 0 || existsSync(copy)) continue;
    seen++;
    assert.deepEqual([ended.code, ended.errors], [129, interrupted]);
    assert.deepEqual(readdirSync(dirname(copy)), []);
    assert.deepEqual(besides(path), []);
  }
  assert.ok(seen > 0, 'every backup was quicker than the signal');
});

test('a report that is interrupted says so in one line, and removes its stores', async () => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    // What no machine does before the signal comes.
    const folder = temporaryFolder();
    const ended = await runBeside(['verify-report', '--only', 'recovery', '--faults', '5000'], {
      env: { TMPDIR: folder },
      on_start: (child) => void signalWhen(child, signal, () => readdirSync(folder).length > 0),
    });
    assert.deepEqual([ended.code, ended.errors, ended.out], [codes[signal], interrupted, '']);
    assert.deepEqual(readdirSync(folder), []);
  }
});

test('an output that takes nothing ends it with 3 and one line', { skip: !existsSync('/dev/full') }, async () => {
  for (const args of [
    ['--help'],
    ['list', path],
    ['list', path, '--json'],
    ['show', path, 's'],
    ['search', path, 'message'],
    ['query', path, 'SELECT * FROM messages LIMIT 3'],
    ['stats', path, '--json'],
    ['verify', path],
    ['backup', path, '-'],
    ['verify-report', '--only', 'schema.version'],
  ]) {
    const full = openSync('/dev/full', 'w');
    const { code, errors } = await runBeside(args, { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    assert.deepEqual([code, errors.trim().split('\n').length], [3, 1], `${args.join(' ')}: ${errors}`);
    assert.match(errors, /^chatstore: standard output: .*ENOSPC/, args.join(' '));
    assert.deepEqual(besides(path), [], args.join(' '));
  }
});

test('a reader that goes away is no error, but where a copy was to become whole', async () => {
  const leave = { on_out: (child) => child.stdout.destroy() };
  for (const args of [
    ['show', path, 's'],
    ['show', path, 's', '--json', '--all'],
    ['list', path],
    ['query', path, 'SELECT * FROM messages', '--limit', '60000', '--jsonl'],
    ['search', path, 'message', '--limit', '5000', '--json'],
  ]) {
    const { code, errors } = await runBeside(args, leave);
    assert.deepEqual([code, errors], [0, ''], args.join(' '));
    assert.deepEqual(besides(path), [], args.join(' '));
  }
  const { code, errors } = await runBeside(['backup', path, '-'], leave);
  assert.equal(code, 3);
  assert.equal(errors, 'chatstore: standard output was closed before the copy was whole\n');
});

test('a reader that goes away hides no check that has failed', async () => {
  const broken = join(temporaryFolder(), 'broken.sqlite');
  assert.equal(run(['backup', path, broken]).code, 0);
  const at = Math.floor(readFileSync(broken).indexOf('message 30000 ') / 4096) * 4096;
  const file = openSync(broken, 'r+');
  writeSync(file, Buffer.alloc(4096), 0, 4096, at);
  closeSync(file);
  const { code } = await runBeside(['verify', broken], { on_start: (child) => child.stdout.destroy() });
  assert.equal(code, 1);
});

test('the help says what it ends with where it is interrupted', () => {
  for (const code of Object.values(codes)) assert.match(run(['--help']).out, new RegExp(`\\b${code}\\b`));
});

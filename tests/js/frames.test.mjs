/** Messages as bytes: what goes in comes out, in whatever pieces, and bytes that are none end the connection. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import { importSource, seeded } from './support.mjs';

const { FrameReader, MAX_FRAME_BYTES, encodeFrame } = await importSource('js/node/frames.ts');
const { checkFromHost, checkToHost } = await importSource('js/host/protocol.ts');

const seed = Number(process.env.CHATSTORE_TEST_SEED ?? Date.now() % 1_000_000);

const call = {
  t: 'call',
  call: 7,
  scope: 0,
  verb: 'messages.add',
  write: true,
  timeoutMs: 30_000,
  args: { sessionId: 's', nested: { list: [1, 'zwei', null, 3n] } },
  rows: new Uint8Array([1, 2, 3]),
  operationId: 'me:1',
  attempt: 1,
  firstSentMs: 1_700_000_000_000,
};
const messages = [
  { t: 'hello', protocol: 1, schema: 1, name: 'me', token: 'secret' },
  call,
  { t: 'cancel', call: 7 },
  { t: 'ping' },
  { t: 'watch', on: true },
  { t: 'bye' },
];
const answers = [
  { t: 'welcome' },
  { t: 'refused', error: { code: 'STORE_LOCKED', message: 'no' } },
  { t: 'reply', call: 7, reply: new Uint8Array(100_000).fill(7) },
  { t: 'reply', call: 7, error: { code: 'NOT_FOUND', message: 'none', details: { id: 'x' } } },
  { t: 'lost', scope: 3, error: { code: 'TRANSACTION_LOST', message: 'over' } },
  { t: 'notice', notice: 'reopened', message: 'again' },
  { t: 'changed', sessions: ['s', 't'], streaming: ['u'], bots: false },
  { t: 'changed', sessions: null, streaming: [], bots: true },
  { t: 'pong' },
  { t: 'bye' },
];

/** The messages in bytes that come in pieces of random sizes. */
function readInPieces(bytes, chance, largest) {
  const reader = new FrameReader(MAX_FRAME_BYTES);
  const read = [];
  for (let at = 0; at < bytes.length;) {
    const size = 1 + Math.floor(chance() * largest);
    reader.push(bytes.subarray(at, at + size), (message) => read.push(message));
    at += size;
  }
  return read;
}

test('messages come out as they went in, whatever the pieces', (t) => {
  t.diagnostic(`seed ${seed}`);
  const chance = seeded(seed);
  const all = [...messages, ...answers];
  const bytes = Buffer.concat(all.flatMap((message) => encodeFrame(message)));
  for (const largest of [1, 3, 100, 70_000, bytes.length]) {
    const read = readInPieces(bytes, chance, largest);
    // Bytes come as a Buffer, which is one kind of them.
    for (const message of read) {
      if (message.reply !== undefined) message.reply = new Uint8Array(message.reply);
      if (message.rows !== undefined) message.rows = new Uint8Array(message.rows);
    }
    assert.deepEqual(read, all);
  }
  for (const message of messages) assert.equal(checkToHost(message), message);
  for (const message of answers) assert.equal(checkFromHost(message), message);
});

test('a length beyond the limit is refused before anything is kept for it', () => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(5_000);
  const reader = new FrameReader(4_096);
  assert.throws(() => reader.push(length, () => undefined), {
    code: 'TOO_LARGE',
    details: { bytes: 5_000, limit: 4_096 },
  });
});

test('what is no message of the protocol is an error with a code', () => {
  const wrong = [
    undefined,
    null,
    7,
    'call',
    [],
    {},
    { t: 'other' },
    { t: 'call' },
    { ...call, call: -1 },
    { ...call, call: 0.5 },
    { ...call, scope: 2 ** 32 },
    { ...call, verb: '' },
    { ...call, verb: 'x'.repeat(1000) },
    { ...call, timeoutMs: NaN },
    { ...call, rows: [1, 2] },
    { ...call, args: 'text' },
    { ...call, operationId: 5 },
    { ...call, firstSentMs: 'now' },
    { t: 'hello', protocol: '1', name: 'me' },
    { t: 'cancel', call: '7' },
    { t: 'watch' },
    { t: 'watch', on: 1 },
  ];
  for (const message of wrong)
    assert.throws(() => checkToHost(message), { name: 'ChatStoreError', code: 'VERSION_MISMATCH' });
  const change = { t: 'changed', sessions: ['s'], streaming: [], bots: false };
  const answers_wrong = [
    { t: 'reply', call: 1 },
    { t: 'lost', scope: 1, error: {} },
    { t: 'changed' },
    { ...change, sessions: undefined },
    { ...change, sessions: [7] },
    { ...change, sessions: 's' },
    { ...change, streaming: null },
    { ...change, bots: 0 },
  ];
  for (const message of [...wrong, ...answers_wrong]) {
    assert.throws(() => checkFromHost(message), { name: 'ChatStoreError', code: 'VERSION_MISMATCH' });
  }
});

const rounds = Number(process.env.CHATSTORE_ROUNDS ?? 5_000);

test('random bytes, and messages with some bytes changed, end in an error or in a message, never in a crash', (t) => {
  t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} makes the same bytes again`);
  const chance = seeded(seed);
  const small = answers.filter((answer) => (answer.reply?.length ?? 0) < 1000);
  let errors = 0;
  for (let round = 0; round < rounds; round++) {
    const [sources, check] = chance() < 0.5 ? [messages, checkToHost] : [small, checkFromHost];
    const source = sources[Math.floor(chance() * sources.length)];
    let body = Buffer.from(serialize(source));
    if (round % 2 === 0) body = Buffer.from(Array.from({ length: Math.floor(chance() * 200) }, () => chance() * 256));
    else for (let i = 0; i <= chance() * 4; i++) body[Math.floor(chance() * body.length)] = chance() * 256;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(body.length);
    try {
      new FrameReader(MAX_FRAME_BYTES).push(Buffer.concat([length, body]), (message) => check(message));
    } catch (error) {
      assert.equal(error.name, 'ChatStoreError', `round ${round} of seed ${seed}: ${error.stack}`);
      errors++;
    }
  }
  assert.ok(errors > rounds / 2, String(errors));
});

test('a stream with wrong lengths, or cut short, ends in an error or waits, and keeps no more than its limit', (t) => {
  t.diagnostic(`seed ${seed}; CHATSTORE_TEST_SEED=${seed} makes the same bytes again`);
  const chance = seeded(seed);
  const below = (bound) => Math.floor(chance() * bound);
  const whole = Buffer.concat(messages.flatMap((message) => encodeFrame(message)));
  const lengths = [0, 1, 4_096, 4_097, 0x7fffffff, 0x80000000, 0xffffffff];
  const outcomes = { error: 0, waits: 0 };
  for (let round = 0; round < rounds; round++) {
    const bytes = Buffer.from(whole);
    // The first length, or one that some of the bytes are taken for.
    bytes.writeUInt32LE(lengths[below(lengths.length)], chance() < 0.5 ? 0 : below(bytes.length - 4));
    const stream = bytes.subarray(0, below(bytes.length + 1));
    const reader = new FrameReader(4_096);
    let came = 0;
    try {
      for (let at = 0; at < stream.length;) {
        const size = 1 + below(300);
        reader.push(stream.subarray(at, at + size), (message) => {
          came++;
          checkToHost(message);
        });
        at += size;
      }
      outcomes.waits++;
    } catch (error) {
      assert.equal(error.name, 'ChatStoreError', `round ${round} of seed ${seed}: ${error.stack}`);
      outcomes.error++;
    }
    assert.ok(came <= messages.length, `round ${round} of seed ${seed}: ${came} messages`);
  }
  assert.ok(outcomes.error > 0 && outcomes.waits > 0, JSON.stringify(outcomes));
});

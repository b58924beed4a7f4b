/** The packed buffers, in both directions, whole and damaged. */
// @ts-nocheck -- callers in JavaScript have no types; the types are tested by the consumer programs
/* oxlint-disable no-await-in-loop -- one call after the other is what is tested */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importSource, seeded } from './support.mjs';

const rows = await importSource('js/client/rows.ts');
const { columnsOf, packColumns } = await importSource('js/client/pack.ts');
const pack = (messages) => packColumns(columnsOf(messages));
const { readTextInNode } = await importSource('js/node/text.ts');

const none = 0xffffffff;
const readers = { TextDecoder: rows.readTextAnywhere, Buffer: readTextInNode };

/** Packs columns as the core does: modes by need, ASCII apart from the rest. */
function reply(kind, row_count, numbers, texts, cursors = [null, null]) {
  const modes = [];
  const floats = [];
  const lengths = [];
  const ascii = cursors.filter((cursor) => cursor !== null).map((cursor) => Buffer.from(cursor));
  const utf8 = [];
  const each = (values, add) => {
    const mode = values.every((value) => value === null) ? 0 : values.every((value) => value === values[0]) ? 2 : 1;
    modes.push(mode);
    for (const value of mode === 1 ? values : values.slice(0, mode / 2)) add(value);
  };
  for (const values of numbers) each(values, (value) => floats.push(value ?? Number.NaN));
  for (const values of texts) {
    each(values, (value) => {
      if (value === null) {
        lengths.push(none);
        return;
      }
      const bytes = Buffer.from(value);
      const is_ascii = bytes.length === value.length;
      (is_ascii ? ascii : utf8).push(bytes);
      lengths.push(is_ascii ? bytes.length : (bytes.length | 0x80000000) >>> 0);
    });
  }
  const [ascii_block, utf8_block] = [Buffer.concat(ascii), Buffer.concat(utf8)];
  const cursor_bytes = cursors.map((cursor) => cursor?.length ?? none);
  const header = Uint32Array.of(
    kind,
    row_count,
    numbers.length,
    texts.length,
    ascii_block.length,
    utf8_block.length,
    ...cursor_bytes,
  );
  while (modes.length % 8 !== 0) modes.push(0);
  const bytes = Buffer.concat([
    Buffer.from(header.buffer),
    Buffer.from(modes),
    Buffer.from(Float64Array.from(floats).buffer),
    Buffer.from(Uint32Array.from(lengths).buffer),
    ascii_block,
    utf8_block,
  ]);
  return Uint8Array.from(bytes);
}

const strange = ['', 'plain', 'é', '\0in\0side', '\uFEFFa mark', '😀😀', 'ascii again', 'ÿ', '日本語'];

/** Messages with all kinds of values; column by column. */
function messagesReply() {
  const count = strange.length;
  const column = (value_of) => Array.from({ length: count }, (_, i) => value_of(i));
  const numbers = [
    column((i) => i + 1),
    column(() => 1),
    column((i) => (i % 2 === 0 ? null : i)),
    column(() => null),
    column(() => null),
    column(() => null),
    column((i) => (i % 3 === 0 ? 0.5 : null)),
    column(() => null),
    column((i) => 1_700_000_000_000 + i),
    column(() => 1_700_000_000_000),
    column((i) => (i === 2 ? 7 : null)),
  ];
  const texts = [
    column((i) => `m-${i}`),
    column(() => 'sé'),
    column(() => null),
    column((i) => (i === 0 ? null : `m-${i - 1}`)),
    column((i) => (i % 2 === 0 ? 'user' : 'assistant')),
    column((i) => strange[i]),
    column((i) => (i === 4 ? '[{"type":"image","url":"ü"}]' : null)),
    column(() => 'complete'),
    column(() => null),
    column((i) => (i === 5 ? '{"why":"😀"}' : null)),
    column(() => 'large-1'),
    column((i) => (i % 4 === 0 ? '{"a":[1,null]}' : null)),
  ];
  return reply(3, count, numbers, texts, ['next', 'previous']);
}

for (const [name, readText] of Object.entries(readers)) {
  test(`a page of messages is read as it was packed, with ${name}`, () => {
    const page = rows.readMessages(messagesReply(), readText);
    assert.equal(page.nextCursor, 'next');
    assert.equal(page.prevCursor, 'previous');
    assert.deepEqual(
      page.items.map((message) => message.content),
      strange,
    );
    assert.deepEqual(page.items[4].parts, [{ type: 'image', url: 'ü' }]);
    assert.deepEqual(page.items[7], {
      id: 'm-7',
      sessionId: 'sé',
      botId: null,
      parentId: 'm-6',
      seq: 8,
      role: 'assistant',
      content: 'ÿ',
      parts: [{ type: 'text', text: 'ÿ' }],
      status: 'complete',
      finishReason: null,
      error: null,
      model: 'large-1',
      usage: { inputTokens: 7 },
      metadata: null,
      active: true,
      createdAt: 1_700_000_000_007,
      updatedAt: 1_700_000_000_000,
      deletedAt: null,
    });
    assert.deepEqual(page.items[5].error, { why: '😀' });
    assert.deepEqual(page.items[8].metadata, { a: [1, null] });
    assert.equal(page.items[2].deletedAt, 7);
    assert.equal(page.items[4].usage, null);
  });
}

test('a reply that does not lie on a multiple of eight is read all the same', () => {
  const whole = messagesReply();
  const shifted = new Uint8Array(whole.length + 3).subarray(3);
  shifted.set(whole);
  assert.deepEqual(rows.readMessages(shifted, readTextInNode), rows.readMessages(whole, readTextInNode));
});

test('an empty page is empty', () => {
  const empty = reply(
    2,
    0,
    Array.from({ length: 7 }, () => []),
    Array.from({ length: 10 }, () => []),
  );
  assert.deepEqual(rows.readSessions(empty, readTextInNode), { items: [], nextCursor: null, prevCursor: null });
});

test('the marks of a search hit become places in the plain snippet', () => {
  const hit = reply(
    4,
    1,
    [[-1.5], [3], [9]],
    [['m'], ['s'], [null], ['user'], [null], ['é \u0002one\u0003 and \u0002😀\u0003…']],
  );
  const [item] = rows.readHits(hit, readTextInNode).items;
  assert.equal(item.snippet, 'é one and 😀…');
  assert.deepEqual(
    item.highlights.map(([start, end]) => item.snippet.slice(start, end)),
    ['one', '😀'],
  );
});

test('the rows of a query keep the kinds of their values', () => {
  const parts = [];
  const u32 = (value) => parts.push(Buffer.from(Uint32Array.of(value).buffer));
  const text = (value) => {
    const bytes = Buffer.from(value);
    u32(bytes.length);
    parts.push(bytes);
  };
  for (const value of [7, 1, 5]) u32(value);
  for (const name of ['null', 'number', 'text', 'blob', 'bigint']) text(name);
  parts.push(Buffer.from([0, 1]), Buffer.from(Float64Array.of(1.5).buffer), Buffer.from([3]));
  text('ä\0');
  parts.push(Buffer.from([4]));
  text('bytes');
  parts.push(Buffer.from([5]), Buffer.from(BigInt64Array.of(-(2n ** 62n)).buffer));
  const bytes = Uint8Array.from(Buffer.concat(parts));
  assert.deepEqual(rows.readQueryRows(bytes, readTextInNode), [
    { null: null, number: 1.5, text: 'ä\0', blob: Uint8Array.from(Buffer.from('bytes')), bigint: -(2n ** 62n) },
  ]);
  for (let size = 0; size < bytes.length; size++) {
    assert.throws(() => rows.readQueryRows(bytes.slice(0, size), readTextInNode), { code: 'INTERNAL' });
  }
});

test('a reply cut short at any byte is an INTERNAL error', () => {
  const whole = messagesReply();
  for (let size = 0; size < whole.length; size++) {
    assert.throws(() => rows.readMessages(whole.slice(0, size), readTextInNode), { code: 'INTERNAL' }, `${size} bytes`);
  }
});

test('texts that are too long to be decoded in one piece are read one by one', () => {
  const long = ['a', 'b', 'c'].map((letter) => letter.repeat(8_000_000));
  const large = reply(
    5,
    3,
    [
      [1, 2, 3],
      [1, 1, 1],
      [1, 1, 1],
      [null, null, null],
    ],
    [['x', 'y', 'z'], [null, 'é', 'y'], ['user', 'user', 'user'], ['complete', 'complete', 'complete'], long],
  );
  const nodes = rows.readTree(large, readTextInNode);
  assert.ok(nodes.every((node, i) => node.preview === long[i]));
  assert.deepEqual(
    nodes.map((node) => node.parentId),
    [null, 'é', 'y'],
  );
});

test('lengths that do not fill their block, or other characters in the ASCII block, are an INTERNAL error', () => {
  const count = reply(5, 1, [[1], [1], [1], [null]], [['first'], ['é second'], ['user'], ['complete'], ['preview']]);
  assert.equal(rows.readTree(count, readTextInNode)[0].parentId, 'é second');
  const lengths_at = 32 + 16 + 3 * 8;
  for (let at = lengths_at; at < lengths_at + 20; at += 4) {
    for (const step of [-1, 1, 100]) {
      const damaged = count.slice();
      new DataView(damaged.buffer).setInt32(at, new DataView(damaged.buffer).getInt32(at, true) + step, true);
      assert.throws(() => rows.readTree(damaged, readTextInNode), { code: 'INTERNAL' }, `${at} ${step}`);
    }
  }
  const other = count.slice();
  other.set([0xc3, 0xa9], lengths_at + 20);
  assert.throws(() => rows.readTree(other, readTextInNode), { code: 'INTERNAL' });
});

/** The rows of a query, packed as the core does. */
function queryReply() {
  const parts = [];
  const u32 = (value) => parts.push(Buffer.from(Uint32Array.of(value).buffer));
  const text = (value) => {
    u32(Buffer.byteLength(value));
    parts.push(Buffer.from(value));
  };
  for (const value of [7, 3, 2]) u32(value);
  for (const name of ['text', 'number']) text(name);
  for (const value of ['', 'ä\0', 'plain']) {
    parts.push(Buffer.from([3]));
    text(value);
    parts.push(Buffer.from([1]), Buffer.from(Float64Array.of(1.5).buffer));
  }
  return Uint8Array.from(Buffer.concat(parts));
}

const one = (values) => values.map((value) => [value]);
const kinds = {
  readBots: reply(1, 1, one([1, 2, null]), one(['b', 'Ada', null, 'é', null, '{}', '[1]'])),
  readSessions: reply(
    2,
    1,
    one([1, 2, 3, 4, 5, 6, null]),
    one(['s', 'b', 'title', 'active', '["a"]', 'm', null, null, 'é', null]),
  ),
  readMessages: messagesReply(),
  readHits: reply(4, 1, one([-1.5, 3, 9]), one(['m', 's', null, 'user', null, 'é \u0002one\u0003'])),
  readTree: reply(5, 1, one([1, 1, 1, null]), one(['m', 'é', 'user', 'complete', 'preview'])),
  readCount: reply(6, 1, one([1, 2, 3]), []),
  readQueryRows: queryReply(),
};

const rounds = Number(process.env.CHATSTORE_ROUNDS ?? 6_000);
const seed = Number(process.env.CHATSTORE_SEED ?? 7);

for (const [read, whole] of Object.entries(kinds)) {
  test(`a damaged reply never gives ${read} anything but a typed error or rows`, (t) => {
    t.diagnostic(`CHATSTORE_SEED=${seed} makes the same bytes again`);
    const chance = seeded(seed);
    const below = (bound) => Math.floor(chance() * bound);
    const words = [0, 1, 2, 255, 65_536, 1_000_000, 0x7fffffff, 0x80000000, 0xfffffffe, none];
    const outcomes = { rows: 0, error: 0 };
    assert.ok(rows[read](whole, readTextInNode));
    for (let round = 0; round < rounds; round++) {
      let damaged = whole.slice();
      const damage = below(8);
      if (damage === 0) damaged = Uint8Array.from({ length: below(200) }, () => below(256));
      else if (damage === 1) damaged = damaged.slice(0, below(whole.length));
      else {
        for (let i = 0; i <= below(3); i++) {
          // Half of the damage goes to the header, the modes and the lengths, where it hurts most.
          const at = below(chance() < 0.5 ? Math.min(300, whole.length) : whole.length);
          const word = words[below(words.length)];
          if (damage < 5 && at + 4 <= whole.length) new DataView(damaged.buffer).setUint32(at - (at % 4), word, true);
          else damaged[at] = below(256);
        }
      }
      try {
        rows[read](damaged, chance() < 0.5 ? readTextInNode : rows.readTextAnywhere);
        outcomes.rows++;
      } catch (error) {
        outcomes.error++;
        assert.ok(['INTERNAL', 'CORRUPT'].includes(error.code), `round ${round} of seed ${seed}: ${error.stack}`);
      }
    }
    assert.ok(outcomes.error > rounds / 10 && outcomes.rows > 0, JSON.stringify(outcomes));
  });
}

test('a reply of another kind than was asked for is an INTERNAL error', () => {
  assert.throws(() => rows.readSessions(messagesReply(), readTextInNode), { code: 'INTERNAL' });
});

/** Reads a buffer on its way up the slow way, as told in the layout. */
function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const u32 = (at) => view.getUint32(at, true);
  const [count, numbers, texts] = [u32(4), u32(8), u32(12)];
  const modes = bytes.subarray(32, 32 + numbers + texts);
  let at = 32 + Math.ceil((numbers + texts) / 8) * 8;
  const read = (mode, next) => {
    if (mode === 0) return Array.from({ length: count }, () => null);
    if (mode === 2) return Array.from({ length: count }).fill(next());
    return Array.from({ length: count }, next);
  };
  const number_columns = Array.from(modes.subarray(0, numbers), (mode) =>
    read(mode, () => view.getFloat64((at += 8) - 8, true)),
  );
  const length_columns = Array.from(modes.subarray(numbers), (mode) => {
    const all = [];
    const values = read(mode, () => {
      all.push(u32((at += 4) - 4));
      return all.length - 1;
    });
    return { all, values };
  });
  const text_columns = length_columns.map(({ all, values }) => {
    const strings = all.map((length) => {
      if (length === none) return null;
      if (length === 0xfffffffe) return undefined;
      assert.ok(length >= 0x80000000, 'the way up has the UTF-8 block only');
      const start = at;
      at += length - 0x80000000;
      return Buffer.from(bytes.subarray(start, at)).toString();
    });
    return values.map((value) => (value === null ? null : strings[value]));
  });
  assert.equal(at, bytes.length);
  assert.deepEqual([u32(0), u32(16), u32(24), u32(28)], [16, 0, none, none]);
  return { modes: Array.from(modes), numbers: number_columns, texts: text_columns };
}

test('new messages are packed so that absent, null and every text come out again', () => {
  const messages = [
    { sessionId: 's', role: 'user', content: 'héllo 😀\0' },
    { sessionId: 's', role: 'tool', parts: [{ type: 'text', text: 'plain' }], botId: null, createdAt: 5 },
    {
      sessionId: 's',
      role: 'user',
      parts: [{ text: 'other order', type: 'text' }],
      usage: { costUsd: 0.25 },
      metadata: { a: 'ü' },
    },
  ];
  const { modes, numbers, texts } = unpack(pack(messages));
  assert.deepEqual(modes, [1, 0, 0, 0, 0, 1, 0, 2, 2, 1, 1, 2, 1, 1, 2, 2, 2, 2, 1]);
  assert.deepEqual(numbers[0], [Number.NaN, 5, Number.NaN]);
  assert.deepEqual(numbers[5], [Number.NaN, Number.NaN, 0.25]);
  assert.deepEqual(texts[0], ['s', 's', 's']);
  assert.deepEqual(texts[3], [undefined, null, undefined]);
  assert.deepEqual(texts[5], ['héllo 😀\0', 'plain', undefined]);
  assert.deepEqual(texts[6], [null, null, '[{"text":"other order","type":"text"}]']);
  assert.deepEqual(texts[11], [undefined, undefined, '{"a":"ü"}']);
});

test('a large call after a small one, and the other way round, do not disturb each other', () => {
  const small = [{ sessionId: 's', role: 'user', content: 'small' }];
  const large = Array.from({ length: 3000 }, (_, i) => ({
    sessionId: 's',
    role: 'user',
    content: `${i} ${'é'.repeat(i % 700)}`,
  }));
  const first = pack(small);
  const packed = pack(large);
  const again = pack(small);
  assert.deepEqual(again, first);
  assert.deepEqual(
    unpack(packed).texts[5],
    large.map((message) => message.content),
  );
});
